"""A photo placed in a rectangle: pixels, boxes and region agree, and a seed decides all."""

import colorsys
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import GREY
from data.sample import Sample
from data.transforms import (
    MIN_SHARE,
    MIN_SIDE,
    Colour,
    TrainTransform,
    View,
    Warp,
    draw_warp,
    recolour,
)
from wordtree.errors import UserError

PLAIN = TrainTransform(colour=None)
COLOURED = TrainTransform()


def white_box(height: int, width: int, box: tuple[int, int, int, int], **more) -> Sample:
    image = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = box
    image[top:bottom, left:right] = 255
    known = {
        "kind": "boxed",
        "boxes": np.array([box], np.float32),
        "nodes": np.array([5]),
        "ignore": np.array([False]),
        "path": "photo.jpg",
        "masks": image[None, ..., 0] > 0,
    }
    return Sample(image=image, **(known | more))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(40, 900), st.integers(40, 900))
def test_the_carried_box_encloses_the_pixels_of_the_object(seed, height, width) -> None:
    box = (width // 4, height // 3, width // 4 + width // 2, height // 3 + height // 2)
    placed, _ = PLAIN(white_box(height, width, box), (96, 128), seed)
    assert placed.image.shape == (96, 128, 3)
    if not len(placed.boxes) or placed.ignore[0]:
        return
    # A blurred edge crosses half of white where the object's edge is; padding is 127, not above.
    rows, columns = np.nonzero(placed.image[..., 0] > GREY)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(placed.boxes[0] - found).max() <= 1.0
    assert placed.masks is not None
    rows, columns = np.nonzero(placed.masks[0])
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(placed.boxes[0] - found).max() <= 1.0


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 600), st.integers(1, 600))
def test_the_region_is_where_the_photo_stands_and_grey_is_elsewhere(seed, height, width) -> None:
    white = Sample(np.full((height, width, 3), 255, np.uint8), "background", path="photo.jpg")
    placed, (left, top, right, bottom) = COLOURED(white, (64, 80), seed)
    rows, columns = np.arange(64)[:, None] + 0.5, np.arange(80) + 0.5
    inside = (rows > top) & (rows < bottom) & (columns > left) & (columns < right)
    assert (placed.image[inside] > GREY + 20).all()
    outside = ~inside
    if not inside.any():  # a photo one pixel thin may miss every pixel's centre; it is shown still
        assert (placed.image != GREY).any()
        return
    assert (placed.image[outside] == GREY).all()


def slow_warp(image: np.ndarray, warp: Warp) -> np.ndarray:
    """Bilinear interpolation from its definition, a pixel at a time; the cut's edge pixels go on
    outside of it."""
    result = np.full((*warp.size, 3), float(GREY))
    (x0, y0, x1, y1), (left, top, right, bottom) = warp.cut, warp.place
    for y in range(top, bottom):
        for x in range(left, right):
            column = left + right - 1 - x if warp.mirrored else x
            sx = (column + 0.5 - left) * (x1 - x0) / (right - left) - 0.5
            sy = (y + 0.5 - top) * (y1 - y0) / (bottom - top) - 0.5
            ix, iy = int(np.floor(sx)), int(np.floor(sy))
            result[y, x] = 0
            for j in (iy, iy + 1):
                for i in (ix, ix + 1):
                    weight = (1 - abs(sx - i)) * (1 - abs(sy - j))
                    pixel = np.clip(j, 0, y1 - y0 - 1) + y0, np.clip(i, 0, x1 - x0 - 1) + x0
                    result[y, x] += weight * image[pixel]
    return result


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_warp_equals_its_slow_twin_where_the_photo_is_not_averaged(flip: float) -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 26, 3), np.uint8)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        warp = draw_warp((20, 26), (28, 24), View(flip=flip), rng)
        assert warp.mirrored == bool(flip)
        placed = warp.padded(warp.pixels(image))
        assert np.abs(placed - slow_warp(image, warp)).max() <= 2  # weights of 11 bits, twice


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.tuples(st.integers(8, 200), st.integers(8, 200)),
)
def test_cut_and_place_are_whole_pixels_and_stretch_alike_but_for_the_aspect(
    seed, original, size
) -> None:
    warp = draw_warp(original, size, View(aspect=1.25), np.random.default_rng(seed))
    sides = []
    for axis in (0, 1):
        total, room = original[1 - axis], size[1 - axis]
        (first, last), (start, stop) = warp.cut[axis::2], warp.place[axis::2]
        assert 0 <= first < last <= total
        assert 0 <= start < stop <= room
        # what is cut off lies outside the output
        assert first == 0 or start == 0
        assert last == total or stop == room
        sides.append((last - first, stop - start))
    (width, across), (height, down) = sides
    # a source pixel, and an output pixel, were rounded a side
    low = (across - 1) / (width + 2) / ((down + 1) / max(height - 2, 0.5))
    high = (across + 1) / max(width - 2, 0.5) / ((down - 1) / (height + 2) or 1e-9)
    thin = min(across, down) <= 2
    assert thin or (low <= 1.25 and high >= 1 / 1.25)


