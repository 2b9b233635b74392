"""Backed-off labels against truths: matching, shares, depths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.evaluation.hierarchy import back_off_quality, match
from detector.evaluation.truth import Truths
from detector.inference.detections import Detections
from wordtree import WordTree

TREE = WordTree(
    ["animal", "tool", "dog", "cat", "saw", "poodle", "terrier"], [-1, -1, 0, 0, 1, 2, 2]
)
ANIMAL, TOOL, DOG, CAT, SAW, POODLE, TERRIER = range(7)
A, B, C = [0, 0, 20, 20], [40, 40, 70, 80], [0, 50, 30, 90]


def photo(*rows):
    """rows: (node, score, box)."""
    count = len(rows)
    return Detections(
        tree=TREE,
        boxes=np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        nodes=np.array([row[0] for row in rows], np.int64),
        scores=np.array([row[1] for row in rows], np.float32),
        paths=[[(int(n), 0.5) for n in TREE.path(row[0])] for row in rows],
        rows=np.arange(count),
        input_size=(64, 64),
        original_size=(100, 100),
    )


def make_truths(*rows, photos=1):
    """rows: (photo, node, box, ignore)."""
    return Truths(
        image=np.array([row[0] for row in rows], np.int64),
        box=np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        node=np.array([row[1] for row in rows], np.int64),
        ignore=np.array([row[3] for row in rows], bool),
        sizes=np.full((photos, 2), 100),
        exhaustive=[None] * photos,
    )


def test_the_node_of_the_truth_and_its_ancestors_are_right():
    truths = make_truths((0, POODLE, A, False), (0, POODLE, B, False), (0, DOG, C, False))
    found = back_off_quality(
        TREE, truths, [photo((ANIMAL, 0.9, A), (POODLE, 0.8, B), (POODLE, 0.7, C))]
    )
    assert (found.detections, found.truths, found.matched) == (3, 3, 3)
    assert (found.correct, found.exact) == (2, 1)
    assert found.correct_share == pytest.approx(2 / 3)
    assert found.exact_share == pytest.approx(1 / 3)
    assert found.depth_mean == pytest.approx((0 + 2 + 2) / 3)
    assert found.depth_mean_correct == pytest.approx((0 + 2) / 2)
    assert found.depth_mean_truth == pytest.approx((2 + 2 + 1) / 3)


def test_detections_without_a_truth_take_no_part():
    truths = make_truths((0, DOG, A, False), photos=2)
    found = back_off_quality(TREE, truths, [photo((DOG, 0.9, B)), photo((DOG, 0.9, A))])
    assert (found.detections, found.truths, found.matched) == (2, 1, 0)
    assert found.correct_share is None
    assert found.exact_share is None
    assert found.depth_mean is None
    assert found.depth_mean_correct is None
    assert found.depth_mean_truth is None


def test_ignored_truths_and_unknown_labels_take_no_part():
    truths = make_truths((0, DOG, A, True), (0, -1, B, False), (0, SAW, C, False))
    found = back_off_quality(TREE, truths, [photo((DOG, 0.9, A), (DOG, 0.8, B), (TOOL, 0.7, C))])
    assert (found.truths, found.matched, found.correct, found.exact) == (1, 1, 1, 0)


def test_the_better_score_chooses_first_and_a_truth_is_taken_once():
    truths = make_truths((0, DOG, A, False))
    found = back_off_quality(TREE, truths, [photo((CAT, 0.8, A), (DOG, 0.9, [0, 0, 20, 18]))])
    assert (found.matched, found.correct) == (1, 1)


def test_nothing_wrong_leaves_depth_of_the_right_ones_defined_only_if_some_are_right():
    truths = make_truths((0, DOG, A, False))
    found = back_off_quality(TREE, truths, [photo((SAW, 0.8, A))])
    assert found.correct_share == 0
    assert found.depth_mean == 1
    assert found.depth_mean_correct is None


def test_photos_of_detections_and_truths_must_be_as_many():
    with pytest.raises(ValueError, match="detections of 2 photos, truths of 1"):
        back_off_quality(TREE, make_truths((0, DOG, A, False)), [photo(), photo()])


def slow_match(boxes, scores, truths):
    """The docstring of `match` in loops."""
    free, pairs = list(range(len(truths))), []
    for d in sorted(range(len(boxes)), key=lambda d: (-scores[d], d)):
        best, best_iou = None, 0.5
        for t in free:
            width = min(boxes[d][2], truths[t][2]) - max(boxes[d][0], truths[t][0])
            height = min(boxes[d][3], truths[t][3]) - max(boxes[d][1], truths[t][1])
            shared = max(width, 0) * max(height, 0)
            areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (boxes[d], truths[t])]
            iou = shared / (sum(areas) - shared)
            if iou > best_iou or (best is None and iou == best_iou):
                best, best_iou = t, iou
        if best is not None:
            free.remove(best)
            pairs.append((d, best))
    return pairs


boxes = st.lists(
    st.tuples(*[st.integers(0, 4)] * 2, *[st.integers(1, 5)] * 2).map(
        lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
    ),
    max_size=7,
)


@settings(max_examples=100, deadline=None)
@given(boxes, boxes, st.randoms(use_true_random=False))
def test_matching_equals_the_slow_twin(found, truths, random):
    scores = [random.randint(1, 4) / 4 for _ in found]
    detection, truth = match(
        np.array(found, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(truths, np.float32).reshape(-1, 4),
    )
    expected = slow_match(found, scores, truths)
    assert list(zip(detection.tolist(), truth.tolist(), strict=True)) == expected
