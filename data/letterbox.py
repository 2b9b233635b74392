"""A whole photo into the network's input, and boxes there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.images import GREY
from data.sample import Input, Sample


@dataclass(frozen=True)
class Letterbox:
    """How a photo lies in an input: scaled by `scale`, then moved by (left, top) pixels.

    original_size: (height, width) of the photo; size: (height, width) of the input. The scaled
    photo has whole pixels, at least one a side, so each axis is scaled by its own `scales`, which
    differ from `scale` by that rounding alone; boxes follow the pixels.
    """

    scale: float
    left: int
    top: int
    original_size: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def fit(cls, original_size: tuple[int, int], size: tuple[int, int]) -> Letterbox:
        """The whole photo as large as it fits, centred."""
        scale = min(size[0] / original_size[0], size[1] / original_size[1])
        height, width = _scaled(original_size, scale)
        left, top = (size[1] - width) // 2, (size[0] - height) // 2
        return cls(scale, left, top, original_size, size)

    @property
    def content_size(self) -> tuple[int, int]:
        """(height, width) of the photo inside the input, whole pixels."""
        return _scaled(self.original_size, self.scale)

    @property
    def scales(self) -> tuple[float, float]:
        """(vertical, horizontal) pixels of the input a pixel of the photo."""
        height, width = self.content_size
        return height / self.original_size[0], width / self.original_size[1]

    @property
    def region(self) -> NDArray[np.float32]:
        """float32 (4,), xyxy in pixels of the input: where the photo stands, padding left out."""
        height, width = self.content_size
        corners = [self.left, self.top, self.left + width, self.top + height]
        return np.array(corners, np.float32)

    def forward(self, boxes: ArrayLike) -> NDArray[np.floating[Any]]:
        """Boxes (n, 4) xyxy, pixels of the photo -> (n, 4) xyxy, pixels of the input.

        float64 stays float64, all else becomes float32.
        """
        boxes, scale, shift = self._map(boxes)
        return (boxes.astype(np.float64) * scale + shift).astype(boxes.dtype)

    def backward(self, boxes: ArrayLike) -> NDArray[np.floating[Any]]:
        """Boxes of the input -> boxes of the photo, clipped to it: forward's inverse to 1e-3 px
        for boxes inside the photo (in float32, a photo of up to 8,192 px in a square input)."""
        boxes, scale, shift = self._map(boxes)
        height, width = self.original_size
        back = (boxes.astype(np.float64) - shift) / scale
        return back.clip(0, [width, height, width, height]).astype(boxes.dtype)

    def _map(self, boxes: ArrayLike) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        given = np.asarray(boxes)
        kind = np.float64 if given.dtype == np.float64 and given.size else np.float32
        vertical, horizontal = self.scales
        scale = np.array([horizontal, vertical] * 2)
        return given.astype(kind).reshape(-1, 4), scale, np.array([self.left, self.top] * 2)


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def letterbox(sample: Sample, size: tuple[int, int]) -> tuple[Sample, Letterbox]:
    """The photo inside an input of `size` (height, width), padded with grey, boxes and masks too.

    Boxes of the result are xyxy in pixels of the input.
    """
    height, width = sample.image.shape[:2]
    box = Letterbox.fit((height, width), size)
    image = np.full((*size, 3), GREY, np.uint8)
    shrinks = box.content_size[0] < height or box.content_size[1] < width
    # INTER_AREA averages all pixels that fall together; linear alone would skip most of them.
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    image[_inside(box)] = _resize(sample.image, box.content_size, how)
    masks = sample.masks
    if masks is not None:
        masks = np.zeros((len(masks), *size), bool)
        for placed, mask in zip(masks, sample.masks, strict=True):
            grown = _resize(mask.astype(np.uint8), box.content_size, cv2.INTER_NEAREST)
            placed[_inside(box)] = grown.astype(bool)
    boxes = box.forward(sample.boxes).astype(np.float32)
    return sample.replace(image=image, boxes=boxes, masks=masks), box


def letterbox_input(sample: Sample, size: tuple[int, int], position: int = 0) -> Input:
    """One network input of `size` (height, width) that holds the whole photo and nothing else."""
    placed, box = letterbox(sample, size)
    return Input(placed.image, (placed,), box.region[None], position)


def _inside(box: Letterbox) -> tuple[slice, slice]:
    height, width = box.content_size
    return slice(box.top, box.top + height), slice(box.left, box.left + width)


def _resize(image: NDArray[np.uint8], size: tuple[int, int], how: int) -> NDArray[np.uint8]:
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, size[::-1], interpolation=how)
