"""Box arithmetic against loops written from the formulas, and its laws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from detector.boxes import (
    box_area,
    cxcywh_to_xyxy,
    decode,
    encode,
    giou,
    iou,
    paired_iou,
    xyxy_to_cxcywh,
)

few = settings(max_examples=60, deadline=None)
coordinate = st.integers(0, 40).map(float) | st.floats(0, 640, width=32)


@st.composite
def boxes(draw: st.DrawFn, count: int | None = None) -> Tensor:
    """Boxes that may be degenerate, never inverted."""
    rows = []
    for _ in range(count or draw(st.integers(1, 5))):
        left, right = sorted([draw(coordinate), draw(coordinate)])
        top, bottom = sorted([draw(coordinate), draw(coordinate)])
        rows.append([left, top, right, bottom])
    return torch.tensor(rows)


def slow_iou_and_giou(a: list[float], b: list[float]) -> tuple[float, float]:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    ratio = shared / union if union > 0 else 0.0
    outer = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return ratio, ratio - ((outer - union) / outer if outer > 0 else 0.0)


@few
@given(boxes(), boxes())
def test_iou_and_giou_equal_the_loop_over_pairs(a: Tensor, b: Tensor) -> None:
    overlap = iou(a, b)
    assert overlap.shape == (len(a), len(b))
    for i in range(len(a)):
        for j in range(len(b)):
            expected, generalised = slow_iou_and_giou(a[i].tolist(), b[j].tolist())
            assert overlap[i, j].item() == pytest.approx(expected, abs=1e-5)
            assert paired_iou(a[i], b[j]).item() == overlap[i, j].item()
            assert giou(a[i], b[j]).item() == pytest.approx(generalised, abs=1e-5)


@few
@given(boxes(), boxes())
def test_iou_is_symmetric_and_between_zero_and_one(a: Tensor, b: Tensor) -> None:
    overlap = iou(a, b)
    assert torch.equal(overlap, iou(b, a).T)
    assert bool(((overlap >= 0) & (overlap <= 1)).all())


@few
@given(boxes(count=3), boxes(count=3))
def test_giou_is_symmetric_above_minus_one_and_never_above_iou(a: Tensor, b: Tensor) -> None:
    value = giou(a, b)
    assert torch.equal(value, giou(b, a))
    assert bool((value >= -1).all())
    assert bool((value <= paired_iou(a, b) + 1e-6).all())


@few
@given(boxes(count=3), boxes(count=3), st.sampled_from([0.25, 2.0, 1024.0]))
def test_overlap_does_not_change_with_the_unit(a: Tensor, b: Tensor, unit: float) -> None:
    torch.testing.assert_close(iou(a * unit, b * unit), iou(a, b))
    torch.testing.assert_close(giou(a * unit, b * unit), giou(a, b))


@few
@given(boxes())
def test_a_box_with_area_overlaps_itself_wholly(a: Tensor) -> None:
    some = a[box_area(a) > 0]
    assert torch.equal(paired_iou(some, some), torch.ones(len(some)))
    assert torch.equal(giou(some, some), torch.ones(len(some)))


@few
@given(boxes())
def test_formats_go_round(a: Tensor) -> None:
    torch.testing.assert_close(cxcywh_to_xyxy(xyxy_to_cxcywh(a)), a, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "box",
    [
        [5.0, 5.0, 5.0, 5.0],
        [5.0, 5.0, 9.0, 5.0],
        [1e4, 1e4, 1e4, 1e4],
        [9.0, 9.0, 5.0, 5.0],
    ],
)
def test_degenerate_and_inverted_boxes_have_finite_values_and_gradients(box: list[float]) -> None:
    other = torch.tensor([[5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 9.0, 9.0], [5.0, 5.0, 9.0, 5.0]])
    a = torch.tensor(box).repeat(3, 1).requires_grad_()
    value = paired_iou(a, other) + giou(a, other)
    value.sum().backward()
    assert bool(value.isfinite().all())
    assert bool(a.grad.isfinite().all())


def test_no_boxes_give_empty_results() -> None:
    none, some = torch.zeros(0, 4), torch.ones(3, 4)
    assert iou(none, some).shape == (0, 3)
    assert iou(some, none).shape == (3, 0)
    assert giou(none, none).shape == (0,)


def test_half_precision_boxes_are_measured_in_float32() -> None:
    a = torch.tensor([[0.0, 0.0, 600.0, 600.0]], dtype=torch.float16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        overlap = iou(a, a / 2)
    assert overlap.dtype == torch.float32
    assert overlap.item() == 0.25


def test_giou_pulls_boxes_that_do_not_touch_towards_each_other() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0]], requires_grad=True)
    giou(a, torch.tensor([[5.0, 0.0, 7.0, 2.0]])).sum().backward()
    assert a.grad[0, 2] > 0
    assert paired_iou(a, torch.tensor([[5.0, 0.0, 7.0, 2.0]])).item() == 0


def test_overlap_and_decode_have_the_gradients_of_their_formulas() -> None:
    torch.manual_seed(0)
    a = cxcywh_to_xyxy(torch.rand(6, 4, dtype=torch.float64) * 4 + 1).requires_grad_()
    b = cxcywh_to_xyxy(torch.rand(6, 4, dtype=torch.float64) * 4 + 1)
    assert torch.autograd.gradcheck(lambda x: (paired_iou(x, b), giou(x, b)), a)
    offsets = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    cells, anchors = torch.arange(6), torch.rand(6, 2, dtype=torch.float64) + 1
    assert torch.autograd.gradcheck(lambda t: decode(t, cells, cells, anchors, 8, 3.0), offsets)


@few
@given(
    st.lists(st.floats(-8, 8, width=32), min_size=4, max_size=4),
    st.integers(0, 30),
    st.integers(0, 30),
    st.tuples(st.floats(2, 300), st.floats(2, 300)),
    st.sampled_from([8, 32]),
    st.sampled_from([1.0, 3.0]),
)
def test_decode_equals_the_formula(
    t: list[float], x: int, y: int, anchor: tuple[float, float], stride: int, centre_range: float
) -> None:
    box = decode(
        torch.tensor(t),
        torch.tensor(x),
        torch.tensor(y),
        torch.tensor(anchor),
        stride,
        centre_range,
    )
    for axis, cell in enumerate((x, y)):
        sigmoid = 1 / (1 + math.exp(-t[axis]))
        centre = (cell + 0.5 + centre_range * (sigmoid - 0.5)) * stride
        size = anchor[axis] * math.exp(t[2 + axis])
        assert box[axis].item() == pytest.approx(centre - size / 2, rel=1e-4, abs=1e-2)
        assert box[2 + axis].item() == pytest.approx(centre + size / 2, rel=1e-4, abs=1e-2)


@few
@given(
    st.tuples(st.floats(0.02, 0.98), st.floats(0.02, 0.98)),
    st.tuples(st.floats(1, 500), st.floats(1, 500)),
    st.integers(0, 15),
    st.integers(0, 15),
    st.sampled_from([1.0, 3.0]),
)
def test_decode_of_encode_is_the_box(
    place: tuple[float, float], size: tuple[float, float], x: int, y: int, centre_range: float
) -> None:
    centre = [
        (cell + 0.5 + centre_range * (part - 0.5)) * 16
        for cell, part in zip((x, y), place, strict=True)
    ]
    box = cxcywh_to_xyxy(torch.tensor([[*centre, *size]]))
    cells_x, cells_y, anchors = torch.tensor([x]), torch.tensor([y]), torch.tensor([[36.0, 50.0]])
    raw = encode(box, cells_x, cells_y, anchors, 16, centre_range)
    again = decode(raw, cells_x, cells_y, anchors, 16, centre_range)
    torch.testing.assert_close(again, box, atol=2e-3, rtol=1e-4)


def test_encode_is_finite_for_empty_boxes_and_centres_out_of_reach() -> None:
    box = torch.tensor([[5.0, 5.0, 5.0, 5.0], [900.0, 900.0, 9e9, 9e9], [9.0, 9.0, 5.0, 5.0]])
    zero = torch.zeros(3, dtype=torch.int64)
    raw = encode(box, zero, zero, torch.tensor([16.0, 16.0]), 16)
    assert bool(raw.isfinite().all())


def test_the_centre_on_a_cells_edge_is_encoded_within_a_hundredth_of_a_pixel() -> None:
    box = torch.tensor([[16.0, 16.0, 48.0, 48.0]])
    cell, anchors = torch.tensor([1]), torch.tensor([[32.0, 32.0]])
    again = decode(encode(box, cell, cell, anchors, 32), cell, cell, anchors, 32)
    torch.testing.assert_close(again, box, atol=1e-2, rtol=0)


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_extreme_offsets_give_finite_boxes_of_some_size(extreme: float) -> None:
    offsets = torch.full((1, 4), extreme, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.int64)
    box = decode(offsets, zero, zero, torch.tensor([[36.0, 36.0]]), 8)
    truth = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
    giou(box, truth).sum().backward()
    assert bool(box.isfinite().all())
    assert bool(offsets.grad.isfinite().all())
    assert box_area(box).item() > 0


def test_a_centre_stays_within_its_range_round_the_cell() -> None:
    offsets = torch.tensor([[-50.0, 50.0, 0.0, 0.0]])
    cell, anchors = torch.tensor([4]), torch.tensor([[10.0, 10.0]])
    narrow = xyxy_to_cxcywh(decode(offsets, cell, cell, anchors, 8, 1.0))[0]
    wide = xyxy_to_cxcywh(decode(offsets, cell, cell, anchors, 8, 3.0))[0]
    assert narrow[:2].tolist() == [32, 40]
    assert wide[:2].tolist() == [24, 48]
