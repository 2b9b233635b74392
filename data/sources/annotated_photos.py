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

from data.boxes import ROUNDING, sane_boxes
from data.images import BrokenPhoto, read_image, read_size
from data.sample import KINDS, Kind, Sample
from data.sources.counts import Counts
from data.sources.file_index import FileIndex, Problems
from data.sources.progress import told
from data.sources.truths import Truth, truths_of
from wordtree.errors import UserError

Exhaustive = Literal["source", "photo"]
# What six digits of a centre round away, of a photo's side.
_FRACTION_ROUNDING = 1e-3
# Boxes that are looked at together: a data set of millions needs no more memory for it.
_AT_ONCE = 1 << 17


class AnnotatedPhotos:
    """The photos of a data set that are on disk, in its order.

    rows: int64 (n,), which of the given photos are left. sizes: int64 (n, 2), height and width as
    the data set states them, else as the headers of boxed photos do; 0 where nobody says. nodes:
    int64, ascending, all nodes that its categories stand for; a boxed photo is exhaustive for
    these. labelled_nodes: those of them that occur. problems: what was left out or set right,
    counted, with examples.
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
        lost: Sequence[int] | NDArray[np.int64] = (),
        problems: Problems,
    ) -> None:
        """P photos and A objects of any order, before anything is left out.

        where: the annotations, for messages. folder: what the file names (P) start from.
        image, node, ignore: (A,), the object's row in file_names, its node (-1: unknown) and
        whether it is an ignore region. boxes: (A, 4) xyxy in pixels of the photo, or fractions of
        its width and height; None: labels of whole photos. sizes: (P, 2), height and width; where
        the data set has none, boxed photos are opened for their headers, and those that cannot be
        read are left out and counted.
        categories: the nodes of all categories, -1 for one that is left out.
        exhaustive: `source`, or `photo` where only a photo's own classes are completely boxed.
        lost: rows of photos of which objects could not be read. A photo whose known objects are all
        of no use is left out and counted: it would be learned as one that shows nothing.
        Raises UserError where no photo is on disk, no box can be used, or the kind does not fit.
        """
        _check_kind(kind, exhaustive, where, objects=len(image), boxed=boxes is not None)
        self.name, self.kind, self.problems = name, kind, problems
        self._folder = str(folder)
        self.nodes: NDArray[np.int64] = np.unique(categories[categories >= 0])
        known = np.zeros(len(file_names), bool)
        known[image] = True
        known[np.asarray(lost, np.int64)] = True
        photos = self._on_disk(file_names, where)
        self._stated = sizes is not None
        if sizes is None:
            sizes = np.zeros((len(file_names), 2), np.int64)
        if boxes is None or kind != "boxed":
            kept_boxes = np.zeros((len(image), 4), np.float32)
        else:
            if not self._stated:
                photos = self._measured(sizes, photos, file_names, where)
                here = np.isin(image, photos)
                image, node, ignore, boxes = image[here], node[here], ignore[here], boxes[here]
            kept_boxes, kept = self._sane(boxes, image, sizes, file_names, fractions)
            if len(boxes) and not kept.any():
                raise UserError(
                    f"none of the {len(boxes)} boxes of {where} can be used: {problems}; "
                    "correct the file"
                )
            image, node, ignore = image[kept], node[kept], ignore[kept]

        if kind == "label_only":
            photos = self._labelled(photos, image[~ignore & (node >= 0)], file_names, where)
        else:
            known[image] = False
            emptied = photos[known[photos]]
            self.problems.add_rows(
                "photos without a box that can be used, left out",
                emptied.tolist(),
                lambda row: file_names[row],
            )
            photos = photos[~known[photos]]
        self._truths = truths_of(
            photos,
            image,
            kept_boxes,
            node,
            ignore,
            kind=kind,
            own_classes=exhaustive == "photo",
        )
        self._paths = FileIndex(file_names[i] for i in photos)
        self.rows: NDArray[np.int64] = photos
        self.sizes: NDArray[np.int64] = sizes[photos]
        shown = self._truths.nodes[~self._truths.ignore]
        if not len(photos) or (kind == "boxed" and not len(shown)):
            lacks = "has a box that counts" if kind == "boxed" else "shows nothing"
            found = f": {problems}" if problems else ""
            raise UserError(
                f"{where} is declared {kind}, but none of its {len(file_names)} photos {lacks}"
                f"{found}; correct the file, or declare it background where its photos show nothing"
            )
        self.labelled_nodes: NDArray[np.int64] = np.unique(shown[shown >= 0])

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, index: int) -> str:
        """Where photo `index` lies."""
        return os.path.join(self._folder, self._paths[index])

    def truth(self, index: int) -> Truth:
        """Boxes (n, 4) xyxy in pixels of the photo, nodes (n,) and ignore (n,) of photo `index`.

        None of a photo that is not boxed. The photo is not read.
        """
        return self._truths.truth(index)

    def labels(self, index: int) -> NDArray[np.int64]:
        """The nodes that photo `index` shows, ascending, without reading it."""
        return self._truths.labels(index)

    def counts(self) -> Counts:
        """Boxes and photos of each node."""
        return self._truths.counts()

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:  # noqa: ARG002
        """Photo `index` with its truth. Raises BrokenPhoto, also where the photo has not the size
        that `sizes` says, or none of its boxes in it: they would be elsewhere."""
        path = self.path(index)
        image = read_image(path)
        height, width = image.shape[:2]
        stated = self.sizes[index]
        if (stated > 0).all() and tuple(stated) != (height, width):
            says = "the annotation file says" if self._stated else "at the start it had"
            raise BrokenPhoto(
                path, f"{width} x {height} pixels, where {says} {stated[1]} x {stated[0]}"
            )
        return self._truths.sample(image, index, source=self.name, path=path)

    def _measured(
        self,
        sizes: NDArray[np.int64],
        photos: NDArray[np.int64],
        file_names: Sequence[str],
        where: str | Path,
    ) -> NDArray[np.int64]:
        """Writes the sizes that the photos' headers say into `sizes`; the photos that have one."""
        with told(f"reading the sizes of the photos of {where}", len(photos)) as advance:
            for row in photos:
                advance(1)
                try:
                    sizes[row] = read_size(os.path.join(self._folder, file_names[row]))
                except BrokenPhoto as error:
                    self.problems.add(
                        "photos that cannot be read, left out",
                        f"{file_names[row]}: {error.reason}",
                    )
        measured = photos[sizes[photos, 0] > 0]
        if not len(measured):
            raise UserError(
                f"none of the {len(photos)} photos of {where} can be read: {self.problems}; put "
                "good copies in their place"
            )
        return measured

    def _sane(
        self,
        boxes: NDArray[np.float64],
        image: NDArray[np.int64],
        sizes: NDArray[np.int64],
        file_names: Sequence[str],
        fractions: bool,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        def example(row: int) -> str:
            box = [round(value, 6) for value in boxes[row].tolist()]
            return f"{file_names[image[row]]} {box}"

        parts, kept = [np.zeros((0, 4), np.float32)], np.zeros(len(boxes), bool)
        for start in range(0, len(boxes), _AT_ONCE):
            here = slice(start, start + _AT_ONCE)
            size, pixels, rounding = sizes[image[here]], boxes[here], np.array(ROUNDING)
            if fractions:
                sides = size[:, ::-1]  # across and down, as boxes are
                with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is dropped
                    pixels = pixels * np.tile(sides, 2)
                rounding = np.maximum(ROUNDING, _FRACTION_ROUNDING * sides)
            sane = sane_boxes(pixels, size, rounding=rounding)
            parts.append(sane.boxes)
            kept[here] = sane.kept
            for fault, touched in sane.faults.items():
                rows = start + np.flatnonzero(touched)
                self.problems.add_rows(f"boxes {fault}", rows.tolist(), example)
        return np.concatenate(parts), kept

    def _on_disk(self, file_names: Sequence[str], where: str | Path) -> NDArray[np.int64]:
        refuse_missing_folder(self._folder)
        listings: dict[str, set[str]] = {}
        present = np.zeros(len(file_names), bool)
        for row, name in enumerate(file_names):
            below, base = os.path.split(name)
            if below not in listings:
                listings[below] = _listing(os.path.join(self._folder, below), self.problems)
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


def _listing(folder: str, problems: Problems) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError, UnicodeError):
        return set()
    except OSError as error:
        problems.add("folders that cannot be read", f"{folder}: {error.strerror}")
        return set()
