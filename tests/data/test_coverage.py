"""The mixture report: its figures against loops, draws and gradients, and what it says."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.coverage import LEARNS, Coverage, counts_of, cover
from data.coverage_text import csv_text, long_report, short_report
from data.mixture import Grid, Mixture, Share
from data.sample import Kind, Sample
from data.sources import Counts, count_boxes, count_labels
from data.sources.emoji import EmojiPhotos, EmojiScenes, emoji_halves, emoji_keys
from wordtree import WordTree, build
from wordtree.probability import TreeTables, make_classifier
from wordtree.probability.classifiers import CLASSIFIERS

FEW = settings(max_examples=40, deadline=None)


class Photos:
    """A source that knows the nodes of each photo: of its boxes, or its labels."""

    def __init__(self, name: str, kind: Kind, photos: list[list[int]]) -> None:
        self.name, self.kind, self.photos = name, kind, photos

    def __len__(self) -> int:
        return len(self.photos)

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:
        raise AssertionError("the report reads no photo")

    def counts(self) -> Counts:
        photo = [at for at, nodes in enumerate(self.photos) for _ in nodes]
        node = [n for nodes in self.photos for n in nodes]
        if self.kind == "label_only":
            return count_labels(photo, node, photos=len(self))
        return count_boxes(photo, node, np.zeros(len(node), bool), photos=len(self))


class Unsaid:
    """A source of somebody else's, which says its nodes and no numbers."""

    name, kind = "foreign", "boxed"

    def __init__(self, nodes: list[int]) -> None:
        self.nodes = np.array(nodes)

    def __len__(self) -> int:
        return 3

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:
        raise AssertionError("the report reads no photo")


def covered(tree: WordTree, *sources: object, classifier: str = "siblings", **options) -> Coverage:
    shares = [one if isinstance(one, Share) else Share(one) for one in sources]
    return cover(Mixture(shares, **options), tree, classifier=classifier)


def nodes_of(tree: WordTree) -> st.SearchStrategy[list[list[int]]]:
    """Nodes of up to five photos."""
    one = st.lists(st.integers(0, len(tree) - 1), max_size=4)
    return st.lists(one, min_size=1, max_size=5)


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 6), st.booleans()), max_size=30),
)
def test_counts_are_those_of_a_loop(rows: list[tuple[int, int, bool]]) -> None:
    photo, node, ignore = (np.array([row[i] for row in rows], int) for i in range(3))
    counts = count_boxes(photo, node, ignore, photos=6)
    truths = [(p, n) for p, n, ignored in rows if not ignored]
    boxes = Counter(n for _, n in truths if n >= 0)
    assert counts.nodes.tolist() == sorted(boxes)
    for n, number, photos in zip(counts.nodes, counts.boxes, counts.photos, strict=True):
        assert number == boxes[n]
        assert photos == len({p for p, other in truths if other == n})
    assert counts.ignored == sum(ignored for *_, ignored in rows)
    assert counts.unknown == sum(n < 0 for _, n in truths)
    assert counts.empty == 6 - len({p for p, _ in truths})

    labels = count_labels(photo, node, photos=6)
    assert not labels.boxes.any()
    for n, photos in zip(labels.nodes, labels.photos, strict=True):
        assert photos == len({p for p, other, _ in rows if other == n})
    assert labels.empty == 6 - len({p for p, n, _ in rows if n >= 0})


@FEW
@given(data=st.data())
def test_draws_and_sums_are_those_of_a_loop(
    data: st.DataObject, trees: st.SearchStrategy[WordTree]
) -> None:
    tree = data.draw(trees)
    boxed = Photos("boxed", "boxed", data.draw(nodes_of(tree)))
    labels = Photos("labels", "label_only", data.draw(nodes_of(tree)))
    found = covered(tree, boxed, labels, ratio=2.0, grids=[Grid(2, 2)])
    draws = found.draws.sum(0)
    below = found.below(draws)
    for node in range(len(tree)):
        expected = 0.0
        for source, share in zip((boxed, labels), found.sources, strict=True):
            for nodes in source.photos:
                # A box each time; a label once a photo, however often it is given.
                times = nodes.count(node) if source is boxed else int(node in nodes)
                expected += times * share.per_input / len(source)
        assert draws[node] == pytest.approx(expected)
        under = [other for other in range(len(tree)) if node in tree.path(other)]
        assert below[node] == pytest.approx(sum(draws[other] for other in under))
        has_box = any(node in nodes for nodes in boxed.photos)
        has_label = any(node in nodes for nodes in labels.photos)
        assert (found.with_boxes[node], found.with_labels[node]) == (has_box, has_label)
        assert found.unseen[node] == (tree.labelled[node] and not has_box and not has_label)


