from __future__ import annotations

import math
import pickle
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.mixture import Grid, Mixture, Share
from data.order import apportion, shuffled
from wordtree.errors import UserError


@dataclass(frozen=True)
class Photos:
    """A source that has a number of photos and never reads one."""

    name: str
    kind: str
    size: int = 50

    def __len__(self) -> int:
        return self.size


BOXED, LABELS = Photos("coco", "boxed", 23), Photos("imagenet", "label_only", 31)
DEMO_GRIDS = [
    Grid(1, 1, weight=0.2, kinds=("boxed",), source="scenes"),
    Grid(2, 2, weight=0.32, source="tiles"),
    *(Grid(*shape, weight=0.16, source="tiles") for shape in [(2, 3), (3, 2), (3, 3)]),
]
DEMO_SOURCES = [
    Share(Photos("scenes", "boxed", 40)),
    Share(Photos("tiles", "boxed", 60)),
    Share(LABELS),
]
shapes = st.builds(
    Grid,
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
    weight=st.floats(0.05, 1),
    mixed=st.booleans(),
)


@st.composite
def mixtures(draw):
    """Mixtures of one to five sources, both sampling rules, any layouts."""
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    kinds = [draw(st.sampled_from(["boxed", "label_only", "background"])) for _ in sizes]
    shares = [
        Share(Photos(f"s{i}", kind, size), draw(st.floats(0.1, 3)))
        for i, (kind, size) in enumerate(zip(kinds, sizes, strict=True))
    ]
    return Mixture(
        shares,
        grids=draw(st.lists(shapes, min_size=1, max_size=4)),
        seed=draw(st.integers(0, 2**40)),
        ratio=draw(st.floats(0, 9)),
        sampling=draw(st.sampled_from(["quota", "replacement"])),
        deck=draw(st.integers(1, 20)),
    )


def tiles_of(mixture, positions):
    return [tile for p in positions for tile in mixture.plan(p).tiles]


def count_kinds(mixture, positions):
    return Counter(mixture.sources[t.source].kind for t in tiles_of(mixture, positions))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(0, 400))
def test_apportioned_counts_sum_never_fall_and_stay_near_their_shares(weights, total):
    now, following = apportion(total, weights), apportion(total + 1, weights)
    if not sum(weights):
        assert now == [0] * len(weights)
        return
    assert sum(now) == total
    assert all(a <= b for a, b in zip(now, following, strict=True))
    for count, weight in zip(now, weights, strict=True):
        assert abs(count - total * weight / sum(weights)) <= (len(weights) - 1) / 2 + 1e-9


def test_apportioned_counts_are_exact_where_shares_are_whole():
    for decks in range(9):
        assert apportion(12 * decks, [1, 2, 3]) == [2 * decks, 4 * decks, 6 * decks]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**62), st.integers(0, 9))
def test_an_epoch_holds_each_photo_once(size, seed, epoch):
    draws = np.arange(size) + epoch * size
    assert sorted(shuffled(draws, size, key=(seed, 1))) == list(range(size))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2**31), st.lists(st.integers(0, 2**40), min_size=1, max_size=5))
def test_a_place_in_the_order_is_the_same_asked_alone_or_with_others(size, places):
    together = shuffled(np.array(places), size, key=(3, 4))
    alone = [shuffled(np.array([p]), size, key=(3, 4))[0] for p in places]
    assert together.tolist() == alone
    assert 0 <= together.min() <= together.max() < size


@pytest.mark.parametrize("size", [2, 3, 5, 16])
def test_every_photo_is_as_likely_to_come_first(size):
    trials = 4000
    first = shuffled(np.arange(trials) * size, size, key=(0, 0))  # the first of each epoch
    counts = np.bincount(first, minlength=size)
    chi_square = ((counts - trials / size) ** 2 / (trials / size)).sum()
    assert chi_square < size - 1 + 5 * math.sqrt(2 * size)  # five standard deviations


def test_neighbours_in_the_order_are_not_neighbours_in_the_source():
    order = shuffled(np.arange(10_000), 10_000, key=(0, 0))
    steps = np.abs(np.diff(order))
    assert abs(steps.mean() - 10_000 / 3) < 200  # two places drawn evenly are a third apart
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.05


@settings(max_examples=25, deadline=None)
@given(mixtures(), st.integers(0, 10**9))
def test_a_plan_is_the_same_asked_alone_or_in_sequence(mixture, start):
    fresh = pickle.dumps(mixture)
    in_sequence = [mixture.plan(start + i) for i in range(6)]
    backwards = [pickle.loads(fresh).plan(start + i) for i in reversed(range(6))]
    assert in_sequence == backwards[::-1]
    for i, plan in enumerate(in_sequence):
        assert plan.position == start + i
        assert len(plan.tiles) == plan.grid[0] * plan.grid[1]
        for tile in plan.tiles:
            assert 0 <= tile.photo < len(mixture.sources[tile.source])


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0, 20),
    st.lists(st.sampled_from([(1, 1), (2, 2), (2, 3), (3, 3)]), min_size=1, max_size=3),
    st.integers(1, 17),
    st.integers(0, 9),
)
def test_the_ratio_holds_within_one_photo_after_every_deck(ratio, layouts, deck, seed):
    grids = [Grid(*layout, weight=i + 1) for i, layout in enumerate(layouts)]
    mixture = Mixture([Share(BOXED), Share(LABELS)], grids=grids, ratio=ratio, deck=deck, seed=seed)
    seen = Counter()
    for number in range(8):
        seen += count_kinds(mixture, range(number * deck, (number + 1) * deck))
        assert abs(seen["label_only"] - seen.total() * ratio / (1 + ratio)) <= 1


