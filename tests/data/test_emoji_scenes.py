"""Drawn scenes and photos: truth, determinism, and what must never be in them."""

from __future__ import annotations

import hashlib
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.sample import Sample
from data.sources.emoji import (
    TILE_SIZES,
    EmojiPhotos,
    EmojiScenes,
    emoji_halves,
    emoji_keys,
    emoji_nodes,
    emoji_table,
)
from data.sources.emoji_backgrounds import SIDE, background
from data.sources.emoji_scenes import MAX_OVERLAP, draw_scene
from data.sources.emoji_sprites import BANK_SIDES, EDGE, fresh_sprite, sprite_bank
from wordtree import UserError, WordTree, build


def emoji_tree() -> WordTree:
    return build(emoji_keys())[0]


@pytest.fixture(scope="module")
def tree() -> WordTree:
    return emoji_tree()


@pytest.fixture(scope="module")
def halves(tree: WordTree) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return emoji_halves(tree)


def digest(samples: list[Sample]) -> str:
    whole = hashlib.sha256()
    for s in samples:
        for array in (s.image, s.boxes, s.nodes, s.labels):
            whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()


def drawn_digest() -> str:
    tree = emoji_tree()
    boxed, label_only = emoji_halves(tree)
    scenes = EmojiScenes(tree, boxed, name="scenes", seed=7)
    fresh = EmojiScenes(tree, emoji_nodes(tree), name="fresh", seed=7, fresh=True)
    photos = EmojiPhotos(tree, label_only, boxed, name="photos", seed=7)
    sizes = [None, (64, 48), (42, 42)]
    return digest(
        [s.read(i, size=z) for s in (scenes, fresh, photos) for i in (5, 3) for z in sizes]
    )


def tight_box_in_loops(alpha: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    seen = [
        (x, y) for y in range(alpha.shape[0]) for x in range(alpha.shape[1]) if alpha[y, x] > EDGE
    ]
    xs, ys = [x for x, _ in seen], [y for _, y in seen]
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


def common_part(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return float(width * height / min(areas))


def test_a_sample_is_the_same_in_another_process_and_in_any_order() -> None:
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['drawn_digest']())"
    other = subprocess.run(
        [sys.executable, "-c", code, __file__], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == drawn_digest()


def test_a_pickled_source_draws_the_same(tree: WordTree, halves) -> None:
    source = EmojiPhotos(tree, halves[1], halves[0], name="photos", seed=1)
    copy = pickle.loads(pickle.dumps(source))
    assert digest([copy.read(4)]) == digest([source.read(4)])


def test_seed_and_index_each_change_the_scene(tree: WordTree, halves) -> None:
    first = EmojiScenes(tree, halves[0], name="scenes", seed=1)
    second = EmojiScenes(tree, halves[0], name="scenes", seed=2)
    assert len({digest([s.read(i)]) for s in (first, second) for i in range(5)}) == 10


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.tuples(st.integers(24, 150), st.integers(24, 150)),
    count=st.integers(1, 8),
    fresh=st.booleans(),
)
def test_boxes_are_inside_and_hardly_overlap(seed, size, count, fresh) -> None:
    draw = random.Random(seed)
    emoji = [draw.randrange(len(emoji_table())) for _ in range(count)]
    sides = [draw.uniform(0.1, 1.0) * min(size) for _ in range(count)]
    scene = draw_scene(emoji, sides, size, draw, fresh=fresh, masks=True)
    assert scene.image.shape == (*size, 3)
    assert scene.image.dtype == np.uint8
    assert 1 <= len(scene.boxes) <= count
    assert len(set(scene.chosen)) == len(scene.boxes)
    assert (scene.boxes >= 0).all()
    assert (scene.boxes[:, 2:] <= np.array(size[::-1])).all()
    assert (scene.boxes[:, 2:] > scene.boxes[:, :2]).all()
    for i, one in enumerate(scene.boxes):
        assert all(common_part(one, two) <= MAX_OVERLAP + 1e-6 for two in scene.boxes[:i])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), side=st.floats(10, 110))
