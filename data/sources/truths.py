"""What a source of files knows of its photos, as arrays that forked workers share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.boxes import sane_boxes
from data.images import BrokenPhoto, Pixels
from data.sample import Kind, Sample
from data.sources.counts import Counts, count_boxes, count_labels

Truth = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]


@dataclass(frozen=True)
class Truths:
    """Objects of N photos, photo after photo; of a label-only photo its labels, with boxes of
    nothing.

    offsets: int64 (N + 1,), where each photo's objects begin. boxes: float32 (n, 4), xyxy in pixels
    of the photo. nodes: int64 (n,), -1 where unknown.
    ignore: bool (n,). own_classes: a photo is exhaustive for no more than its own nodes.
    """

    kind: Kind
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    nodes: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    own_classes: bool = False

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def truth(self, index: int) -> Truth:
        """Boxes (n, 4) xyxy in pixels, nodes (n,) and ignore (n,) of a photo; none of a photo that
        is not boxed."""
        end = index + 1 if self.kind == "boxed" else index
        rows = slice(self.offsets[index], self.offsets[end])
        return self.boxes[rows], self.nodes[rows], self.ignore[rows]

    def labels(self, index: int) -> NDArray[np.int64]:
        """The nodes that a photo shows, ascending."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        shown = self.nodes[rows][~self.ignore[rows]]
        return np.unique(shown[shown >= 0])

    def counts(self) -> Counts:
        """Boxes and photos of each node."""
        photo = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        if self.kind == "label_only":
            return count_labels(photo, np.where(self.ignore, -1, self.nodes), photos=len(self))
        return count_boxes(photo, self.nodes, self.ignore, photos=len(self))

    def sample(self, image: Pixels, index: int, *, source: str, path: str) -> Sample:
        """A photo that was read, with what is known of it. Raises BrokenPhoto where it has boxes,
        but none of them lies in it: it would be learned as one that shows nothing."""
        height, width = image.shape[:2]
        sample = Sample(
            image=image,
            kind=self.kind,
            source=source,
            index=index,
            path=path,
            original_size=(height, width),
        )
        if self.kind != "boxed":
            return sample.replace(labels=self.labels(index))
        boxes, nodes, ignore = self.truth(index)
        sane = sane_boxes(boxes, (height, width))
        if len(boxes) and not sane.kept.any():
            raise BrokenPhoto(path, f"{width} x {height} pixels, and none of its boxes in them")
        nodes, ignore = nodes[sane.kept], ignore[sane.kept]
        own = np.unique(nodes[~ignore & (nodes >= 0)])
        return sample.replace(
            boxes=sane.boxes,
            nodes=nodes,
            ignore=ignore,
            exhaustive=own if self.own_classes else None,
        )


def truths_of(
    photos: NDArray[np.int64],
    image: NDArray[np.int64],
    boxes: NDArray[np.float32],
    nodes: NDArray[np.int64],
    ignore: NDArray[np.bool_],
    *,
    kind: Kind,
    own_classes: bool,
) -> Truths:
    """The objects of `photos` (ascending numbers), of objects of any photos in any order; image:
    int64 (n,), the number of each one's photo."""
    order = np.argsort(image, kind="stable")
    starts = np.searchsorted(image[order], photos, side="left")
    ends = np.searchsorted(image[order], photos, side="right")
    offsets = np.concatenate([[0], np.cumsum(ends - starts)]).astype(np.int64)
    shift = np.repeat(starts - offsets[:-1], ends - starts)
    rows = order[np.arange(offsets[-1]) + shift]
    return Truths(kind, offsets, boxes[rows], nodes[rows], ignore[rows], own_classes)
