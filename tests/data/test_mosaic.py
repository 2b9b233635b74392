from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.mosaic import cells, mosaic
from data.sample import KINDS, Sample, collate
from wordtree.errors import UserError

grids = st.tuples(st.integers(1, 4), st.integers(1, 4))
sizes = st.tuples(st.integers(64, 200), st.integers(64, 200))


def painted(height, width, seed):
    """A grey photo with two rectangles of colours of their own, and their boxes."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 127, np.uint8)
    boxes, half = [], width // 2
    for left, right in [(0, half), (half, width)]:
        x = np.sort(rng.choice(np.arange(left, right + 1), 2, replace=False))
        y = np.sort(rng.choice(np.arange(height + 1), 2, replace=False))
        colour = rng.integers(128, 256, 3)
        image[y[0] : y[1], x[0] : x[1]] = colour
        boxes.append((x[0], y[0], x[1], y[1]))
    return Sample(
        image,
        "boxed",
        np.array(boxes, np.float32),
        np.array([seed, seed + 100]),
        np.array([False, True]),
        masks=np.zeros((2, height, width), bool),
        source="painted",
        index=seed,
    )


@settings(max_examples=150, deadline=None)
@given(grids, sizes, st.sampled_from([4, 8, 16]), st.floats(0, 1), st.integers(0, 99))
def test_cells_cover_the_image_once_with_cuts_at_multiples_of_the_stride(
    grid, size, stride, jitter, seed
):
    rng = np.random.default_rng(seed)
    boxes = cells(grid, size, stride=stride, rng=rng, jitter=jitter)
    covered = np.zeros(size, int)
    for left, top, right, bottom in boxes:
        covered[top:bottom, left:right] += 1
        assert right - left >= stride
        assert bottom - top >= stride
        assert left % stride == top % stride == 0
        assert right % stride == 0 or right == size[1]
        assert bottom % stride == 0 or bottom == size[0]
    assert (covered == 1).all()
    order = sorted(boxes.tolist(), key=lambda b: (b[1], b[0]))
    assert order == boxes.tolist()  # row by row


def test_cuts_are_even_without_jitter_and_move_with_it():
    def cut(jitter, seed):
        rng = np.random.default_rng(seed)
        return cells((2, 2), (128, 128), stride=8, rng=rng, jitter=jitter)[0].tolist()

    assert {tuple(cut(0, seed)) for seed in range(9)} == {(0, 0, 64, 64)}
    moved = np.array([cut(0.5, seed) for seed in range(60)])
    assert cut(0.5, 3) == cut(0.5, 3)
    # half a cell's side at most, a quarter either way: 64 * .25 = 16 pixels
    assert set(moved[:, 2]) == set(range(48, 81, 8))
    assert not np.array_equal(moved[:, 2], moved[:, 3])


def test_a_grid_finer_than_the_stride_is_refused():
    with pytest.raises(UserError, match=r"64 pixels .* 3 tiles .* stride 32"):
        cells((1, 3), (96, 64), stride=32, rng=np.random.default_rng(0))


@settings(max_examples=60, deadline=None)
@given(grids, sizes, st.integers(0, 99))
def test_boxes_land_where_their_pixels_land(grid, size, seed):
    rectangles = cells(grid, size, stride=8, rng=np.random.default_rng(seed))
    photos = [
        painted(bottom - top, right - left, seed + i)
        for i, (left, top, right, bottom) in enumerate(rectangles)
    ]
    before = [photo.boxes.copy() for photo in photos]
    one = mosaic(photos, rectangles, size, position=7, broken=[("a.jpg", "cut")])
    assert one.position == 7
    assert one.broken == (("a.jpg", "cut"),)
    assert np.array_equal(one.regions, rectangles)
    rebuilt = np.full((*size, 3), 127, np.uint8)
    for photo, sample, old in zip(photos, one.samples, before, strict=True):
        assert np.array_equal(photo.boxes, old)  # the given samples are left alone
        assert sample.masks is None
        assert np.array_equal(sample.nodes, photo.nodes)
        assert np.array_equal(sample.ignore, photo.ignore)
        for (x0, y0, x1, y1), (left, top, right, bottom) in zip(
            old.astype(int), sample.boxes.astype(int), strict=True
        ):
            colour = photo.image[y0, x0]
            assert (one.image[top:bottom, left:right] == colour).all()
            assert (right - left, bottom - top) == (x1 - x0, y1 - y0)
            rebuilt[top:bottom, left:right] = colour
    assert np.array_equal(rebuilt, one.image)  # and nothing of an object is outside its box


def test_a_single_photo_is_a_mosaic_of_one_cell():
    photo = painted(64, 96, 1)
    rectangles = cells((1, 1), (64, 96), stride=8, rng=np.random.default_rng(0))
    one = mosaic([photo], rectangles, (64, 96))
    assert np.array_equal(one.image, photo.image)
    assert np.array_equal(one.samples[0].boxes, photo.boxes)
    assert one.regions.tolist() == [[0, 0, 96, 64]]


def test_padding_is_left_out_of_a_region():
    photos = [painted(64, 32, 1), painted(64, 32, 2)]
    rectangles = np.array([(0, 0, 32, 64), (32, 0, 64, 64)])
    inside = np.array([4, 10, 30, 60], np.float32)
    one = mosaic(photos, rectangles, (64, 64), regions=[None, inside])
    assert one.regions.tolist() == [[0, 0, 32, 64], [36, 10, 62, 60]]
    assert one.regions.dtype == np.float32


def test_each_tile_is_a_photo_of_its_own_kind_in_the_batch():
    boxed = painted(64, 32, 1)
    label = Sample(boxed.image, "label_only", labels=np.array([5, 6]), source="photos", index=9)
    rectangles = np.array([(0, 0, 32, 64), (32, 0, 64, 64)])
    batch = collate([mosaic(pair, rectangles, (64, 64)) for pair in [(boxed, label)] * 2])
    assert batch.photo_image.tolist() == [0, 0, 1, 1]
    assert [KINDS[k] for k in batch.photo_kind] == ["boxed", "label_only"] * 2
    assert batch.photo_source == ["painted", "photos"] * 2
    assert batch.label_photo.tolist() == [1, 1, 3, 3]
    assert batch.truth_photo.tolist() == [0, 0, 2, 2]
    assert batch.photo_box.tolist() == [[0, 0, 32, 64], [32, 0, 64, 64]] * 2


def test_a_sample_that_does_not_fit_its_rectangle_is_a_defect():
    with pytest.raises(ValueError, match="rectangle is 64 x 32"):
        mosaic([painted(64, 40, 1)], np.array([(0, 0, 32, 64)]), (64, 32))
