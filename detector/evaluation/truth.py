"""What evaluation compares: truths of a list of photos, and scored boxes of a detector.

Photos are numbered 0 .. n - 1 in the order in which they were given. Boxes are float32 xyxy in
pixels of the original photo; nodes are indices of the run's tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wordtree.errors import UserError

if TYPE_CHECKING:
    from data.sample import Sample


@dataclass(frozen=True)
class Truths:
    """The truths of n photos, T of them, flat.

    image: int64 (T,), the photo's number.
    box: float32 (T, 4), xyxy in pixels of the original photo; finite, with an area.
    node: int64 (T,), -1 where the object's label is unknown.
    ignore: bool (T,), crowds and null categories: neither truth nor background.
    sizes: int64 (n, 2), height and width of each original photo.
    exhaustive: one entry a photo, the nodes that are completely boxed there, or None for all.

    A truth that breaks these rules is a UserError, so that it is found before a run starts.
    """

    image: NDArray[np.int64]
    box: NDArray[np.float32]
    node: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    exhaustive: list[NDArray[np.int64] | None]

    def __post_init__(self) -> None:
        _same_length("Truths", image=self.image, box=self.box, node=self.node, ignore=self.ignore)
        _same_length("Truths", sizes=self.sizes, exhaustive=self.exhaustive)
        _refuse_images("truth", self.image, len(self))
        _refuse_boxes("truth", self.box, self.image)
        flat = np.flatnonzero((self.box[:, 2:] <= self.box[:, :2]).any(1))
        if len(flat):
            raise UserError(
                f"truth {flat[0]} (photo {self.image[flat[0]]}) has the box "
                f"{self.box[flat[0]].tolist()}, which has no area; drop it from the annotations"
            )

    def __len__(self) -> int:
        """The number of photos."""
        return len(self.sizes)


@dataclass(frozen=True)
class Scored:
    """M scored boxes, each for one node of one photo: what average precision is computed from.

    image: int64 (M,); node: int64 (M,); score: float32 (M,); box: float32 (M, 4) xyxy in pixels
    of the original photo. A box that has no area is allowed: it hits nothing.
    """

    image: NDArray[np.int64]
    node: NDArray[np.int64]
    score: NDArray[np.float32]
    box: NDArray[np.float32]

    def __post_init__(self) -> None:
        _same_length("Scored", image=self.image, node=self.node, score=self.score, box=self.box)

    def __len__(self) -> int:
        return len(self.image)


def truths_of(samples: Iterable[Sample]) -> Truths:
    """The truths of photos as their source reads them, in their order.

    A node that was verified to be absent from a photo is completely boxed there, by no box: it is
    added to the photo's exhaustive nodes. A label-only photo has no boxes to compare with and is
    refused.
    """
    image, box, node, ignore, sizes = [], [], [], [], []
    exhaustive: list[NDArray[np.int64] | None] = []
    for number, sample in enumerate(samples):
        if sample.kind == "label_only":
            raise UserError(
                f"photo {number} ({sample.path or sample.source}) is label-only, so no average "
                "precision can be computed on it; evaluate on a boxed source"
            )
        image.append(np.full(len(sample.boxes), number, np.int64))
        box.append(sample.boxes)
        node.append(sample.nodes)
        ignore.append(sample.ignore)
        sizes.append(sample.image.shape[:2])
        known = sample.exhaustive
        exhaustive.append(None if known is None else np.union1d(known, sample.absent))
    return Truths(
        image=np.concatenate([np.zeros(0, np.int64), *image]),
        box=np.concatenate([np.zeros((0, 4), np.float32), *box]),
        node=np.concatenate([np.zeros(0, np.int64), *node]),
        ignore=np.concatenate([np.zeros(0, bool), *ignore]),
        sizes=np.asarray(sizes, np.int64).reshape(-1, 2),
        exhaustive=exhaustive,
    )


def evaluated_nodes(truths: Truths) -> NDArray[np.int64]:
    """E, ascending: the nodes that at least one truth carries.

    A truth whose region is ignored carries none, and neither does one in a photo that is not
    exhaustive for the truth's own node, since that pair of photo and node is not scored. So each
    node of E has a truth that can be found.
    """
    counts = ~truths.ignore & (truths.node >= 0)
    for photo, nodes in enumerate(truths.exhaustive):
        if nodes is not None:
            here = truths.image == photo
            counts[here] &= np.isin(truths.node[here], nodes)
    return np.unique(truths.node[counts])


def scored_pairs(truths: Truths, nodes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which (photo, node) pairs are scored, bool (n, len(nodes)).

    A photo is scored in exactly the nodes that it is exhaustive for. Being exhaustive for a node
    says nothing of its ancestors (a photo with a box for every terrier may show a poodle without
    one) nor of its descendants (every dog may have its box, labelled just "dog").
    """
    pairs = np.ones((len(truths), len(nodes)), bool)
    for photo, known in enumerate(truths.exhaustive):
        if known is not None:
            pairs[photo] = np.isin(nodes, known)
    return pairs


def check_scored(scored: Scored, *, images: int, nodes: int) -> None:
    """Refuses what no evaluator notices: scores and boxes that are not finite, swapped corners,
    photos and nodes that do not exist (UserError, naming the first one)."""
    _refuse_images("scored box", scored.image, images)
    outside = np.flatnonzero((scored.node < 0) | (scored.node >= nodes))
    if len(outside):
        raise UserError(
            f"scored box {outside[0]} is for node {scored.node[outside[0]]}, but the tree has "
            f"{nodes} nodes; score it with the tree of the detector"
        )
    lost = np.flatnonzero(~np.isfinite(scored.score))
    if len(lost):
        raise UserError(
            f"scored box {lost[0]} (photo {scored.image[lost[0]]}) has the score "
            f"{scored.score[lost[0]]}; scores must be finite numbers"
        )
    _refuse_boxes("scored box", scored.box, scored.image)


def _refuse_images(what: str, image: NDArray[np.int64], images: int) -> None:
    unknown = np.flatnonzero((image < 0) | (image >= images))
    if len(unknown):
        raise UserError(
            f"{what} {unknown[0]} is in photo {image[unknown[0]]}, but there are {images} photos, "
            "numbered from 0; give the same list of photos to both"
        )


def _refuse_boxes(what: str, box: NDArray[np.float32], image: NDArray[np.int64]) -> None:
    wrong = ~np.isfinite(box).all(1) | (box[:, 2:] < box[:, :2]).any(1)
    if wrong.any():
        first = np.flatnonzero(wrong)[0]
        raise UserError(
            f"{what} {first} (photo {image[first]}) has the box {box[first].tolist()}; boxes are "
            "finite numbers x1, y1, x2, y2 with x1 <= x2 and y1 <= y2"
        )


def _same_length(owner: str, **columns: Sequence[object] | NDArray[np.generic]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{owner}: columns of different lengths: {lengths}")
