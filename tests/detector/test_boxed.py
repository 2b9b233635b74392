"""The loss of photos with boxes against loops written from the formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detector.losses.assignment import Assignment
from detector.losses.boxed import (
    box_loss,
    class_loss,
    cross_entropy,
    giou_loss,
    no_objectness_loss,
    objectness_loss,
    offset_loss,
    squared_error,
)
from detector.losses.regions import row_photos

TRUTHS = [(2, 3, 13, 14, 8), (18, 18, 31, 30, -1)]
PHOTOS = [
    (0, (0, 0, 32, 32), "boxed", TRUTHS, []),
    (1, (0, 0, 16, 32), "label_only", [], [4]),
    (1, (16, 0, 32, 24), "background", [], []),
]


@pytest.fixture
def scene(make_predictions, make_batch):
    predictions = make_predictions((2, 1, 4, 4))
    batch = make_batch(PHOTOS, images=2)
    assigned = Assignment(torch.tensor([0, 5, 10]), torch.tensor([0, 0, 1]), 0)
    return predictions, batch, assigned


def slow_iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return width * height / (sum(area) - width * height)


def test_a_truths_rows_share_its_weight(scene):
    predictions, batch, assigned = scene
    each = [
        float(giou_loss(predictions, torch.tensor([row]), batch.truth_box[truth][None]).detach())
        for row, truth in ((0, 0), (5, 0), (10, 1))
    ]
    expected = (each[0] + each[1]) / 2 + each[2]
    found = box_loss(predictions, batch, assigned, giou_loss).detach()
    assert found.item() == pytest.approx(expected)


def test_class_loss_is_the_path_cross_entropy_and_unknown_objects_have_none(scene):
    predictions, batch, assigned = scene
    log_p = predictions.classifier.log_p(predictions.class_logits(torch.tensor([0, 5])))
    expected = -float((log_p[0, 8] + log_p[1, 8]).detach()) / 2
    assert float(class_loss(predictions, batch, assigned).detach()) == pytest.approx(
        expected, rel=1e-5
    )


def test_objectness_learns_the_iou_of_its_own_box(scene):
    predictions, batch, assigned = scene
    expected = 0.0
    for row, truth in ((0, 0), (5, 0), (10, 1)):
        target = slow_iou(predictions.boxes[row].tolist(), batch.truth_box[truth].tolist())
        p = 1 / (1 + math.exp(-predictions.objectness[row].item()))
        for t, q in ((target, p), (1 - target, 1 - p)):
            expected += t * math.log(t / q) if t > 0 else 0.0
    found = objectness_loss(predictions, batch, assigned, cross_entropy)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_no_objectness_asks_boxed_background_and_padding_rows_only(scene):
    predictions, batch, assigned = scene
    no_objectness_loss(
        predictions, batch, assigned, row_photos(predictions, batch), cross_entropy
    ).backward()
    asked = set(predictions.objectness.grad.nonzero().squeeze(1).tolist())
    label_only = {16 + 4 * y + x for y in range(4) for x in range(2)}
    assert asked == set(range(32)) - label_only - {0, 5, 10}


def test_rows_whose_centre_lies_in_an_ignore_region_are_not_pushed(make_predictions, make_batch):
    predictions = make_predictions((1, 1, 4, 4))
    batch = make_batch([(0, (0, 0, 32, 32), "boxed", [(8, 8, 24, 16, -1, True)], [])])
    nothing = Assignment(torch.zeros(0).long(), torch.zeros(0).long(), 0)
    no_objectness_loss(
        predictions, batch, nothing, row_photos(predictions, batch), cross_entropy
    ).backward()
    left_alone = (predictions.objectness.grad == 0).nonzero().squeeze(1).tolist()
    assert left_alone == [5, 6]


def test_rows_that_overlap_a_truth_by_more_than_the_threshold_are_not_pushed(scene):
    predictions, batch, assigned = scene
    threshold = 0.2
    no_objectness_loss(
        predictions,
        batch,
        assigned,
        row_photos(predictions, batch),
        squared_error,
        ignore_iou=threshold,
    ).backward()
    for row in range(16):
        best = max(slow_iou(predictions.boxes[row].tolist(), list(t[:4])) for t in TRUTHS)
        asked = row not in (0, 5, 10) and best <= threshold
        assert bool(predictions.objectness.grad[row] != 0) == asked


def test_the_offset_loss_has_darknets_gradient(make_predictions, make_batch):
    """Facts c6.5 and c8: s (t - v), s = 2 - w h; times v (1 - v) for x and y."""
    predictions = make_predictions((1, 1, 4, 4))
    row, box = 5, (9.0, 10.0, 20.0, 22.0)
    truths = torch.tensor([box])
    gradient = torch.autograd.grad(
        offset_loss(predictions, torch.tensor([row]), truths).sum(), predictions.offsets
    )[0][row]
    centre = ((box[0] + box[2]) / 2 / 8, (box[1] + box[3]) / 2 / 8)
    width, height = (box[2] - box[0]) / 32, (box[3] - box[1]) / 32
    scale = 2 - width * height
    raw = predictions.offsets[row].tolist()
    anchor = predictions.anchors[0].tolist()
    for axis, cell in ((0, 1), (1, 1)):
        v = 1 / (1 + math.exp(-raw[axis]))
        expected = scale * (v - (centre[axis] - cell)) * v * (1 - v)
        assert float(gradient[axis]) == pytest.approx(expected, rel=1e-4)
    for axis, size in ((2, width), (3, height)):
        expected = scale * (raw[axis] - math.log(size * 32 / anchor[axis - 2]))
        assert float(gradient[axis]) == pytest.approx(expected, rel=1e-4)


@given(st.floats(0.0, 1.0), st.floats(-8.0, 8.0))
def test_objectness_costs_nothing_where_it_is_exact_and_pulls_as_cross_entropy_does(
    target: float, logit: float
) -> None:
    targets = torch.tensor([target], dtype=torch.float64)
    logits = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
    loss = cross_entropy(logits, targets)
    p = 1 / (1 + math.exp(-logit))
    slow = sum(t * math.log(t / q) for t, q in ((target, p), (1 - target, 1 - p)) if t > 0)
    assert float(loss.detach()) == pytest.approx(slow, abs=1e-6)
    loss.backward()
    assert float(logits.grad) == pytest.approx(p - target, abs=1e-6)
    if 0 < target < 1:
        exact = torch.tensor([math.log(target / (1 - target))], dtype=torch.float64)
        assert float(cross_entropy(exact, targets)) == pytest.approx(0, abs=1e-6)
