"""One photo into a rectangle of a training input: one resize, then colour. A function of the seed.

Crop, scale, shift and flip are a rectangle of whole pixels of the photo stretched over one of the
input, so pixels are interpolated once and boxes follow them exactly; colour comes after, on the
few pixels that the network sees, as one matrix. Boxes that a crop cuts down become ignore regions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from data.boxes import sane_boxes
from data.images import GREY
from data.sample import Sample
from wordtree.errors import UserError

# What is left of a box is an object still if it has a tenth of its area and two pixels a side;
# less becomes an ignore region: it would be noise as a truth, and a lie as background.
MIN_SHARE = 0.1
MIN_SIDE = 2.0
# Sides of an ignore region below this are dropped: no cell's prediction can overlap it much.
_SPECK = 0.5
# An edge that is a whole pixel but for the arithmetic's rounding is that pixel's.
_ROUNDING = 1e-6
# What a channel gives to a pixel's grey (ITU-R BT.601, as OpenCV, PIL and torchvision have it).
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class View:
    """How much of a photo a draw shows, and how.

    fill: range; 0 shows the whole photo with padding on two sides, 1 cuts its longer side so that
        nothing is padded.
    scale: range of a further factor on the photo's size, even on a logarithmic scale.
    aspect: the ratio of width to height is changed by up to this factor, either way.
    keep: the least share of the photo's area that stays visible; a draw that shows less is scaled
        back. It goes before the other ranges.
    flip: probability of a mirror image.
    """

    fill: tuple[float, float] = (0.0, 1.0)
    scale: tuple[float, float] = (0.8, 1.4)
    aspect: float = 1.25
    keep: float = 0.3
    flip: float = 0.5

    def __post_init__(self) -> None:
        ranges = {"fill": self.fill, "scale": self.scale}
        for name, (low, high) in ranges.items():
            if not 0 <= low <= high:
                raise UserError(f"view {name}=({low}, {high}) must be two numbers, low then high")
        if self.fill[1] > 1 or self.scale[0] <= 0:
            raise UserError(f"view fill={self.fill} must be in [0, 1], scale={self.scale} above 0")
        if not (self.aspect >= 1 and 0 < self.keep <= 1 and 0 <= self.flip <= 1):
            raise UserError(
                f"view aspect={self.aspect} must be 1 or more, keep={self.keep} in (0, 1] and "
                f"flip={self.flip} in [0, 1]"
            )


# The object of a label-only photo may stand anywhere, so most of the photo must stay.
LABEL_ONLY_VIEW = View(fill=(0.0, 0.5), scale=(0.9, 1.2), aspect=1.15, keep=0.65)


@dataclass(frozen=True)
class Colour:
    """Ranges of the colour change. hue: turn, in parts of the circle, either way. The others are
    factors: 1.5 means between 1/1.5 and 1.5 (darknet's saturation and exposure)."""

    hue: float = 0.05
    saturation: float = 1.5
    brightness: float = 1.4
    contrast: float = 1.2

    def __post_init__(self) -> None:
        factors = (self.saturation, self.brightness, self.contrast)
        if not 0 <= self.hue <= 0.5 or min(factors) < 1:
            raise UserError(
                f"colour hue={self.hue} must be in [0, 0.5], and saturation, brightness and "
                f"contrast={factors} 1 or more"
            )

    def change(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """A random change of an image (H, W, 3)."""
        factors = (self.brightness, self.contrast, self.saturation)
        brightness, contrast, saturation = (rng.uniform(1 / f, f) for f in factors)
        return recolour(image, brightness, contrast, saturation, rng.uniform(-self.hue, self.hue))


def recolour(
    image: NDArray[np.uint8], brightness: float, contrast: float, saturation: float, turn: float
) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) times `brightness`; then away from the image's mean grey by `contrast`;
    away from each pixel's own grey by `saturation`; and turned about the axis of greys by `turn`
    parts of a circle (1/3 makes red green).

    All four are linear, so they are one matrix, rounded and clipped once at the end.
    """
    grey = float(np.dot(cv2.mean(image)[:3], LUMA)) * brightness
    saturate = saturation * np.eye(3) + (1 - saturation) * LUMA
    cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn) / math.sqrt(3)
    turned = np.array([[cos, -sin, sin], [sin, cos, -sin], [-sin, sin, cos]])
    rotate = turned + (1 - cos) / 3
    matrix = np.empty((3, 4))
    matrix[:, :3] = brightness * contrast * (rotate @ saturate)
    matrix[:, 3] = (1 - contrast) * grey  # a grey, which neither saturation nor a turn changes
    return cv2.transform(image, matrix)


@dataclass(frozen=True)
class TrainTransform:
    """Places a photo in a rectangle, the same way whenever the seed is the same.

    boxed: the view of boxed and background photos. label_only: of label-only photos. colour: None
    leaves colours as they are. pixels: called as pixels(image, seed) on what is seen of the photo,
    after its colours; see `data.pixel_changes`. Padding is grey.
    """

    boxed: View = View()
    label_only: View = LABEL_ONLY_VIEW
    colour: Colour | None = Colour()
    pixels: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]] | None = None

    def __call__(
        self, sample: Sample, size: tuple[int, int], seed: int
    ) -> tuple[Sample, NDArray[np.float32]]:
        """The sample with an image of exactly `size` (height, width), boxes in its pixels, and the
        region where the photo stands: float32 (4,), xyxy in its pixels, padding left out."""
        rng = np.random.default_rng(seed)
        view = self.label_only if sample.kind == "label_only" else self.boxed
        warp = draw_warp(sample.image.shape[:2], size, view, rng)
        pixels = warp.pixels(sample.image)
        if self.colour is not None:
            pixels = self.colour.change(pixels, rng)
        if self.pixels is not None:
            pixels = self.pixels(pixels, int(rng.integers(1 << 31)))
        return _carry(sample, warp, warp.padded(pixels)), warp.region


@dataclass(frozen=True)
class Warp:
    """A rectangle of a photo (`cut`) stretched over one of the output (`place`), or mirrored.

    cut, place: (left, top, right, bottom) in whole pixels, at least one a side: pixel i covers
    [i, i + 1). original_size, size: (height, width) of photo and output.
    """

    cut: tuple[int, int, int, int]
    place: tuple[int, int, int, int]
    mirrored: bool
    original_size: tuple[int, int]
    size: tuple[int, int]

    @property
    def region(self) -> NDArray[np.float32]:
        """float32 (4,), xyxy: the part of the output in which the photo stands."""
        return np.array(self.place, np.float32)

    def boxes(self, boxes: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Boxes (n, 4) xyxy of the photo -> of the output, not clipped."""
        (x0, y0, x1, y1), (left, top, right, bottom) = self.cut, self.place
        x, y = (right - left) / (x1 - x0), (bottom - top) / (y1 - y0)
        shift = np.array([left - x * x0, top - y * y0] * 2)
        moved = boxes.reshape(-1, 4) * np.array([x, y, x, y]) + shift
        if self.mirrored:
            moved[:, [0, 2]] = left + right - moved[:, [2, 0]]
        return moved

    def pixels(self, image: NDArray[np.uint8], *, nearest: bool = False) -> NDArray[np.uint8]:
        """What the photo's pixels (H, W) or (H, W, 3) become inside `place`.

        A photo that shrinks to less than half is averaged down by whole steps first: linear
        interpolation alone would read a few pixels and skip the rest. Only what will be seen is
        touched, so large photos cost no more than small ones.
        """
        part = image[self.cut[1] : self.cut[3], self.cut[0] : self.cut[2]]
        target = self.place[2] - self.place[0], self.place[3] - self.place[1]
        if not nearest:
            height, width = part.shape[:2]
            averaged = width // max(1, width // target[0]), height // max(1, height // target[1])
            if averaged != (width, height):
                part = cv2.resize(part, averaged, interpolation=cv2.INTER_AREA)
        how = cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_LINEAR
        pixels = cv2.resize(part, target, interpolation=how)
        return cv2.flip(pixels, 1) if self.mirrored else pixels

    def padded(self, pixels: NDArray[np.uint8], padding: int = GREY) -> NDArray[np.uint8]:
        """`pixels` at their place in an output with `padding` elsewhere."""
        if pixels.shape[:2] == self.size:
            return pixels
        image = np.full(self.size + pixels.shape[2:], padding, np.uint8)
        image[self.place[1] : self.place[3], self.place[0] : self.place[2]] = pixels
        return image


def draw_warp(
    original_size: tuple[int, int],
    size: tuple[int, int],
    view: View,
    rng: np.random.Generator,
) -> Warp:
    """A random warp of a photo of `original_size` into `size`, both (height, width)."""
    height, width = original_size
    ratios = size[0] / height, size[1] / width
    fit, cover = min(ratios), max(ratios)
    fill = rng.uniform(*view.fill)
    low, high = (math.log(factor) for factor in view.scale)
    scale = fit ** (1 - fill) * cover**fill * math.exp(rng.uniform(low, high))
    half = math.exp(rng.uniform(-1, 1) * math.log(view.aspect) / 2)
    vertical, horizontal = scale / half, scale * half
    # The visible share of each axis if nothing were scaled back, and the factor that keeps `keep`.
    seen = size[0] / (vertical * height), size[1] / (horizontal * width)
    back = math.sqrt(seen[0] * seen[1] / view.keep)
    if max(seen) > back:  # then one axis at most is cut
        back = min(seen) / view.keep
    back = min(1.0, back)
    # A side is a pixel at least, also of a photo of 20,000 x 3.
    vertical, horizontal = max(vertical * back, 1 / height), max(horizontal * back, 1 / width)
    spare = size[0] - vertical * height, size[1] - horizontal * width
    top, left = (rng.uniform(min(0.0, s), max(0.0, s)) for s in spare)
    mirrored = bool(rng.random() < view.flip)
    (x0, x1), (left_at, right_at) = _whole(horizontal, left, width, size[1])
    (y0, y1), (top_at, bottom_at) = _whole(vertical, top, height, size[0])
    place = (left_at, top_at, right_at, bottom_at)
    return Warp((x0, y0, x1, y1), place, mirrored, original_size, size)


def _whole(
    scale: float, shift: float, length: int, room: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Along one axis, `length` pixels times `scale` plus `shift` in an output of `room` pixels:
    the whole pixels that show, outwards, so that `keep` holds; and where they stand."""
    first = max(0, math.floor(-shift / scale + _ROUNDING))
    last = min(length, math.ceil((room - shift) / scale - _ROUNDING))
    start = min(max(0, round(shift)), room - 1)
    stop = min(max(round(shift + scale * length), start + 1), room)
    return (first, max(last, first + 1)), (start, stop)


def _carry(sample: Sample, warp: Warp, image: NDArray[np.uint8]) -> Sample:
    """The sample with the output's `image`, and its boxes and masks there.

    Boxes are made sane, moved, clipped; what is left of them is judged by MIN_SHARE and MIN_SIDE.
    """
    if not len(sample.boxes) and sample.masks is None:
        return sample.replace(image=image)
    sane = sane_boxes(sample.boxes, sample.image.shape[:2])
    nodes, ignore = sample.nodes[sane.kept], sample.ignore[sane.kept]
    moved = warp.boxes(sane.boxes)
    clipped = moved.clip(0, np.array([warp.size[1], warp.size[0]] * 2, np.float64))
    sides = clipped[:, 2:] - clipped[:, :2]
    share = sides.prod(1) / (moved[:, 2:] - moved[:, :2]).prod(1)
    remnant = (share < MIN_SHARE) | (sides < MIN_SIDE).any(1)
    kept = (sides >= _SPECK).all(1)
    masks = sample.masks
    if masks is not None:
        flat = np.flatnonzero(sane.kept)[kept]
        masks = np.zeros((len(flat), *warp.size), bool)
        for row, given in enumerate(flat):
            mask = sample.masks[given].astype(np.uint8)
            masks[row] = warp.padded(warp.pixels(mask, nearest=True), 0) > 0
    return sample.replace(
        image=image,
        boxes=clipped[kept].astype(np.float32),
        nodes=nodes[kept],
        ignore=(ignore | remnant)[kept],
        masks=masks,
    )
