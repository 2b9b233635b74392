"""What a source's photos say of each node, known from its index without reading a photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Counts:
    """Boxes and photos of each node, over all photos of one source.

    nodes: int64 (k,), ascending: those that a box or a photo-level label carries.
    boxes: float64 (k,), boxes of each, ignore regions left out; 0 for label-only photos.
    photos: float64 (k,), photos that show it: with a box of it, or with it as a label.
    ignored: ignore regions; unknown: boxes whose label is unknown (node -1) and that are no ignore
        regions. empty: photos of a boxed source without a box, of a label-only one without a label.
    drawn: the source draws its photos endlessly, and the numbers are what it is expected to draw.
    """

    nodes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    photos: NDArray[np.float64]
    ignored: int = 0
    unknown: int = 0
    empty: int = 0
    drawn: bool = False


def count_boxes(photo: ArrayLike, node: ArrayLike, ignore: ArrayLike, *, photos: int) -> Counts:
    """The counts of a boxed source: a flat entry a box, in any order.

    photo: (n,), the number of the photo that a box stands in; node: (n,), -1 where its label is
    unknown; ignore: bool (n,), True for ignore regions. photos: how many the source has.
    """
    photo, node = np.asarray(photo, np.int64), np.asarray(node, np.int64)
    ignore = np.asarray(ignore, bool)
    known = ~ignore & (node >= 0)
    boxes = np.bincount(node[known])
    # Sorted by hand: np.unique without counts takes twenty times as long.
    pairs = np.sort(node[known] * max(photos, 1) + photo[known])
    shown = np.bincount(pairs[np.diff(pairs, prepend=-1) > 0] // max(photos, 1))
    nodes = np.flatnonzero(boxes)
    return Counts(
        nodes=nodes,
        boxes=boxes[nodes].astype(np.float64),
        photos=shown[nodes].astype(np.float64),
        ignored=int(ignore.sum()),
        unknown=int((~ignore & (node < 0)).sum()),
        empty=photos - int((np.bincount(photo[~ignore]) > 0).sum()),
    )


def count_labels(photo: ArrayLike, node: ArrayLike, *, photos: int) -> Counts:
    """The counts of a label-only source: a flat entry a label, in any order.

    photo: (n,), the number of the photo that a label belongs to; node: (n,), -1 for none.
    photos: how many the source has.
    """
    photo, node = np.asarray(photo, np.int64), np.asarray(node, np.int64)
    counted = count_boxes(
        photo[node >= 0], node[node >= 0], np.zeros((node >= 0).sum(), bool), photos=photos
    )
    return Counts(counted.nodes, np.zeros(len(counted.nodes)), counted.photos, empty=counted.empty)
