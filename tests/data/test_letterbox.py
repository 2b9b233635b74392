"""A photo into an input, and its boxes back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import GREY
from data.letterbox import Letterbox, letterbox, letterbox_input
from data.sample import Sample

SIDES = st.integers(1, 8192)
UNIT = st.floats(0, 1, width=32)


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, st.integers(16, 1280), st.integers(16, 1280), UNIT, UNIT, UNIT, UNIT)
def test_backward_undoes_forward(h, w, height, width, a, b, c, d) -> None:
    box = Letterbox.fit((h, w), (height, width))
    boxes = np.array([[a * w, b * h, c * w, d * h]])
    assert np.abs(box.backward(box.forward(boxes)) - boxes).max() < 1e-6


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, st.integers(16, 1280), UNIT, UNIT, UNIT, UNIT)
def test_backward_undoes_forward_in_float32_too(h, w, side, a, b, c, d) -> None:
    box = Letterbox.fit((h, w), (side, side))
    boxes = np.array([[a * w, b * h, c * w, d * h]], np.float32)
    assert box.forward(boxes).dtype == np.float32
    assert np.abs(box.backward(box.forward(boxes)) - boxes).max() < 1e-3


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, st.integers(16, 1280), st.integers(16, 1280))
def test_the_whole_photo_maps_to_the_region_inside_the_input(h, w, height, width) -> None:
    box = Letterbox.fit((h, w), (height, width))
    left, top, right, bottom = box.region
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert np.allclose(box.forward([[0, 0, w, h]])[0], box.region, atol=1e-3)
    # it fills one side, and stands in the middle of the other
    assert right - left == width or bottom - top == height
    assert abs(left - (width - right)) <= 1
    assert abs(top - (height - bottom)) <= 1


def test_backward_clips_to_the_photo() -> None:
    box = Letterbox.fit((100, 200), (64, 64))
    assert box.backward([[-50, -50, 500, 500]]).tolist() == [[0, 0, 200, 100]]


def test_no_boxes_give_no_boxes() -> None:
    box = Letterbox.fit((100, 200), (64, 64))
    assert box.forward(np.zeros((0, 4))).shape == (0, 4)
    assert box.backward([]).dtype == np.float32


@pytest.mark.parametrize("shape", [(4000, 3), (3, 4000), (1, 1), (64, 64), (10, 30)])
def test_extreme_photos_are_placed_with_grey_around(shape: tuple[int, int]) -> None:
    sample = Sample(np.full((*shape, 3), 255, np.uint8), "background")
    placed, box = letterbox(sample, (64, 128))
    assert placed.image.shape == (64, 128, 3)
    left, top, right, bottom = box.region.astype(int)
    inside = np.zeros((64, 128), bool)
    inside[top:bottom, left:right] = True
    assert (placed.image[inside] == 255).all()
    assert (placed.image[~inside] == GREY).all()


def test_boxes_and_masks_follow_the_pixels() -> None:
    image = np.zeros((60, 90, 3), np.uint8)
    image[20:40, 30:75] = 255
    masks = image[None, ..., 0] > 0
    sample = Sample(
        image,
        "boxed",
        boxes=np.array([[30, 20, 75, 40]], np.float32),
        nodes=np.array([3]),
        ignore=np.array([False]),
        masks=masks,
    )
    placed, _ = letterbox(sample, (120, 120))
    assert placed.boxes.dtype == np.float32
    left, top, right, bottom = np.rint(placed.boxes[0]).astype(int)
    assert (placed.image[top + 1 : bottom - 1, left + 1 : right - 1] > 200).all()
    assert placed.masks is not None
    rows, columns = np.nonzero(placed.masks[0])
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(placed.boxes[0] - found).max() <= 1


def test_an_input_holds_the_photo_and_its_region() -> None:
    sample = Sample(np.zeros((50, 100, 3), np.uint8), "label_only", labels=np.array([4]))
    one = letterbox_input(sample, (80, 80), position=7)
    assert one.image.shape == (80, 80, 3)
    assert one.regions.tolist() == [[0, 20, 80, 60]]
    assert one.position == 7
    assert one.samples[0].labels.tolist() == [4]
