"""The rules by which boxes are made sane."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data.boxes import all_fractions, sane_boxes

SIZE = (100, 200)  # height, width


def one(*box: float) -> tuple[list[list[float]], list[str]]:
    sane = sane_boxes([box], SIZE)
    return sane.boxes.tolist(), [rule for rule, touched in sane.faults.items() if touched.any()]


def test_a_good_box_is_left_alone() -> None:
    assert one(10, 20, 30, 40) == ([[10, 20, 30, 40]], [])


def test_each_fault_has_its_rule() -> None:
    assert one(np.nan, 0, 5, 5) == ([], ["not finite: dropped"])
    assert one(0, 0, np.inf, 5) == ([], ["not finite: dropped"])
    assert one(30, 40, 10, 20) == ([[10, 20, 30, 40]], ["swapped corners: set right"])
    assert one(300, 10, 340, 40) == ([], ["mostly or wholly outside the photo: dropped"])
    assert one(0, 0, 1e9, 1e9) == ([], ["mostly or wholly outside the photo: dropped"])
    assert one(-20, 10, 40, 40) == ([[0, 10, 40, 40]], ["partly outside the photo: clipped"])
    assert one(-0.5, 10, 40, 40) == ([[0, 10, 40, 40]], [])
    assert one(10, 10, 10, 50) == ([], ["under one pixel: dropped"])
    assert one(0.1, 0.2, 0.3, 0.4) == ([], ["under one pixel: dropped"])


ANY = st.floats(width=32) | st.floats(-300, 300, width=32)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(ANY, ANY, ANY, ANY), max_size=6))
def test_whatever_goes_in_what_comes_out_lies_inside_and_has_an_area(boxes: list) -> None:
    sane = sane_boxes(np.array(boxes, np.float64).reshape(-1, 4), SIZE)
    assert sane.boxes.dtype == np.float32
    assert len(sane.boxes) == sane.kept.sum()
    assert (sane.boxes[:, 2:] - sane.boxes[:, :2] > 0.99).all()
    assert (sane.boxes >= 0).all()
    assert (sane.boxes[:, 2:] <= [SIZE[1], SIZE[0]]).all()
    # a box that was dropped is counted by a rule
    dropped = [touched for rule, touched in sane.faults.items() if rule.endswith("dropped")]
    assert (np.any(dropped, axis=0) == ~sane.kept).all()


def test_sides_beyond_all_measure_are_outside_and_warn_of_nothing() -> None:
    assert one(0, 0, 1e200, 1e200) == ([], ["mostly or wholly outside the photo: dropped"])
    assert sane_boxes([[-1e300, -1e300, 1e300, 1e300]], (0, 0)).kept.tolist() == [False]
    assert sane_boxes([[5, 5, 70_000, 9]], (0, 0)).boxes.tolist() == [[5, 5, 70_000, 9]]


def test_what_counts_as_rounding_may_differ_by_box_and_direction() -> None:
    boxes, rounding = [[-2, 0, 9, 9], [-2, 0, 9, 9], [0, -2, 9, 9]], [[3, 1], [1, 3], [3, 1]]
    sane = sane_boxes(boxes, (100, 100), rounding=rounding)
    assert sane.faults["partly outside the photo: clipped"].tolist() == [False, True, True]
    assert sane.boxes.tolist() == [[0, 0, 9, 9]] * 3


def test_fractions_are_told_from_pixels_of_photos_that_are_larger() -> None:
    assert all_fractions([[0, 0.1, 0.5, 1]], (480, 640))
    assert all_fractions([[0, 0.1, 0.5, 1], [np.nan, 3, 3, 3]], ())
    assert not all_fractions([[0, 0, 1, 1]], (2, 2))
    assert not all_fractions([[0, 0, 1, 1], [0, 0, 1.5, 1]], (480, 640))
    assert not all_fractions([[0, 0, 0, 0]], (480, 640))
    assert not all_fractions([], (480, 640))
