"""A photo placed in a rectangle: pixels, boxes and region agree, and a seed decides all."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import GREY
from data.sample import Sample
from data.transforms import MIN_SHARE, MIN_SIDE, Colour, TrainTransform, View, Warp, draw_warp
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
    """Bilinear interpolation from its definition, a pixel at a time; edge pixels go on outside."""
    result = np.full((*warp.size, 3), float(GREY))
    for y in range(warp.size[0]):
        for x in range(warp.size[1]):
            sx = (x + 0.5 - warp.shift[0]) / warp.scale[0] - 0.5
            sy = (y + 0.5 - warp.shift[1]) / warp.scale[1] - 0.5
            if not (-0.5 < sx < image.shape[1] - 0.5 and -0.5 < sy < image.shape[0] - 0.5):
                continue
            result[y, x] = 0
            x0, y0 = int(np.floor(sx)), int(np.floor(sy))
            for j in (0, 1):
                for i in (0, 1):
                    weight = (1 - abs(sx - x0 - i)) * (1 - abs(sy - y0 - j))
                    row = np.clip(y0 + j, 0, image.shape[0] - 1)
                    column = np.clip(x0 + i, 0, image.shape[1] - 1)
                    result[y, x] += weight * image[row, column]
    return result


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_warp_equals_its_slow_twin_where_the_photo_is_not_averaged(flip: float) -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 26, 3), np.uint8)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        warp = draw_warp((20, 26), (28, 24), View(flip=flip), rng)
        # OpenCV counts positions in 1/32 of a pixel
        assert np.abs(warp.image(image) - slow_warp(image, warp)).max() <= 255 * 2 / 32 + 1


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
    left, top, right, bottom = warp.region()
    share = (right - left) * (bottom - top) / (whole[2:] - whole[:2]).prod()
    # a photo so thin that a pixel is more than its share cannot be kept by shrinking
    thin = (whole[2:] - whole[:2]).min() <= 1.001
    assert share >= keep - 1e-3 or thin


def test_fill_zero_shows_the_whole_photo_and_fill_one_leaves_no_padding() -> None:
    still = {"scale": (1.0, 1.0), "aspect": 1.0, "flip": 0.0, "keep": 0.01}
    rng = np.random.default_rng(0)
    whole = draw_warp((100, 300), (64, 64), View(fill=(0, 0), **still), rng)
    assert whole.scale == pytest.approx((64 / 300, 64 / 300))
    cut = draw_warp((100, 300), (64, 64), View(fill=(1, 1), **still), rng)
    assert cut.region().tolist() == [0, 0, 64, 64]


def placed_at(shift: float, sample: Sample) -> Sample:
    """The sample moved left by `shift` pixels, by the transform's own rules for boxes."""
    from data.transforms import _carry

    size = sample.image.shape[:2]
    return _carry(sample, Warp((1.0, 1.0), (-shift, 0.0), size, size))


def test_small_remains_become_ignore_regions_not_background() -> None:
    sample = white_box(100, 100, (20, 20, 60, 60), masks=None)
    assert placed_at(30, sample).ignore.tolist() == [False]
    share = placed_at(20 + 40 * (1 - MIN_SHARE / 2), sample)  # a twentieth is left, two pixels
    assert share.ignore.tolist() == [True]
    assert share.nodes.tolist() == [5]
    assert share.boxes.tolist() == [[0, 20, 2, 60]]
    thin = white_box(100, 100, (50, 20, 60, 60), masks=None)
    sliver = placed_at(60 - MIN_SIDE * 0.75, thin)  # 15 % is left, under two pixels
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
