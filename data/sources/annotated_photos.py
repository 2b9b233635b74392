"""What sources have in common whose photos lie in a folder and whose truths stood in other files.

A format's own module reads its files into flat arrays, an entry an object; all that follows is the
same for every format and stands here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data.boxes import sane_boxes
from data.images import BrokenPhoto, read_image, read_size
from data.sample import KINDS, Kind, Sample
from data.sources.counts import Counts, count_boxes, count_labels
from data.sources.file_index import SHOWN, FileIndex, Problems
from wordtree.errors import UserError

Exhaustive = Literal["source", "photo"]
# Of a photo's side: less than a pixel in any photo, and what six digits of a centre round away.
_FRACTION_MIN_SIDE, _FRACTION_ROUNDING = 1e-6, 1e-3
# Boxes that are looked at together: a data set of millions needs no more memory for it.
_AT_ONCE = 1 << 17


class AnnotatedPhotos:
    """The photos of a data set that are on disk, in its order.

    rows: int64 (n,), which of the given photos are left. sizes: int64 (n, 2), height and width as
    the data set states them, 0 where it does not. nodes: int64, ascending, all nodes that its
    categories stand for; a boxed photo is exhaustive for these. labelled_nodes: those of them that
    occur. problems: what was left out or set right, counted, with examples.
    """

    def __init__(
        self,
        *,
        name: str,
        kind: Kind,
        where: str | Path,
        folder: str | Path,
        file_names: Sequence[str],
        image: NDArray[np.int64],
        node: NDArray[np.int64],
        ignore: NDArray[np.bool_],
        boxes: NDArray[np.float64] | None,
        sizes: NDArray[np.int64] | None = None,
        categories: NDArray[np.int64],
        exhaustive: Exhaustive = "source",
        fractions: bool = False,
        problems: Problems,
    ) -> None:
        """P photos and A objects of any order, before anything is left out.

        where: the annotations, for messages. folder: what the file names (P) start from.
        image, node, ignore: (A,), the object's row in file_names, its node (-1: unknown) and
        whether it is an ignore region. boxes: (A, 4) xyxy in pixels of the photo, or fractions of
        its width and height; None: labels of whole photos. sizes: (P, 2), height and width.
        categories: the nodes of all categories, -1 for one that is left out.
        exhaustive: `source`, or `photo` where only a photo's own classes are completely boxed.
        Raises UserError where no photo is on disk, no box can be used, or the kind does not fit.
        """
        _check_kind(kind, exhaustive, where, objects=len(image), boxed=boxes is not None)
        self.name, self.kind, self.problems = name, kind, problems
        self._folder, self._own_classes = str(folder), exhaustive == "photo"
        self._fractions = fractions
        self.nodes: NDArray[np.int64] = np.unique(categories[categories >= 0])
        sizes = np.zeros((len(file_names), 2), np.int64) if sizes is None else sizes
        if boxes is None:
            kept_boxes = np.zeros((len(image), 4), np.float32)
        else:
            kept_boxes, kept = self._sane(boxes, image, sizes, file_names)
            if len(boxes) and not kept.any():
                raise UserError(
                    f"none of the {len(boxes)} boxes of {where} can be used: {problems}; "
                    "correct the file"
                )
            image, node, ignore = image[kept], node[kept], ignore[kept]

        photos = self._on_disk(file_names, where)
        if kind == "label_only":
            photos = self._labelled(photos, image[~ignore & (node >= 0)], file_names, where)
        order = np.argsort(image, kind="stable")
        starts = np.searchsorted(image[order], photos, side="left")
        ends = np.searchsorted(image[order], photos, side="right")
        self._offsets = np.concatenate([[0], np.cumsum(ends - starts)])
        shift = np.repeat(starts - self._offsets[:-1], ends - starts)
        rows = order[np.arange(self._offsets[-1]) + shift]
        self._boxes, self._nodes, self._ignore = kept_boxes[rows], node[rows], ignore[rows]
        self._paths = FileIndex(file_names[i] for i in photos)
        self.rows: NDArray[np.int64] = photos
        self.sizes: NDArray[np.int64] = sizes[photos]
        shown = self._nodes[~self._ignore]
        self.labelled_nodes: NDArray[np.int64] = np.unique(shown[shown >= 0])

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, index: int) -> str:
        """Where photo `index` lies."""
        return os.path.join(self._folder, self._paths[index])

    def truth(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        """Boxes (n, 4) xyxy in pixels of the photo, nodes (n,) and ignore (n,) of photo `index`.

        The photo is not read, but for the header of one whose boxes are fractions: raises
        BrokenPhoto for that.
        """
        return self._truth(index, read_size(self.path(index)) if self._fractions else (0, 0))

    def labels(self, index: int) -> NDArray[np.int64]:
        """The nodes that photo `index` shows, ascending, without reading it."""
        rows = slice(self._offsets[index], self._offsets[index + 1])
        shown = self._nodes[rows][~self._ignore[rows]]
        return np.unique(shown[shown >= 0])

    def counts(self) -> Counts:
        """Boxes and photos of each node."""
        photo = np.repeat(np.arange(len(self)), np.diff(self._offsets))
        if self.kind == "label_only":
            return count_labels(photo, np.where(self._ignore, -1, self._nodes), photos=len(self))
        return count_boxes(photo, self._nodes, self._ignore, photos=len(self))

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:  # noqa: ARG002
        """Photo `index` with its truth. Raises BrokenPhoto, also where the photo has not the size
        that the annotations state: its boxes would be elsewhere."""
        path = self.path(index)
        image = read_image(path)
        height, width = image.shape[:2]
        stated = self.sizes[index]
        if (stated > 0).all() and tuple(stated) != (height, width):
            raise BrokenPhoto(
                path,
                f"{width} x {height} pixels, where the annotation file says "
                f"{stated[1]} x {stated[0]}",
            )
        sample = Sample(
            image=image,
            kind=self.kind,
            source=self.name,
            index=index,
            path=path,
            original_size=(height, width),
        )
        if self.kind == "label_only":
            return sample.replace(labels=self.labels(index))
        boxes, nodes, ignore = self._truth(index, (height, width))
        sane = sane_boxes(boxes, (height, width))
        nodes, ignore = nodes[sane.kept], ignore[sane.kept]
        own = np.unique(nodes[~ignore & (nodes >= 0)])
        return sample.replace(
            boxes=sane.boxes,
            nodes=nodes,
            ignore=ignore,
            exhaustive=own if self._own_classes else None,
        )

    def _truth(
        self, index: int, size: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        rows = slice(self._offsets[index], self._offsets[index + 1])
        boxes = self._boxes[rows]
        if self._fractions:
            height, width = size
            boxes = boxes * np.array([width, height, width, height], np.float32)
        return boxes, self._nodes[rows], self._ignore[rows]

    def _sane(
        self,
        boxes: NDArray[np.float64],
        image: NDArray[np.int64],
        sizes: NDArray[np.int64],
        file_names: Sequence[str],
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        unit: dict[str, float] = {}
        if self._fractions:
            unit = {"min_side": _FRACTION_MIN_SIDE, "rounding": _FRACTION_ROUNDING}
        parts, kept = [np.zeros((0, 4), np.float32)], np.zeros(len(boxes), bool)
        for start in range(0, len(boxes), _AT_ONCE):
            here = slice(start, start + _AT_ONCE)
            size = 1 if self._fractions else sizes[image[here]]
            sane = sane_boxes(boxes[here], size, **unit)
            parts.append(sane.boxes)
            kept[here] = sane.kept
            for fault, touched in sane.faults.items():
                rows = start + np.flatnonzero(touched)
                for row in rows[:SHOWN]:
                    box = [round(value, 6) for value in boxes[row].tolist()]
                    self.problems.add(f"boxes {fault}", f"{file_names[image[row]]} {box}")
                if len(rows) > SHOWN:
                    self.problems.add(f"boxes {fault}", "", count=len(rows) - SHOWN)
        return np.concatenate(parts), kept

    def _on_disk(self, file_names: Sequence[str], where: str | Path) -> NDArray[np.int64]:
        refuse_missing_folder(self._folder)
        listings: dict[str, set[str]] = {}
        present = np.zeros(len(file_names), bool)
        for row, name in enumerate(file_names):
            below, base = os.path.split(name)
            if below not in listings:
                listings[below] = _listing(os.path.join(self._folder, below))
            present[row] = base in listings[below]
            if not present[row]:
                self.problems.add("images not on disk", name)
        if not present.any():
            raise UserError(
                f"none of the {len(present)} images of {where} is in {self._folder} (the "
                f"first is {file_names[0]!r}); give the folder its file names start from"
                if len(present)
                else f"{where} has no image that can be used"
                f"{f': {self.problems}' if self.problems else ''}; correct it"
            )
        return np.flatnonzero(present)

    def _labelled(
        self,
        photos: NDArray[np.int64],
        image: NDArray[np.int64],
        file_names: Sequence[str],
        where: str | Path,
    ) -> NDArray[np.int64]:
        labelled = np.isin(photos, image)
        for row in photos[~labelled]:
            self.problems.add("images without a label", file_names[row])
        if not labelled.any():
            raise UserError(
                f"none of the {len(photos)} photos of {where} has a label: {self.problems}; "
                "correct the file, or declare them background"
            )
        return photos[labelled]


def refuse_missing_folder(folder: str | Path) -> None:
    """UserError where the folder of the photos is missing, or no folder."""
    if not os.path.isdir(folder):
        wrong = "is a file" if os.path.exists(folder) else "does not exist"
        raise UserError(
            f"the image folder {folder} {wrong}; correct the path, or set WORDTREE_DATA to the "
            "folder that holds your data sets"
        )


def _check_kind(
    kind: Kind, exhaustive: Exhaustive, where: str | Path, *, objects: int, boxed: bool
) -> None:
    if kind not in KINDS:
        raise UserError(f"{where} is declared kind={kind}; choose {', '.join(KINDS)}")
    if exhaustive not in ("source", "photo"):
        raise UserError(f"{where} is declared exhaustive={exhaustive}; choose source or photo")
    if kind == "background" and objects:
        raise UserError(
            f"{where} is declared background but has {objects} annotations; "
            "declare it boxed or label_only"
        )
    if kind == "boxed" and not boxed:
        raise UserError(f"{where} is declared boxed, but has no boxes; declare it label_only")


def _listing(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()
