"""Albumentations' pixel transforms by name: what is taken, what is refused, and the same draws."""

from __future__ import annotations

import numpy as np
import pytest

from data.pixel_changes import PixelChanges
from data.sample import Sample
from data.transforms import TrainTransform
from wordtree import UserError

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
BLUR = {"name": "MotionBlur", "blur_limit": 5, "p": 1.0}


def test_a_seed_decides_what_changes() -> None:
    change = PixelChanges([BLUR, {"name": "GaussNoise", "p": 0.5}])
    first = change(IMAGE, 3)
    assert first.shape == IMAGE.shape
    assert first.dtype == np.uint8
    assert not np.array_equal(first, IMAGE)
    assert np.array_equal(change(IMAGE, 3), first)
    assert not np.array_equal(change(IMAGE, 4), first)


def test_a_training_photo_is_changed_where_it_stands_and_its_boxes_are_not() -> None:
    sample = Sample(
        image=IMAGE,
        kind="boxed",
        boxes=np.array([[10, 10, 30, 30]], np.float32),
        nodes=np.array([1]),
        ignore=np.array([False]),
    )
    plain = TrainTransform(colour=None)
    changed = TrainTransform(colour=None, pixels=PixelChanges([BLUR]))
    for seed in range(5):
        (a, region), (b, same) = plain(sample, (64, 64), seed), changed(sample, (64, 64), seed)
        assert np.array_equal(region, same)
        assert np.array_equal(a.boxes, b.boxes)
        left, top, right, bottom = region.astype(int)
        outside = np.ones((64, 64), bool)
        outside[top:bottom, left:right] = False
        assert np.array_equal(a.image[outside], b.image[outside])
        assert not np.array_equal(a.image, b.image)


@pytest.mark.parametrize("change", ["MotionBlur", 3])
def test_a_change_that_is_no_mapping_is_refused_with_the_form(change: object) -> None:
    with pytest.raises(UserError, match=r"augment\.pixels has .*\{name: MotionBlur, p: 0\.1\}"):
        PixelChanges([change])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "MotionBlurr"}, "name=MotionBlurr.*did you mean MotionBlur"),
        ({"p": 0.5}, "name=None, which is no transform"),
        ({"name": "Rotate"}, "name=Rotate, which moves pixels away from their boxes"),
        ({"name": "MotionBlur", "blur": 3}, "MotionBlur refuses .*blur"),
        ({"name": "MotionBlur", "p": 7}, "MotionBlur refuses"),
        ({"name": "ToFloat"}, "ToFloat gives float32"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(change: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        PixelChanges([change])