def test_a_deck_holds_a_fixed_number_of_each_grid_and_kind_where_shares_are_whole():
    grids = [Grid(2, 2, weight=0.5), Grid(2, 3, weight=0.25), Grid(weight=0.25)]
    mixture = Mixture([Share(BOXED), Share(LABELS)], grids=grids, ratio=4, deck=20)
    for number in range(5):
        deck = range(number * 20, number * 20 + 20)
        assert Counter(mixture.plan(p).grid for p in deck) == {(2, 2): 10, (2, 3): 5, (1, 1): 5}
        assert count_kinds(mixture, deck) == {"boxed": 15, "label_only": 60}


def test_weights_share_a_kind_out_among_its_sources():
    shares = [
        Share(BOXED, 1),
        Share(Photos("background", "background"), 3),
        Share(LABELS, 2),
        Share(Photos("more", "label_only"), 0.5),
    ]
    mixture = Mixture(shares, grids=[Grid(2, 2)], ratio=1.5, deck=10)
    counts = Counter(t.source for t in tiles_of(mixture, range(50)))
    assert counts == {0: 20, 1: 60, 2: 96, 3: 24}
    assert [e.share for e in mixture.expected()] == pytest.approx([0.1, 0.3, 0.48, 0.12])


@settings(max_examples=15, deadline=None)
@given(mixtures())
def test_expected_shares_are_what_is_drawn_in_the_long_run(mixture):
    expected = mixture.expected()
    assert sum(e.share for e in expected) == pytest.approx(1)
    inputs = 300
    counts = Counter(t.source for t in tiles_of(mixture, range(inputs)))
    # a few whole units off under quotas (a unit is up to nine photos), by chance otherwise
    slack = 60 if mixture.sampling == "quota" else 60 + 5 * math.sqrt(inputs * 81 / 4)
    for source, e in enumerate(expected):
        assert abs(counts[source] - e.per_input * inputs) < slack
        assert (counts[source] == 0) or e.share > 0


def test_a_source_is_gone_through_in_epochs_without_repetition():
    mixture = Mixture(DEMO_SOURCES, grids=DEMO_GRIDS, ratio=1.6, deck=16)
    for source, photos in enumerate(mixture.sources):
        drawn = []
        for number in range(20):
            deck = tiles_of(mixture, range(number * 16, number * 16 + 16))
            drawn.append([t.photo for t in deck if t.source == source])
        flat = [photo for deck in drawn for photo in deck]
        # after any number of decks no photo is two draws ahead of another
        for end in np.cumsum([len(deck) for deck in drawn]):
            seen = Counter(flat[:end])
            assert max(seen.values()) - min(seen[i] for i in range(len(photos))) <= 1
        assert max(Counter(flat).values()) > 1


def test_epochs_are_shuffled_differently_for_each_epoch_seed_and_source():
    orders = [
        shuffled(np.arange(40) + 40 * epoch, 40, key=(seed, source)).tolist()
        for epoch, seed, source in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    ]
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize("sampling", ["quota", "replacement"])
def test_the_demo_has_plain_boxed_scenes_and_mixed_mosaics(sampling):
    mixture = Mixture(DEMO_SOURCES, grids=DEMO_GRIDS, ratio=1.65, deck=16, sampling=sampling)
    plans = [mixture.plan(p) for p in range(800)]
    for plan in plans:
        names = {mixture.sources[t.source].name for t in plan.tiles}
        assert names == {"scenes"} if plan.grid == (1, 1) else names <= {"tiles", "imagenet"}
    plain = sum(plan.grid == (1, 1) for plan in plans)
    # .2 of 800; two inputs of rounding, or five standard deviations of chance
    assert abs(plain - 160) <= (2 if sampling == "quota" else 57)
    in_tiles = [t.source == 2 for plan in plans if plan.grid != (1, 1) for t in plan.tiles]
    # (1.65 / 2.65) of 4.84 photos an input are label-only; 4.64 of them stand in mosaics
    assert abs(np.mean(in_tiles) - 1.65 / 2.65 * 4.84 / 4.64) < 0.035
    kinds = [len({t.source for t in plan.tiles}) for plan in plans if plan.grid != (1, 1)]
    assert np.mean(np.array(kinds) == 2) > 0.7