def test_a_sprite_is_cut_to_the_tight_box_of_its_alpha(seed, side) -> None:
    emoji = seed % len(emoji_table())
    for sprite in (
        fresh_sprite(emoji, side, random.Random(seed)),
        sprite_bank().sprite(emoji, side),
    ):
        if sprite is None:
            assert not BANK_SIDES[0] <= side < BANK_SIDES[1]
            continue
        colour, alpha = sprite
        height, width = alpha.shape
        assert tight_box_in_loops(alpha) == (0, 0, width, height)
        assert colour.shape == (height, width, 3)
        assert max(height, width) == pytest.approx(side, abs=2.5, rel=0.03)


def test_a_box_is_the_tight_box_of_what_was_pasted(tree: WordTree, halves) -> None:
    # alone in the scene, an object's mask is its whole alpha
    source = EmojiScenes(tree, halves[0], name="one", seed=3, objects=(1, 1), masks=True)
    for i in range(8):
        sample = source.read(i)
        assert tight_box_in_loops(sample.masks[0] * np.uint8(255)) == tuple(sample.boxes[0])


def test_what_changes_between_background_and_scene_lies_in_the_box() -> None:
    scene = draw_scene([30], [40.0], (96, 96), random.Random(11))
    plain = background(96, 96, random.Random(11))
    left, top, right, bottom = scene.boxes[0].astype(int)
    changed = (scene.image != plain).any(axis=2)
    assert changed[top:bottom, left:right].any()
    changed[top:bottom, left:right] = False
    assert not changed.any()


def test_masks_are_disjoint_and_inside_their_boxes(tree: WordTree) -> None:
    source = EmojiScenes(tree, emoji_nodes(tree), name="masks", seed=5, objects=(6, 8), masks=True)
    for i in range(12):
        sample = source.read(i)
        assert sample.masks.shape == (len(sample.boxes), 128, 128)
        assert sample.masks.dtype == bool
        assert sample.masks.sum(axis=0).max() == 1
        for mask, box in zip(sample.masks, sample.boxes, strict=True):
            x1, y1, x2, y2 = tight_box_in_loops(mask * np.uint8(255))
            assert box[0] <= x1
            assert box[1] <= y1
            assert x2 <= box[2]
            assert y2 <= box[3]


def test_masks_are_left_out_unless_asked_for_and_change_nothing_else(
    tree: WordTree, halves
) -> None:
    plain = EmojiScenes(tree, halves[0], name="scenes", seed=5)
    masked = EmojiScenes(tree, halves[0], name="scenes", seed=5, masks=True)
    assert plain.read(3).masks is None
    assert digest([plain.read(3)]) == digest([masked.read(3)])


def test_boxed_training_scenes_show_no_label_only_node(tree: WordTree, halves) -> None:
    boxed, label_only = halves
    source = EmojiScenes(tree, boxed, name="scenes", seed=0, exhaustive=boxed)
    samples = [source.read(i, size=(64, 64)) for i in range(300)]
    nodes = np.concatenate([s.nodes for s in samples])
    assert not np.isin(nodes, label_only).any()
    assert len(np.unique(nodes)) > 0.95 * len(boxed)
    assert {s.kind for s in samples} == {"boxed"}
    assert all(s.exhaustive is source.exhaustive for s in samples)


def test_validation_scenes_show_both_halves_alike(tree: WordTree, halves) -> None:
    source = EmojiScenes(tree, emoji_nodes(tree), name="validation", seed=0)
    nodes = np.concatenate([source.read(i, size=(64, 64)).nodes for i in range(400)])
    assert np.isin(nodes, halves[0]).mean() == pytest.approx(0.5, abs=0.06)


def test_an_object_is_drawn_from_its_own_node_s_emoji(tree: WordTree, monkeypatch) -> None:
    shown: list[int] = []

    def watched(emoji, *rest, **options):
        shown[:] = emoji
        return draw_scene(emoji, *rest, **options)

    monkeypatch.setattr("data.sources.emoji.draw_scene", watched)
    source = EmojiScenes(tree, emoji_nodes(tree), name="scenes", seed=9, objects=(1, 1))
    for i in range(60):
        (node,) = source.read(i, size=(48, 48)).nodes
        assert emoji_table()[shown[0]].wnid == tree.keys[node]