def test_a_stream_draws_as_often_as_the_report_says(small_tree: WordTree) -> None:
    boxed = Photos("boxed", "boxed", [[4, 4, 5], [4], [8], [6, 7]])
    labels = Photos("labels", "label_only", [[9], [9], [1], [7], [9], [5]])
    mixture = Mixture([Share(boxed), Share(labels)], ratio=3.0, grids=[Grid(2, 2)], deck=4)
    found = cover(mixture, small_tree, classifier="siblings")
    inputs, times = 600, np.zeros(len(small_tree))
    for position in range(inputs):
        for tile in mixture.plan(position).tiles:
            np.add.at(times, (boxed, labels)[tile.source].photos[tile.photo], 1)
    np.testing.assert_allclose(times / inputs, found.draws.sum(0), rtol=0.02)


@pytest.mark.parametrize("classifier", sorted(CLASSIFIERS))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_can_learn_is_what_gets_a_gradient(
    classifier: str, data: st.DataObject, trees: st.SearchStrategy[WordTree]
) -> None:
    tree = data.draw(trees)
    labels = data.draw(st.lists(st.integers(0, len(tree) - 1), min_size=1, max_size=4, unique=True))
    found = covered(tree, Photos("boxed", "boxed", [labels]), classifier=classifier)

    # The slow twin: the loss of each label, and the gradients that it gives.
    rule = make_classifier(classifier, TreeTables.from_tree(tree))
    up, down = (np.zeros((len(labels), len(tree)), bool) for _ in range(2))
    for row, label in enumerate(labels):
        nodes = torch.tensor([label])
        columns = rule.columns(nodes)
        logits = torch.linspace(-1, 1, len(columns.nodes))[None].requires_grad_()
        (gradient,) = torch.autograd.grad(rule.loss(logits, columns, nodes).sum(), logits)
        up[row, columns.nodes] = gradient[0].numpy() < -1e-6
        down[row, columns.nodes] = gradient[0].numpy() > 1e-6

    terminal = tree.is_leaf | tree.labelled
    for group, (start, size) in enumerate(zip(tree.group_start, tree.group_size, strict=True)):
        members = range(start, start + size)
        if classifier == "siblings":
            parts = [[node] for node in members]
        else:
            # What a member stands for: the terminals below it; a labelled parent has one too.
            parts = [
                [n for n in range(len(tree)) if terminal[n] and node in tree.path(n)]
                for node in members
            ]
            above = tree.group_parent[group]
            parts += [[above]] if above >= 0 and tree.labelled[above] else []
        rises = np.array([up[:, part].any(1) for part in parts])
        falls = np.array([down[:, part].any(1) for part in parts])
        told_apart = any(
            (rises[a] & falls[b]).any()
            for a in range(len(parts))
            for b in range(len(parts))
            if a != b
        )
        assert found.silent[group] == (len(parts) > 1 and not told_apart)
        if classifier == "siblings" and size > 1:
            assert found.positive[start : start + size].tolist() == rises.any(1).tolist()
    if classifier == "flat" and up.any(1).all():
        for node in range(len(tree)):
            part = [n for n in range(len(tree)) if terminal[n] and node in tree.path(n)]
            assert found.positive[node] == up[:, part].any()


def test_every_classifier_has_its_rule() -> None:
    assert set(LEARNS) == set(CLASSIFIERS)


def test_the_report_names_what_can_never_learn(small_tree: WordTree) -> None:
    cat, hammer, saw = 4, 6, 7
    boxed = Photos("boxes", "boxed", [[cat, cat], [hammer]])
    labels = Photos("labels", "label_only", [[saw]])
    said = short_report(covered(small_tree, boxed, labels))
    assert "7 classes: 2 with boxes alone, 1 with photo-level labels alone, 0 with both" in said
    assert "4 classes with neither boxes nor labels in training: plant, dog, poodle" in said
    assert "1 group of 5 never gets a gradient, 2 nodes: the children of dog" in said
    assert "2 nodes only ever learn to be wrong, no label lies in their subtree: plant, dog" in said
    flat = short_report(covered(small_tree, boxed, labels, classifier="flat"))
    assert "1 group of 5 is never taught to tell its members apart, 2 nodes: the children" in flat


def test_a_report_without_trouble_has_no_warning(small_tree: WordTree) -> None:
    every = [[node] for node in np.flatnonzero(small_tree.labelled)]
    said = short_report(covered(small_tree, Photos("boxes", "boxed", every)))
    assert "warning" not in said
    assert said.startswith("boxes: boxed, 7 photos, 7 boxes of 7 classes, 100.0% of the photos")
    assert "an epoch is 7 inputs" in said


def test_a_source_without_weight_teaches_nothing(small_tree: WordTree) -> None:
    boxed, idle = Photos("boxes", "boxed", [[4]]), Photos("idle", "boxed", [[5]])
    found = covered(small_tree, boxed, Share(idle, 0.0))
    assert found.trained.nonzero()[0].tolist() == [4]
    said = short_report(found)
    assert "never drawn: idle" in said
    assert "idle: boxed, 1 photo, 1 box of 1 class, never drawn" in said