def test_a_photo_that_shrinks_is_averaged() -> None:
    checks = np.indices((800, 1200)).sum(0) % 2 * 255
    fine = Sample(np.repeat(checks[..., None], 3, 2).astype(np.uint8), "boxed", path="photo.jpg")
    for seed in range(5):
        placed, (left, top, right, bottom) = PLAIN(fine, (64, 64), seed)
        inner = placed.image[int(top) + 2 : int(bottom) - 2, int(left) + 2 : int(right) - 2]
        assert abs(inner.mean() - 127.5) < 3
        assert inner.std() < 40  # 127 where pixels are skipped


def test_a_seed_decides_the_draw_and_another_seed_changes_it() -> None:
    sample = white_box(90, 120, (20, 30, 80, 70))
    copy = pickle.loads(pickle.dumps(COLOURED))
    for seed in (0, 1, 2**32 - 1):
        first, region = COLOURED(sample, (64, 64), seed)
        COLOURED(sample, (64, 64), seed + 1)
        again, same = copy(sample, (64, 64), seed)
        assert np.array_equal(first.image, again.image)
        assert np.array_equal(first.boxes, again.boxes)
        assert np.array_equal(region, same)
    other, _ = COLOURED(sample, (64, 64), 3)
    assert not np.array_equal(first.image, other.image)


def test_the_sample_given_is_not_changed() -> None:
    sample = white_box(90, 120, (20, 30, 80, 70))
    before = sample.image.copy(), sample.boxes.copy(), sample.ignore.copy()
    COLOURED(sample, (64, 64), 1)
    for now, then in zip((sample.image, sample.boxes, sample.ignore), before, strict=True):
        assert np.array_equal(now, then)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 20_000),
    st.integers(1, 20_000),
    st.floats(0.1, 1),
    st.floats(0.2, 1),
)
def test_at_least_keep_of_the_photo_stays_visible(seed, height, width, keep, low) -> None:
    view = View(scale=(low, 4.0), keep=keep, aspect=1.6)
    warp = draw_warp((height, width), (64, 96), view, np.random.default_rng(seed))
    whole = warp.boxes(np.array([[0.0, 0, width, height]]))[0]
    left, top, right, bottom = warp.region
    share = (right - left) * (bottom - top) / (whole[2:] - whole[:2]).prod()
    # a photo so thin that a pixel is more than its share cannot be kept by shrinking
    thin = (whole[2:] - whole[:2]).min() <= 2
    assert share >= keep - 1e-3 or thin