def test_label_only_photos_carry_a_label_and_no_box(tree: WordTree, halves) -> None:
    boxed, label_only = halves
    source = EmojiPhotos(tree, label_only, boxed, name="photos", seed=0)
    labels = []
    for i in range(300):
        sample = source.read(i, size=(48, 48))
        assert sample.kind == "label_only"
        assert len(sample.boxes) == len(sample.nodes) == len(sample.ignore) == 0
        assert sample.masks is None
        labels.extend(sample.labels.tolist())
    assert len(labels) == 300
    assert set(labels) <= set(label_only.tolist())


def test_unlabelled_extras_are_smaller_and_of_the_boxed_half(
    tree: WordTree, halves, monkeypatch
) -> None:
    calls: list[tuple[list[int], list[float]]] = []

    def watched(emoji, sides, *rest, **options):
        calls.append((list(emoji), list(sides)))
        return draw_scene(emoji, sides, *rest, **options)

    monkeypatch.setattr("data.sources.emoji.draw_scene", watched)
    boxed, label_only = halves
    source = EmojiPhotos(tree, label_only, boxed, name="photos", seed=0)
    for i in range(400):
        source.read(i, size=(64, 64))
    boxed_keys = {tree.keys[n] for n in boxed}
    for emoji, sides in calls:
        assert emoji_table()[emoji[0]].wnid not in boxed_keys
        assert {emoji_table()[e].wnid for e in emoji[1:]} <= boxed_keys
        assert max(sides[1:], default=0) < sides[0]
        assert len(emoji) <= 3
    assert np.mean([len(e) > 1 for e, _ in calls]) == pytest.approx(0.3, abs=0.07)


def test_without_distractors_a_photo_shows_its_object_alone(tree: WordTree, monkeypatch) -> None:
    counts = []

    def watched(emoji, *rest, **options):
        counts.append(len(emoji))
        return draw_scene(emoji, *rest, **options)

    monkeypatch.setattr("data.sources.emoji.draw_scene", watched)
    source = EmojiPhotos(tree, emoji_nodes(tree), np.zeros(0, np.int64), name="photos", seed=0)
    for i in range(40):
        source.read(i, size=(48, 48))
    assert set(counts) == {1}


def test_sides_are_parts_of_the_short_side_at_any_size(tree: WordTree, halves) -> None:
    source = EmojiScenes(
        tree, halves[0], name="tiles", seed=2, objects=(1, 1), size_range=TILE_SIZES
    )
    for size in ((64, 64), (60, 120), (200, 160)):
        for i in range(10):
            sample = source.read(i, size=size)
            assert sample.image.shape == (*size, 3)
            side = (sample.boxes[0, 2:] - sample.boxes[0, :2]).max()
            assert TILE_SIZES[0] * min(size) - 3 <= side <= TILE_SIZES[1] * min(size) * 1.03 + 3


def test_a_background_larger_than_the_bank_fills_the_image() -> None:
    image = background(SIDE + 100, SIDE // 2, random.Random(0))
    assert image.shape == (SIDE + 100, SIDE // 2, 3)
    assert image.flags.c_contiguous


def test_a_sample_says_where_it_is_from(tree: WordTree, halves) -> None:
    sample = EmojiScenes(tree, halves[0], name="train-scenes", seed=0).read(123, size=(64, 96))
    assert sample.path == "emoji:train-scenes/123"
    assert (sample.source, sample.index, sample.original_size) == ("train-scenes", 123, (64, 96))


def test_a_photo_beyond_the_length_is_an_index_error(tree: WordTree, halves) -> None:
    source = EmojiScenes(tree, halves[0], name="scenes", seed=0, length=3)
    assert len(source) == 3
    for index in (3, -1):
        with pytest.raises(IndexError):
            source.read(index)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"length": 0}, "length=0"),
        ({"size_range": (0.5, 0.2)}, "size_range"),
        ({"canvas": (128, 8)}, "too small to draw"),
        ({"objects": (0, 3)}, "objects"),
    ],
)
def test_impossible_options_are_refused_by_name(tree: WordTree, halves, options, named) -> None:
    with pytest.raises(UserError, match=named):
        EmojiScenes(tree, halves[0], name="scenes", seed=0, **options)


def test_a_node_without_emoji_is_refused(tree: WordTree) -> None:
    bare = np.flatnonzero(~tree.labelled)[:1]
    with pytest.raises(UserError, match=tree.keys[bare[0]]):
        EmojiScenes(tree, bare, name="scenes", seed=0)
