"""Photos in uncompressed tar shards, read one by one in any order.

What is in the shards is told by `shard_samples`, how they are indexed by `shard_index`, and what a
tar may hold by `tar_members`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from data.boxes import all_fractions, sane_boxes
from data.images import decode_image
from data.sample import KINDS, Kind, Sample
from data.sources.categories import category_nodes
from data.sources.counts import Counts
from data.sources.file_index import FileIndex, Problems
from data.sources.shard_boxes import ShardBoxes, read_truths
from data.sources.shard_index import read_member
from data.sources.shard_samples import (
    LABELS_FROM,
    LabelFrom,
    ShardPhoto,
    list_photos,
    named_shards,
)
from data.sources.truths import Truth, truths_of
from wordtree.errors import UserError

if TYPE_CHECKING:
    from wordtree import LabelMap, WordTree


class ShardSource:
    """The photos of shards, shard after shard, in the order of their members.

    nodes: int64, ascending, what its labels or `classes` stand for; a boxed photo is exhaustive
    for these. labelled_nodes: those of them that occur. problems: what was left out or set right,
    counted, with examples.

    `label_only` photos have the label of their folder, `.cls`, `.txt` or `.json`; boxes are never
    read. `boxed` photos have the boxes, labels included, of a CSV or of their `.json`; a photo of
    which those say nothing is left out. A label that is null in the label map leaves a label-only
    photo out and makes a box an ignore region.
    """

    def __init__(
        self,
        shards: Sequence[str | Path],
        *,
        kind: Kind,
        tree: WordTree | None = None,
        label_map: LabelMap | None = None,
        name: str = "shards",
        labels: LabelFrom | None = None,
        label_names: str | Path | None = None,
        boxes: str | Path | None = None,
        inclusive: bool = False,
        classes: Collection[str] | None = None,
        exhaustive: Literal["source", "photo"] = "source",
        photo: str | None = None,
    ) -> None:
        """shards: tar files, as `find_shards` gives them. label_map: labels -> nodes; without one
        each must be a key of `tree`.

        labels: where a label-only photo's label stands (`folder` if not said). label_names: a text
        file with a name a line, where labels are numbers from 0 of these lines.
        boxes: of a boxed source, a CSV file or the word `json`. inclusive: the lower right corner
        is a pixel of the box still. exhaustive: `photo` where only a photo's own classes are
        completely boxed.
        classes: the labels that count; photos of others are no photos of the source.
        photo: the ending of the photos, where samples have several (`jpg`).
        Raises UserError for shards, boxes or options that cannot be used.
        """
        _check_options(shards, kind, labels, boxes, exhaustive)
        self.name, self.kind, self._own_classes = name, kind, exhaustive == "photo"
        self.problems = Problems()
        self._paths = [Path(shard) for shard in shards]
        indexes, photos = list_photos(self._paths, self.problems, photo=photo)
        self._shards = [index.shard for index in indexes]
        found = read_truths(
            photos,
            self._paths,
            self.problems,
            kind=kind,
            labels=labels,
            label_names=label_names,
            boxes=boxes,
            classes=classes,
        )
        node = self._nodes_of(found.label, tree, label_map, classes)
        corners, kept = found.xyxy(inclusive=inclusive), node >= 0
        if kind == "boxed":
            corners, kept = self._sane(corners, found.photo, photos, boxes)
        self._keep(photos, found, node, corners, kept)

    def __len__(self) -> int:
        return len(self._names)

    def path(self, index: int) -> str:
        """Where photo `index` lies: the shard's path, then the member's name."""
        return os.path.join(self._paths[self._shard[index]], self._names[index])

    def truth(self, index: int) -> Truth:
        """Boxes (n, 4) xyxy in pixels of the photo, nodes (n,) and ignore (n,) of photo `index`,
        without reading the photo; none of a photo that is not boxed."""
        return self._truths.truth(index)

    def labels(self, index: int) -> NDArray[np.int64]:
        """The nodes that photo `index` shows, ascending, without reading it."""
        return self._truths.labels(index)

    def counts(self) -> Counts:
        """Boxes and photos of each node."""
        return self._truths.counts()

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:  # noqa: ARG002
        """Photo `index` with what is known of it. Raises BrokenPhoto, and UserError where the
        shard is no longer the one that was indexed."""
        path = self.path(index)
        data = read_member(
            self._shards[self._shard[index]],
            self._names[index],
            int(self._places[index, 0]),
            int(self._places[index, 1]),
        )
        image = decode_image(data, path)
        return self._truths.sample(image, index, source=self.name, path=path)

    def _nodes_of(
        self,
        labels: Sequence[str],
        tree: WordTree | None,
        label_map: LabelMap | None,
        classes: Collection[str] | None,
    ) -> NDArray[np.int64]:
        """The node of each label, -1 where the label map says null; sets `nodes`."""
        # Classes without a photo count too: a boxed photo is known to show none of them.
        vocabulary = sorted({*labels, *(classes or ())})
        for absent in sorted(set(classes or ()) - set(labels)):
            self.problems.add("classes without a photo", absent)
        if vocabulary and tree is None:
            raise ValueError("shards with labels need the tree")
        nodes = (
            category_nodes(vocabulary, tree, label_map, named_shards(self._paths))
            if tree is not None
            else np.zeros(0, np.int64)
        )
        self.nodes: NDArray[np.int64] = np.unique(nodes[nodes >= 0])
        of = dict(zip(vocabulary, nodes.tolist(), strict=True))
        return np.array([of[label] for label in labels], np.int64)

    def _sane(
        self,
        corners: NDArray[np.float64],
        owner: Sequence[int],
        photos: Sequence[ShardPhoto],
        boxes: str | Path | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Corners set right, and which boxes are kept, as far as can be told without sizes."""
        if all_fractions(corners, np.zeros((0, 2))):
            raise UserError(
                f"the boxes of {named_shards(self._paths)} (boxes={boxes}) are fractions: none "
                "exceeds 1; give pixels of the photos"
            )
        sane = sane_boxes(corners, (0, 0))
        for fault, touched in sane.faults.items():
            self.problems.add_rows(
                f"boxes {fault}",
                np.flatnonzero(touched).tolist(),
                lambda row: f"{photos[owner[row]].name} {corners[row].tolist()}",
            )
        corners[sane.kept] = sane.boxes
        return corners, sane.kept

    def _keep(
        self,
        photos: Sequence[ShardPhoto],
        found: ShardBoxes,
        node: NDArray[np.int64],
        corners: NDArray[np.float64],
        kept: NDArray[np.bool_],
    ) -> None:
        """Keeps the listed photos and what is known of them as arrays."""
        owner = np.array(found.photo, np.int64)
        emptied = np.setdiff1d(owner, owner[kept])
        what = "box that can be used" if self.kind == "boxed" else "label that the label map keeps"
        for row in emptied:
            self.problems.add(f"photos without a {what}", photos[row].name)
        listed = np.setdiff1d(np.array(sorted(found.listed), np.int64), emptied)
        counted = kept & (node >= 0) & ~np.array(found.ignore, bool)
        if not len(listed) or (self.kind == "boxed" and not counted.any()):
            thing = "box" if self.kind == "boxed" else "label"
            problems = f" ({self.problems})" if self.problems else ""
            raise UserError(
                f"none of the {len(photos)} photos of {named_shards(self._paths)} has a {thing} "
                f"that counts{problems}; correct labels, boxes or classes"
            )
        self._truths = truths_of(
            listed,
            owner[kept],
            corners[kept].astype(np.float32),
            node[kept],
            np.array(found.ignore, bool)[kept] | (node[kept] < 0),
            kind=self.kind,
            own_classes=self._own_classes,
        )
        self._names = FileIndex(photos[row].name for row in listed)
        self._shard = np.array([photos[row].shard for row in listed], np.int64)
        self._places = np.array([(photos[row].offset, photos[row].size) for row in listed])
        shown = self._truths.nodes[~self._truths.ignore]
        self.labelled_nodes: NDArray[np.int64] = np.unique(shown)