def test_fill_zero_shows_the_whole_photo_and_fill_one_leaves_no_padding() -> None:
    still = {"scale": (1.0, 1.0), "aspect": 1.0, "flip": 0.0, "keep": 0.01}
    rng = np.random.default_rng(0)
    whole = draw_warp((100, 300), (64, 64), View(fill=(0, 0), **still), rng)
    left, top, right, bottom = whole.region
    assert whole.cut == (0, 0, 300, 100)
    assert (right - left, bottom - top) == (64, pytest.approx(64 / 3, abs=1))
    cut = draw_warp((100, 300), (64, 64), View(fill=(1, 1), **still), rng)
    assert cut.region.tolist() == [0, 0, 64, 64]
    assert cut.cut[2] - cut.cut[0] == pytest.approx(100, abs=1)


def placed_at(shift: int, sample: Sample) -> Sample:
    """The sample moved left by `shift` pixels, by the transform's own rules for boxes."""
    from data.transforms import _carry

    height, width = size = sample.image.shape[:2]
    cut, place = (shift, 0, width, height), (0, 0, width - shift, height)
    return _carry(sample, Warp(cut, place, False, size, size), sample.image)


def test_small_remains_become_ignore_regions_not_background() -> None:
    sample = white_box(100, 100, (20, 20, 60, 60), masks=None)
    assert placed_at(30, sample).ignore.tolist() == [False]
    share = placed_at(58, sample)  # a twentieth is left, two pixels
    assert MIN_SHARE > 2 / 40
    assert share.ignore.tolist() == [True]
    assert share.nodes.tolist() == [5]
    assert share.boxes.tolist() == [[0, 20, 2, 60]]
    thin = white_box(100, 100, (53, 20, 60, 60), masks=None)
    sliver = placed_at(59, thin)  # 14 % is left, under two pixels
    assert MIN_SHARE < 1 / 7
    assert MIN_SIDE > 1
    assert sliver.ignore.tolist() == [True]
    assert len(placed_at(60, sample).boxes) == 0


def test_an_ignore_region_stays_one_and_an_object_of_unknown_label_stays_unknown() -> None:
    sample = white_box(
        100, 100, (20, 20, 60, 60), masks=None, nodes=np.array([-1]), ignore=np.array([True])
    )
    assert placed_at(5, sample).ignore.tolist() == [True]
    assert placed_at(5, sample.replace(ignore=np.array([False]))).nodes.tolist() == [-1]


def test_bad_boxes_are_made_sane_before_they_are_carried() -> None:
    bad = [[np.nan, 0, 5, 5], [60, 60, 20, 20], [0, 0, 1e9, 1e9], [-9, 10, 40, 40]]
    sample = white_box(
        100,
        100,
        (20, 20, 60, 60),
        masks=None,
        boxes=np.array(bad, np.float32),
        nodes=np.arange(4),
        ignore=np.zeros(4, bool),
    )
    moved = placed_at(0, sample)
    assert moved.nodes.tolist() == [1, 3]
    assert moved.boxes.tolist() == [[20, 20, 60, 60], [0, 10, 40, 40]]
    for seed in range(10):
        boxes = COLOURED(sample, (48, 48), seed)[0].boxes
        assert np.isfinite(boxes).all()
        assert (boxes >= 0).all()
        assert (boxes <= 48).all()


@pytest.mark.parametrize("shape", [(1, 1), (20_000, 3), (3, 40_000)])
def test_extreme_photos_are_placed(shape: tuple[int, int]) -> None:
    sample = Sample(np.full((*shape, 3), 200, np.uint8), "boxed", path="photo.jpg")
    for seed in range(3):
        assert COLOURED(sample, (64, 64), seed)[0].image.shape == (64, 64, 3)


