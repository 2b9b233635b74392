"""Labelled candidates and node scores against loops written from their definitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.boxes import iou
from detector.inference.candidates import Labelled, candidates, label_candidates, score_nodes
from detector.predictions import Predictions
from wordtree import WordTree
from wordtree.probability.tables import TreeTables

Make = Callable[..., Predictions]
SHAPE = (2, 2, 4, 4)


@pytest.fixture
def tables(small_tree: WordTree) -> TreeTables:
    return TreeTables.from_tree(small_tree)


def of_image(predictions: Predictions, image: int) -> Predictions:
    """The predictions of one image alone."""
    count = len(predictions) // predictions.shape[0]
    rows = slice(image * count, (image + 1) * count)
    return replace(
        predictions,
        objectness=predictions.objectness[rows],
        boxes=predictions.boxes[rows],
        offsets=predictions.offsets[rows],
        shape=(1, *predictions.shape[1:]),
        class_features=predictions.class_features[image : image + 1],
    )


def with_probabilities(predictions: Predictions, logits: torch.Tensor) -> Predictions:
    """Every row of a head with shared weights gets the same class logits (N,)."""
    return replace(
        predictions,
        class_weight=[torch.zeros_like(w) for w in predictions.class_weight],
        class_bias=[logits for _ in predictions.class_bias],
    )


def slow_nms(entries: list[dict], limit: float) -> list[dict]:
    kept: list[dict] = []
    for entry in sorted(entries, key=lambda e: -e["score"]):
        if all(float(iou(entry["box"][None], k["box"][None])) <= limit for k in kept):
            kept.append(entry)
    return kept


def slow_labels(
    predictions: Predictions, tree: WordTree, threshold: float, objectness: float
) -> list[list[dict]]:
    """A list of detections an image, row by row."""
    images, anchors, height, width = predictions.shape
    count = anchors * height * width
    result = []
    for image in range(images):
        entries = []
        for row in range(count):
            at = image * count + row
            p_object = float(predictions.objectness.detach()[at].sigmoid())
            if not p_object > objectness:
                continue
            logits = predictions.class_logits(torch.tensor([at])).detach()
            p = predictions.classifier.log_p(logits)[0].exp().tolist()
            node = max((n for n in range(len(tree)) if tree.parent[n] < 0), key=lambda n: p[n])
            while p[node] > threshold and len(tree.children(node)):
                best = max((int(n) for n in tree.children(node)), key=lambda n: p[n])
                if not p[best] > threshold:
                    break
                node = best
            entries.append(
                {
                    "row": row,
                    "node": node,
                    "score": p_object * p[node],
                    "box": predictions.boxes[at].detach(),
                }
            )
        result.append(slow_nms(entries, 0.5))
    return result


def slow_scores(
    predictions: Predictions, nodes: list[int], min_score: float, most: int
) -> list[list[tuple]]:
    """(node, score, box) an image, every node alone."""
    images = predictions.shape[0]
    count = len(predictions) // images
    result = []
    for image in range(images):
        found = []
        for node in nodes:
            entries = []
            for at in range(image * count, (image + 1) * count):
                logits = predictions.class_logits(torch.tensor([at])).detach()
                p = float(predictions.classifier.log_p(logits)[0, node].exp())
                score = float(predictions.objectness.detach()[at].sigmoid()) * p
                if score >= min_score:
                    entries.append({"score": score, "box": predictions.boxes[at].detach()})
            kept = slow_nms(entries, 0.5)[:most]
            found += [(node, entry["score"], *entry["box"].tolist()) for entry in kept]
        result.append(sorted(found))
    return result


def as_rows(found: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> list[tuple]:
    nodes, scores, boxes = found
    triples = zip(nodes.tolist(), scores.tolist(), boxes.tolist(), strict=True)
    return sorted((node, score, *box) for node, score, box in triples)


def same(one: Labelled, other: Labelled) -> None:
    assert torch.equal(one.row, other.row)
    assert torch.equal(one.node, other.node)
    for name in ("box", "score", "log_p"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name))


def test_candidates_are_the_rows_above_the_bar_best_first(make_predictions: Make) -> None:
    predictions = make_predictions(SHAPE)
    scores = predictions.objectness.detach().sigmoid()
    for image, rows in enumerate(candidates(predictions, objectness=0.6, max_candidates=300)):
        own = [int(r) for r in range(image * 32, image * 32 + 32) if scores[r] > 0.6]
        assert rows.tolist() == sorted(own, key=lambda r: -float(scores[r]))


def test_at_most_max_candidates_are_taken_and_they_are_the_best(make_predictions: Make) -> None:
    predictions = make_predictions(SHAPE)
    few = candidates(predictions, objectness=0.0, max_candidates=5)
    every = candidates(predictions, objectness=0.0, max_candidates=300)
    for short, whole in zip(few, every, strict=True):
        assert len(whole) == 32
        assert torch.equal(short, whole[:5])


def test_a_row_exactly_at_the_bar_is_no_candidate(make_predictions: Make) -> None:
    predictions = make_predictions()
    predictions = replace(predictions, objectness=torch.zeros(16))
    assert len(candidates(predictions, objectness=0.5, max_candidates=300)[0]) == 0
    assert len(candidates(predictions, objectness=0.4999, max_candidates=300)[0]) == 16


@pytest.mark.parametrize("classifier", ["siblings", "flat"])
@pytest.mark.parametrize("share", [False, True])
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 1000),
    threshold=st.floats(0.05, 0.95),
    objectness=st.floats(0.0, 0.8),
)
def test_labels_are_those_of_the_slow_twin(
    make_predictions: Make,
    small_tree: WordTree,
    classifier: str,
    share: bool,
    seed: int,
    threshold: float,
    objectness: float,
) -> None:
    predictions = make_predictions(SHAPE, classifier=classifier, share=share, seed=seed)
    found = label_candidates(
        predictions,
        TreeTables.from_tree(small_tree),
        threshold=threshold,
        objectness=objectness,
    )
    for ours, slow in zip(
        found, slow_labels(predictions, small_tree, threshold, objectness), strict=True
    ):
        assert ours.row.tolist() == [entry["row"] for entry in slow]
        assert ours.node.tolist() == [entry["node"] for entry in slow]
        assert ours.score.tolist() == pytest.approx([entry["score"] for entry in slow], rel=1e-5)
        for box, entry in zip(ours.box, slow, strict=True):
            torch.testing.assert_close(box, entry["box"])


def test_the_score_is_objectness_times_the_path_probability_of_the_returned_node(
    make_predictions: Make, tables: TreeTables
) -> None:
    predictions = make_predictions((1, 2, 4, 4))
    found = label_candidates(predictions, tables, objectness=0.2)[0]
    assert len(found.row) > 2
    p_object = predictions.objectness.detach().sigmoid()[found.row]
    own = found.log_p.gather(1, found.node[:, None])[:, 0].exp()
    torch.testing.assert_close(found.score, p_object * own)


@pytest.mark.parametrize(
    ("threshold", "key"),
    [(0.6, "thing"), (0.5, "thing"), (0.25, "thing"), (0.2499, "animal"), (0.12, "cat")],
)
def test_only_a_probability_strictly_above_the_threshold_goes_deeper(
    make_predictions: Make, tables: TreeTables, small_tree: WordTree, threshold: float, key: str
) -> None:
    # All groups have two nodes: 1/2 at the top, then 1/4, 1/8; ties go to the lower index.
    predictions = with_probabilities(make_predictions(), torch.zeros(len(small_tree)))
    found = label_candidates(predictions, tables, threshold=threshold, objectness=0.0)[0]
    assert len(found.node)
    assert {small_tree.keys[node] for node in found.node} == {key}


def test_the_threshold_does_not_see_objectness(
    make_predictions: Make, tables: TreeTables, small_tree: WordTree
) -> None:
    logits = torch.zeros(len(small_tree))
    logits[[0, 2, 4]] = 20.0  # thing, animal, cat: certain
    unsure = replace(with_probabilities(make_predictions(), logits), objectness=torch.zeros(16))
    found = label_candidates(unsure, tables, threshold=0.9, objectness=0.3)[0]
    assert {small_tree.keys[node] for node in found.node} == {"cat"}
    torch.testing.assert_close(found.score, torch.full_like(found.score, 0.5))


def test_one_object_gets_one_detection_whatever_its_rows_are_labelled(
    make_predictions: Make, tables: TreeTables
) -> None:
    predictions = make_predictions()
    box = torch.tensor([4.0, 4.0, 20.0, 20.0]).expand(16, 4)
    labels = label_candidates(predictions, tables, objectness=0.0, nms_iou=1.0)[0].node
    assert len(labels.unique()) > 1
    found = label_candidates(replace(predictions, boxes=box), tables, objectness=0.0)[0]
    assert len(found.row) == 1


def test_max_detections_keeps_the_best(make_predictions: Make, tables: TreeTables) -> None:
    predictions = make_predictions(SHAPE)
    few = label_candidates(predictions, tables, objectness=0.0, max_detections=3)
    every = label_candidates(predictions, tables, objectness=0.0)
    for short, whole in zip(few, every, strict=True):
        assert len(whole.row) > 3
        assert torch.equal(short.row, whole.row[:3])
        assert (whole.score.diff() <= 0).all()


def test_a_batch_gives_what_its_images_give_alone(
    make_predictions: Make, tables: TreeTables
) -> None:
    predictions = make_predictions((3, 2, 4, 4), seed=3)
    nodes = torch.tensor([0, 4, 5, 9])
    together = label_candidates(predictions, tables)
    scores = score_nodes(predictions, nodes)
    for image in range(3):
        alone = of_image(predictions, image)
        same(together[image], label_candidates(alone, tables)[0])
        for one, other in zip(scores[image], score_nodes(alone, nodes)[0], strict=True):
            torch.testing.assert_close(one, other)


def test_an_image_without_candidates_gives_empty_arrays(
    make_predictions: Make, tables: TreeTables
) -> None:
    predictions = replace(make_predictions(), objectness=torch.full((16,), -20.0))
    found = label_candidates(predictions, tables)[0]
    assert found.box.shape == (0, 4)
    assert found.log_p.shape == (0, 10)
    assert len(found.row) == len(found.node) == len(found.score) == 0
    nodes, scores, boxes = score_nodes(predictions, torch.tensor([0, 3]))[0]
    assert (len(nodes), len(scores), boxes.shape) == (0, 0, (0, 4))


@pytest.mark.parametrize("classifier", ["siblings", "flat"])
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 1000),
    nodes=st.lists(st.integers(0, 9), unique=True, max_size=5),
    min_score=st.floats(0.001, 0.3),
    most=st.integers(1, 12),
)
def test_node_scores_are_those_of_each_node_alone(
    make_predictions: Make,
    classifier: str,
    seed: int,
    nodes: list[int],
    min_score: float,
    most: int,
) -> None:
    predictions = make_predictions(SHAPE, classifier=classifier, seed=seed)
    found = score_nodes(
        predictions,
        torch.tensor(nodes, dtype=torch.int64),
        min_score=min_score,
        max_per_node=most,
    )
    slow = slow_scores(predictions, nodes, min_score, most)
    for ours, expected in zip(found, slow, strict=True):
        rows = as_rows(ours)
        assert len(rows) == len(expected)
        for row, other in zip(rows, expected, strict=True):
            assert row == pytest.approx(other, rel=1e-5, abs=1e-5)


def test_a_row_is_scored_for_every_node_whatever_label_it_would_get(
    make_predictions: Make, small_tree: WordTree
) -> None:
    predictions = make_predictions((1, 1, 1, 1), seed=2)
    every = torch.arange(len(small_tree))
    nodes, scores, _ = score_nodes(predictions, every, min_score=0.0)[0]
    assert sorted(nodes.tolist()) == every.tolist()
    p = dict(zip(nodes.tolist(), scores.tolist(), strict=True))
    for node in range(len(small_tree)):
        children = [int(child) for child in small_tree.children(node)]
        if children:
            assert sum(p[child] for child in children) == pytest.approx(p[node], rel=1e-5)


def test_a_score_of_exactly_min_score_counts(make_predictions: Make, small_tree: WordTree) -> None:
    predictions = with_probabilities(make_predictions((1, 1, 1, 1)), torch.zeros(len(small_tree)))
    predictions = replace(predictions, objectness=torch.zeros(1))
    thing = torch.tensor([0])
    score = float(score_nodes(predictions, thing)[0][1])
    assert score == pytest.approx(0.25)
    assert len(score_nodes(predictions, thing, min_score=score)[0][0]) == 1
    assert len(score_nodes(predictions, thing, min_score=score + 1e-3)[0][0]) == 0