def written_labels(
    shards: Sequence[str | Path],
    *,
    kind: Kind,
    photo: str | None = None,
    labels: LabelFrom | None = None,
    boxes: str | Path | None = None,
    exhaustive: str = "source",
    **options: Any,
) -> list[str]:
    """The labels that `ShardSource` with these options has, each once, before there is a tree."""
    _check_options(shards, kind, labels, boxes, exhaustive)
    options.pop("inclusive", None)
    paths, problems = [Path(shard) for shard in shards], Problems()
    _, photos = list_photos(paths, problems, photo=photo)
    found = read_truths(photos, paths, problems, kind=kind, labels=labels, boxes=boxes, **options)
    return sorted(set(found.label))


def _check_options(
    shards: Sequence[str | Path],
    kind: str,
    labels: str | None,
    boxes: str | Path | None,
    exhaustive: str,
) -> None:
    where = named_shards([Path(shard) for shard in shards])
    if kind not in KINDS:
        raise UserError(f"{where} are declared kind={kind}; choose {', '.join(KINDS)}")
    if labels is not None and labels not in LABELS_FROM:
        raise UserError(f"{where} have labels={labels}; choose {', '.join(LABELS_FROM)}")
    if exhaustive not in ("source", "photo"):
        raise UserError(f"{where} are declared exhaustive={exhaustive}; choose source or photo")
    if kind == "boxed" and (boxes is None or labels is not None):
        raise UserError(
            f"{where} are declared boxed with boxes={boxes} and labels={labels}; name the CSV of "
            "boxes (or boxes: json), and no labels, since boxes carry theirs"
        )
    if kind != "boxed" and boxes is not None:
        raise UserError(
            f"{where} are declared {kind}, so boxes={boxes} would not be read; leave boxes out, or "
            "declare them boxed"
        )
