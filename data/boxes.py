"""What makes a box sane, before anything else looks at it.

Boxes are xyxy in pixels of the photo they belong to. One rule each:

  not finite          dropped
  swapped corners     set right
  outside the photo   clipped where at least a tenth of the box lies inside, else dropped
  under one pixel     dropped (after clipping; this holds boxes without an area, too)

A file whose boxes are all fractions is refused as a whole (`all_fractions`): one by one they would
only be dropped for being small.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float32]

# Annotators draw objects a little past the edge, never nine tenths of them: what lies mostly
# outside is a mistake in units or in the photo's size.
MIN_INSIDE = 0.1
MIN_SIDE = 1.0
# Corners that stand out by less were rounded, not misplaced; they are clipped without a word.
ROUNDING = 1.0
# What a photo may have at most where nobody says its size: JPEG ends at 65,535, PNG in memory.
MAX_SIDE = 1e6


class SaneBoxes(NamedTuple):
    """`boxes`: float32 (m, 4), the kept ones, xyxy; `kept`: bool (n,), which of the given;
    `faults`: the rule's name -> bool (n,), which of the given boxes it touched."""

    boxes: Boxes
    kept: NDArray[np.bool_]
    faults: dict[str, NDArray[np.bool_]]


def sane_boxes(boxes: ArrayLike, size: ArrayLike, *, rounding: ArrayLike = ROUNDING) -> SaneBoxes:
    """Boxes (n, 4) xyxy of photos of `size` (height, width), one or (n, 2), made sane.

    size: 0 where it is not known. rounding: what is clipped without a word, pixels; one, or (n, 2),
    across and down.
    """
    given = np.asarray(boxes, np.float64).reshape(-1, 4)
    stated = np.broadcast_to(np.asarray(size, np.float64), (len(given), 2))
    height, width = np.where(stated > 0, stated, MAX_SIDE).T
    finite = np.isfinite(given).all(1)
    given = np.where(finite[:, None], given, 0.0)
    low, high = np.minimum(given[:, :2], given[:, 2:]), np.maximum(given[:, :2], given[:, 2:])
    swapped = (given[:, :2] > given[:, 2:]).any(1)
    limit = np.stack([width, height], 1)
    inner_low, inner_high = low.clip(0, limit), high.clip(0, limit)
    with np.errstate(over="ignore"):  # sides of 1e200 have an endless area, which is outside
        inside, area = (inner_high - inner_low).prod(1), (high - low).prod(1)
    outside = finite & (inside < MIN_INSIDE * area)
    moved = (np.abs(inner_low - low) > rounding) | (np.abs(inner_high - high) > rounding)
    # float32 rounding of a side of exactly one pixel far from the origin must not drop it.
    small = finite & ~outside & ((inner_high - inner_low) < 0.999 * MIN_SIDE).any(1)
    kept = finite & ~outside & ~small
    return SaneBoxes(
        np.concatenate([inner_low, inner_high], 1)[kept].astype(np.float32),
        kept,
        {
            "not finite: dropped": ~finite,
            "swapped corners: set right": swapped & kept,
            "mostly or wholly outside the photo: dropped": outside,
            "partly outside the photo: clipped": kept & moved.any(1),
            "under one pixel: dropped": small,
        },
    )


def all_fractions(boxes: ArrayLike, sizes: ArrayLike) -> bool:
    """Whether boxes (n, 4) that should be pixels can only be fractions of their photos.

    So it is where no number of any box exceeds 1, as long as some photo is larger than 2 pixels
    or does not say its size (0). sizes: (m, 2), of all photos.
    """
    given = np.asarray(boxes, np.float64).reshape(-1, 4)
    finite = given[np.isfinite(given).all(1)]
    if not len(finite) or not 0 < np.abs(finite).max() <= 1:
        return False
    stated = np.asarray(sizes).reshape(-1, 2)
    return bool(len(stated) == 0 or (stated > 2).any() or (stated <= 0).any())