def test_a_source_that_counts_nothing_is_named_and_its_nodes_are_taken_as_trained(
    small_tree: WordTree,
) -> None:
    found = covered(small_tree, Unsaid([4, 6]))
    assert found.with_boxes.nonzero()[0].tolist() == [4, 6]
    assert not found.countable[4]
    assert "uncounted: foreign" in short_report(found)
    assert counts_of(Unsaid([4])) is None


def test_background_photos_teach_no_class(small_tree: WordTree) -> None:
    empty = Photos("nothing", "background", [[], []])
    found = covered(small_tree, Photos("boxes", "boxed", [[4]]), empty)
    assert found.trained.nonzero()[0].tolist() == [4]
    assert "nothing: background, 2 photos, 50.0% of the photos drawn" in short_report(found)


def test_the_short_report_stays_short_whatever_there_is(small_tree: WordTree) -> None:
    sources = [Share(Photos(f"s{n}", "boxed", [[4]]), n % 2) for n in range(30)]
    said = short_report(covered(small_tree, *sources, Unsaid([6])))
    assert len(said.splitlines()) <= 15
    assert "and 25 more sources" in said
    assert len(long_report(covered(small_tree, *sources)).splitlines()) > 30


def test_the_csv_has_a_row_a_node_with_sums_over_those_below(small_tree: WordTree) -> None:
    boxed = Photos("boxes", "boxed", [[4, 4, 8], [9]])
    rows = list(csv.DictReader(io.StringIO(csv_text(covered(small_tree, boxed)))))
    assert [row["key"] for row in rows] == list(small_tree.keys)
    thing, dog, poodle = rows[0], rows[5], rows[8]
    assert (thing["boxes"], thing["boxes_below"], thing["parent"]) == ("0", "4", "")
    assert (dog["boxes_below"], dog["draws"], float(dog["draws_below"])) == ("2", "0", 1.0)
    assert (poodle["boxed_photos"], poodle["inputs_a_draw"], poodle["parent"]) == ("1", "2", "dog")
    assert poodle["draws.boxes"] == "0.5"
    assert [row["key"] for row in rows if row["positive"] == "0"] == [
        "plant",
        "tool",
        "hammer",
        "saw",
    ]
    assert [row["key"] for row in rows if row["group_learns"] == "0"] == ["hammer", "saw"]


@pytest.fixture(scope="module")
def emoji_tree() -> WordTree:
    return build(emoji_keys())[0]


def test_a_source_that_draws_says_what_it_will_draw(emoji_tree: WordTree) -> None:
    boxed, label_only = emoji_halves(emoji_tree)
    options = {"objects": (1, 3), "length": 150, "fresh": True}
    scenes = EmojiScenes(emoji_tree, boxed[:3], name="scenes", seed=0, **options)
    counts = scenes.counts()
    assert counts.drawn
    assert counts.boxes.sum() == pytest.approx(300)
    samples = [scenes.read(index, size=(64, 64)) for index in range(len(scenes))]
    for node, boxes, photos in zip(counts.nodes, counts.boxes, counts.photos, strict=True):
        shown = [np.count_nonzero(sample.nodes == node) for sample in samples]
        # Crowded scenes hold fewer than wanted, and draws are chance.
        assert 0.6 * boxes < sum(shown) < 1.2 * boxes
        assert 0.6 * photos < np.count_nonzero(shown) < 1.2 * photos
    photos = EmojiPhotos(emoji_tree, label_only[:4], boxed, name="photos", seed=0, length=200)
    assert photos.counts().photos.tolist() == [50.0] * 4
    found = covered(emoji_tree, scenes, photos, ratio=1.0)
    assert not found.countable[boxed[0]]
    assert "photos drawn anew, about 2.0 boxes each of 3 classes" in short_report(found)
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert rows[int(boxed[0])]["boxes"] == ""
    assert float(rows[int(boxed[0])]["draws"]) > 0


class Many:
    """100,000 photos with seven boxes each."""

    name, kind = "many", "boxed"

    def __init__(self, nodes: int) -> None:
        self.photo = np.repeat(np.arange(len(self)), 7)
        self.node = np.random.default_rng(0).integers(0, nodes, len(self.photo))

    def __len__(self) -> int:
        return 100_000

    def counts(self) -> Counts:
        return count_boxes(self.photo, self.node, np.zeros(len(self.node), bool), photos=len(self))


def test_a_large_report_is_made_in_a_moment() -> None:
    count = 10_000
    parent = [-1] * 10 + [(node - 10) // 4 for node in range(10, count)]
    tree = WordTree([f"n{node:08d}" for node in range(count)], parent)
    source = Many(count)
    # Time of this process alone: other tests may share its core.
    began = time.process_time()
    said = short_report(covered(tree, source))
    assert time.process_time() - began < 1
    assert "700,000 boxes of 10,000 classes" in said
