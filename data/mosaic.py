"""Several photos in one network input: where they stand, and pasting them there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.sample import Input, Sample
from wordtree.errors import UserError


def cells(
    grid: tuple[int, int],
    size: tuple[int, int],
    *,
    stride: int,
    rng: np.random.Generator,
    jitter: float = 0.4,
) -> NDArray[np.int64]:
    """The rectangles of a grid of (rows, columns) over an image of `size` (height, width).

    Gives int64 (rows * columns, 4), xyxy in pixels, row by row; they cover the image without
    overlap. Cuts run from edge to edge at multiples of `stride`; each is moved by up to `jitter`
    / 2 of an even cell's side either way (0: as even as the stride lets it be).
    """
    y = _cuts(grid[0], size[0], stride, rng, jitter)
    x = _cuts(grid[1], size[1], stride, rng, jitter)
    return np.array(
        [(x[j], y[i], x[j + 1], y[i + 1]) for i in range(grid[0]) for j in range(grid[1])],
        np.int64,
    )


def _cuts(
    parts: int, length: int, stride: int, rng: np.random.Generator, jitter: float
) -> list[int]:
    if parts == 1:
        return [0, length]
    units = length // stride
    if units < parts:
        raise UserError(
            f"an image of {length} pixels cannot be cut into {parts} tiles at multiples of the "
            f"stride {stride}; give a larger image_size or a smaller grid"
        )
    moved = np.arange(1, parts) + jitter * rng.uniform(-0.5, 0.5, parts - 1)
    inner = np.rint(moved * length / parts / stride).astype(int)
    cuts = [0]
    for number, cut in enumerate(inner, start=1):
        # each tile, and each one still to come, keeps a stride at least
        cuts.append(int(np.clip(cut, cuts[-1] + 1, units - parts + number)))
    return [cut * stride for cut in cuts] + [length]


def mosaic(
    samples: Sequence[Sample],
    rectangles: NDArray[np.int64],
    size: tuple[int, int],
    *,
    regions: Sequence[NDArray[np.float32] | None] | None = None,
    position: int = 0,
    broken: Sequence[tuple[str, str]] = (),
) -> Input:
    """Placed samples pasted into one input of `size` (height, width).

    samples: each one's image has exactly its rectangle's height and width.
    rectangles: int64 (n, 4), xyxy in pixels of the input, as `cells` gives them.
    regions: where a photo stands inside its own rectangle, padding left out (xyxy in pixels of
        the sample's image); None: it fills the rectangle.
    Boxes, ignore flags and labels are carried along. Masks are not: they would cost a whole input
    an object, and nothing reads them yet.
    """
    alone = len(samples) == 1 and samples[0].image.shape[:2] == tuple(size)
    image = samples[0].image if alone else np.zeros((*size, 3), np.uint8)
    carried, places = [], np.zeros((len(samples), 4), np.float32)
    regions = [None] * len(samples) if regions is None else regions
    for i, (sample, box, region) in enumerate(zip(samples, rectangles, regions, strict=True)):
        left, top, right, bottom = (int(v) for v in box)
        if sample.image.shape != (bottom - top, right - left, 3):
            raise ValueError(
                f"{sample.path or sample.source}: placed as {sample.image.shape}, its rectangle "
                f"is {bottom - top} x {right - left}"
            )
        if not alone:
            image[top:bottom, left:right] = sample.image
        shift = np.array([left, top, left, top], np.float32)
        carried.append(sample.replace(boxes=sample.boxes + shift, masks=None))
        places[i] = box if region is None else region + shift
    return Input(image, tuple(carried), places, position, tuple(broken))