def test_a_label_only_photo_has_its_own_view_and_keeps_its_labels() -> None:
    still = View(fill=(0, 0), scale=(1, 1), aspect=1, flip=0)
    transform = TrainTransform(
        boxed=View(fill=(1, 1), scale=(1, 1), aspect=1, flip=0), label_only=still, colour=None
    )
    image = np.zeros((50, 100, 3), np.uint8)
    photo = Sample(image, "label_only", labels=np.array([2, 9]), path="photo.jpg")
    placed, region = transform(photo, (64, 64), 0)
    assert placed.labels.tolist() == [2, 9]
    assert region[2] - region[0] == 64
    assert region[3] - region[1] == 32
    _, region = transform(Sample(image, "boxed", path="photo.jpg"), (64, 64), 0)
    assert region.tolist() == [0, 0, 64, 64]


def slow_recolour(image, brightness, contrast, saturation, turn) -> np.ndarray:
    """The four changes one after the other, a pixel at a time, without rounding in between."""

    def grey(pixel):
        return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]

    pixels = [[float(v) * brightness for v in pixel] for pixel in image.reshape(-1, 3)]
    mean = sum(grey(pixel) for pixel in pixels) / len(pixels)
    pixels = [[mean + contrast * (v - mean) for v in pixel] for pixel in pixels]
    pixels = [[grey(p) + saturation * (v - grey(p)) for v in p] for p in pixels]
    angle, axis = 2 * np.pi * turn, np.ones(3) / np.sqrt(3)
    turned = []
    for pixel in np.array(pixels):  # Rodrigues' formula
        along = axis * (axis @ pixel) * (1 - np.cos(angle))
        turned.append(
            pixel * np.cos(angle) + np.cross(axis, pixel) * np.sin(angle) + along,
        )
    return np.array(turned).clip(0, 255).reshape(image.shape)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 99),
    st.floats(0.5, 2),
    st.floats(0.5, 2),
    st.floats(0.5, 2),
    st.floats(-0.5, 0.5),
)
def test_colour_equals_its_slow_twin(seed, brightness, contrast, saturation, turn) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    changed = recolour(image, brightness, contrast, saturation, turn)
    slow = slow_recolour(image, brightness, contrast, saturation, turn)
    assert changed.dtype == np.uint8
    assert np.abs(changed - slow).max() <= 1


def test_no_change_of_colour_is_no_change() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    assert np.array_equal(recolour(image, 1, 1, 1, 0), image)


def test_a_third_of_a_turn_makes_red_green_and_small_turns_move_the_hue_by_as_much() -> None:
    image = np.array([[[200, 90, 60], [60, 90, 200], [90, 160, 110]]], np.uint8)
    assert np.array_equal(recolour(image, 1, 1, 1, 1 / 3), image[..., [2, 0, 1]])
    moved = recolour(image, 1, 1, 1, 0.05)
    for before, after in zip(image[0], moved[0], strict=True):
        turn = (
            colorsys.rgb_to_hsv(*(after / 255))[0] - colorsys.rgb_to_hsv(*(before / 255))[0]
        ) % 1
        assert turn == pytest.approx(0.05, abs=0.015)


def test_the_colour_draws_fill_their_ranges_and_stay_inside() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    only = Colour(hue=0, saturation=1, brightness=1.5, contrast=1)
    greys = [only.change(image, rng)[0, 0, 0] / 100 for _ in range(300)]
    assert 1 / 1.5 - 0.01 <= min(greys) < 0.7
    assert 1.45 < max(greys) <= 1.5 + 0.01


def test_grey_photos_stay_grey() -> None:
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (40, 40, 1), np.uint8), 3, 2)
    placed, _ = COLOURED(Sample(grey, "boxed", path="photo.jpg"), (40, 40), 2)
    assert np.ptp(placed.image.astype(int), axis=2).max() <= 1


def test_impossible_values_are_refused() -> None:
    for values in ({"fill": (0.5, 0.2)}, {"scale": (0, 1)}, {"keep": 0}, {"flip": 2}):
        with pytest.raises(UserError, match=next(iter(values))):
            View(**values)
    with pytest.raises(UserError, match="hue"):
        Colour(hue=0.7)
    with pytest.raises(UserError, match="saturation"):
        Colour(saturation=0.5)
