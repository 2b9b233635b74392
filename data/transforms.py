"""One photo into a rectangle of a training input: one warp, then colour. A function of the seed.

Crop, scale, shift and flip are one affine map, so pixels are interpolated once; colour comes after
the warp, on the few pixels that the network sees. The map is our own, since Albumentations drops
boxes that a crop cuts down, and here they must become ignore regions; colour is Albumentations'.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class TrainTransform:
    """Places a photo in a rectangle, the same way whenever the seed is the same.

    boxed: the view of boxed and background photos. label_only: of label-only photos. colour: None
    leaves colours as they are. Padding is grey.
    """

    boxed: View = View()
    label_only: View = LABEL_ONLY_VIEW
    colour: Colour | None = Colour()
    _pipeline: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.colour is not None:
            object.__setattr__(self, "_pipeline", _colour_pipeline(self.colour))

    def __call__(
        self, sample: Sample, size: tuple[int, int], seed: int
    ) -> tuple[Sample, NDArray[np.float32]]:
        """The sample with an image of exactly `size` (height, width), boxes in its pixels, and the
        region where the photo stands: float32 (4,), xyxy in its pixels, padding left out."""
        rng = np.random.default_rng(seed)
        view = self.label_only if sample.kind == "label_only" else self.boxed
        warp = draw_warp(sample.image.shape[:2], size, view, rng)
        image = warp.image(sample.image)
        region = warp.region()
        if self._pipeline is not None:
            rows, columns = warp.pixels()
            self._pipeline.set_random_seed(int(rng.integers(1 << 31)))
            part = np.ascontiguousarray(image[rows, columns])
            image[rows, columns] = self._pipeline(image=part)["image"]
        return _carry(sample, warp).replace(image=image), region


@dataclass(frozen=True)
class Warp:
    """x of the output = scale[0] * x of the photo + shift[0], y with [1]; scale[0] < 0 mirrors.

    Coordinates are continuous: pixel i covers [i, i + 1). original_size, size: (height, width).
    """

    scale: tuple[float, float]
    shift: tuple[float, float]
    original_size: tuple[int, int]
    size: tuple[int, int]

    def boxes(self, boxes: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Boxes (n, 4) xyxy of the photo -> of the output, not clipped."""
        points = boxes.reshape(-1, 2, 2).astype(np.float64) * self.scale + self.shift
        return np.concatenate([points.min(1), points.max(1)], 1)

    def region(self) -> NDArray[np.float32]:
        """float32 (4,), xyxy: the part of the output in which the photo stands."""
        height, width = self.original_size
        whole = self.boxes(np.array([[0, 0, width, height]], np.float64))[0]
        limit = [self.size[1], self.size[0]] * 2
        return whole.clip(0, limit).astype(np.float32)

    def pixels(self) -> tuple[slice, slice]:
        """Rows and columns of the output whose pixels are the photo's: the region, rounded; one
        at least, also where the photo is just a pixel thin."""
        left, top, right, bottom = np.floor(self.region() + 0.5).astype(int).tolist()
        return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))

    def image(
        self, image: NDArray[np.uint8], *, padding: int = GREY, nearest: bool = False
    ) -> NDArray[np.uint8]:
        """The photo's pixels (H, W) or (H, W, 3) in the output, `padding` elsewhere.

        A photo that shrinks to less than half is averaged down by whole steps first: linear
        interpolation alone would read a few pixels and skip the rest. Only what will be seen is
        touched, so large photos cost no more than small ones.
        """
        part, matrix = image, np.zeros((2, 3))
        target = []
        for axis in (0, 1):  # x, y
            scale, shift = self.scale[axis], self.shift[axis]
            length = self.size[1 - axis]
            ends = sorted([-shift / scale, (length - shift) / scale])
            step = 1 if nearest else max(1, int(1 / abs(scale)))
            total = self.original_size[1 - axis]
            # Two pixels of margin after averaging keep the cut's own edge out of sight.
            first = min(max(0, math.floor(ends[0]) - 2 * step), total - 1)
            last = max(min(total, math.ceil(ends[1]) + 2 * step), first + 1)
            part = part[:, first:last] if axis == 0 else part[first:last]
            small = max(1, (last - first) // step)
            scaled = scale * (last - first) / small
            target.append(small)
            matrix[axis, axis] = scaled
            # OpenCV counts from pixels' centres, which lie half a pixel inside.
            matrix[axis, 2] = scale * first + shift + scaled / 2 - 0.5
        if (target[1], target[0]) != part.shape[:2]:
            part = cv2.resize(part, tuple(target), interpolation=cv2.INTER_AREA)
        result = cv2.warpAffine(
            np.ascontiguousarray(part),
            matrix,
            (self.size[1], self.size[0]),
            flags=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR,
            # A constant border would shine into the photo, far so where a small one is enlarged.
            borderMode=cv2.BORDER_REPLICATE,
        )
        rows, columns = self.pixels()
        result[: rows.start] = padding
        result[rows.stop :] = padding
        result[:, : columns.start] = padding
        result[:, columns.stop :] = padding
        return result


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
    low, high = np.log(view.scale)
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
    if rng.random() < view.flip:
        horizontal, left = -horizontal, left + horizontal * width
    return Warp((horizontal, vertical), (left, top), original_size, size)


def _carry(sample: Sample, warp: Warp) -> Sample:
    """The sample's boxes and masks in the output; its image is left as it was.

    Boxes are made sane, moved, clipped; what is left of them is judged by MIN_SHARE and MIN_SIDE.
    """
    sane = sane_boxes(sample.boxes, sample.image.shape[:2])
    nodes, ignore = sample.nodes[sane.kept], sample.ignore[sane.kept]
    moved = warp.boxes(sane.boxes)
    clipped = moved.clip(0, [warp.size[1], warp.size[0]] * 2)
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
            masks[row] = warp.image(mask, padding=0, nearest=True) > 0
    return sample.replace(
        boxes=clipped[kept].astype(np.float32),
        nodes=nodes[kept],
        ignore=(ignore | remnant)[kept],
        masks=masks,
    )


def _colour_pipeline(colour: Colour) -> Any:
    # Else Albumentations asks the package index for a newer version of itself at every import.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    def around(factor: float) -> tuple[float, float]:
        return 1 / factor, factor

    jitter = albumentations.ColorJitter(
        brightness=around(colour.brightness),
        contrast=around(colour.contrast),
        saturation=around(colour.saturation),
        hue=(-colour.hue, colour.hue),
        p=1.0,
    )
    return albumentations.Compose([jitter])