@pytest.mark.parametrize("sampling", ["quota", "replacement"])
def test_mosaics_of_one_kind_hold_one_kind(sampling):
    grids = [Grid(2, 2, mixed=False), Grid(2, 3, mixed=False)]
    mixture = Mixture(
        [Share(BOXED), Share(LABELS)], grids=grids, ratio=1, deck=8, sampling=sampling
    )
    kinds = [{t.source for t in mixture.plan(p).tiles} for p in range(64)]
    assert all(len(kind) == 1 for kind in kinds)
    assert {frozenset(kind) for kind in kinds} == {frozenset({0}), frozenset({1})}


def test_replacement_draws_a_photo_again_before_others_were_seen():
    mixture = Mixture([Share(BOXED), Share(LABELS)], sampling="replacement", ratio=4)
    labels = [t.photo for t in tiles_of(mixture, range(40)) if t.source == 1]
    assert max(Counter(labels).values()) > 1
    kinds = count_kinds(mixture, range(2000))
    assert abs(kinds["label_only"] / 2000 - 0.8) < 0.045  # five standard deviations


def test_each_tile_has_a_seed_of_its_own():
    mixture = Mixture([Share(BOXED), Share(LABELS)], grids=[Grid(3, 3)])
    seeds = [t.seed for t in tiles_of(mixture, range(200))]
    seeds += [mixture.plan(p).seed for p in range(200)]
    assert len(set(seeds)) == 2000
    other = Mixture([Share(BOXED), Share(LABELS)], grids=[Grid(3, 3)], seed=1)
    assert not set(seeds) & {t.seed for t in tiles_of(other, range(200))}


def test_one_side_alone_fills_all_tiles_whatever_the_ratio():
    only_boxed = Mixture([Share(BOXED)], grids=[Grid(2, 2)], ratio=4)
    only_labels = Mixture([Share(LABELS)], grids=[Grid(2, 2)], ratio=0)
    assert count_kinds(only_boxed, range(10)) == {"boxed": 40}
    assert count_kinds(only_labels, range(10)) == {"label_only": 40}
    both = [Share(BOXED), Share(LABELS)]
    assert count_kinds(Mixture(both, ratio=0), range(10)) == {"boxed": 10}
    assert count_kinds(Mixture(both, ratio=math.inf), range(10)) == {"label_only": 10}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampling": "shuffle"}, "quota or replacement"),
        ({"deck": 0}, "deck=0"),
        ({"ratio": -1.0}, "ratio=-1"),
        ({"ratio": math.nan}, "ratio=nan"),
        ({"seed": -1}, "seed=-1"),
        ({"grids": []}, "no grid"),
        ({"grids": [Grid(weight=0)]}, "no grid"),
        ({"grids": [Grid(source="lvis")]}, "lvis.*coco"),
        ({"grids": [Grid(source="imagenet")]}, "imagenet.*coco"),
        ({"grids": [Grid(kinds=("boxed",)), Grid()], "ratio": 1.5}, "between 0 and 1;"),
        ({"grids": [Grid(kinds=("boxed",)), Grid(2, 2, kinds=("label_only",))]}, None),
        ({"grids": [Grid(kinds=("boxed",))]}, "between 0 and 0;"),
        ({"sources": [Share(BOXED)], "grids": [Grid(kinds=("label_only",))]}, "label_only"),
        ({"sources": []}, "no such source"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(changes, words):
    arguments = {"sources": [Share(BOXED), Share(LABELS)], "ratio": 4.0} | changes
    sources = arguments.pop("sources")
    if words is None:  # the grids themselves hold 4 to 1
        assert Mixture(sources, **arguments, deck=2).plan(0)
        return
    with pytest.raises(UserError, match=words):
        Mixture(sources, **arguments)


def test_impossible_grids_and_shares_are_refused():
    with pytest.raises(UserError, match="at least 1 x 1"):
        Grid(0, 2)
    with pytest.raises(UserError, match="weight -1"):
        Grid(2, 2, weight=-1)
    with pytest.raises(UserError, match="background"):
        Grid(kinds=("background",))
    with pytest.raises(UserError, match="source empty has 0 photos"):
        Share(Photos("empty", "boxed", 0))
    with pytest.raises(UserError, match="weight inf"):
        Share(BOXED, math.inf)


def test_boxed_mosaics_stand_alone_or_beside_grids_that_make_up_for_them():
    alone = Grid(2, 2, kinds=("boxed",))
    for sources, ratio in (([Share(BOXED)], 4.0), ([Share(BOXED), Share(LABELS)], 0.0)):
        mixture = Mixture(sources, grids=[alone], ratio=ratio, deck=8)
        assert {tile.source for p in range(40) for tile in mixture.plan(p).tiles} == {0}
        assert mixture.grids == ((2, 2),)
    mixed = Mixture([Share(BOXED), Share(LABELS)], grids=[alone, Grid(2, 2)], ratio=0.5, deck=8)
    plans = [mixed.plan(position) for position in range(240)]
    drawn = Counter(tile.source for plan in plans for tile in plan.tiles)
    assert drawn[1] == drawn[0] / 2
    assert sum({tile.source for tile in plan.tiles} == {0} for plan in plans) >= 120
