"""Photos with boxes from Pascal VOC's XML files, one a photo.

VOC's corners are pixels, both included, counted from 1: a box over the whole of a photo of width W
is 1 .. W. So x1 = xmin - 1, y1 = ymin - 1, x2 = xmax, y2 = ymax.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from data.boxes import all_fractions
from data.images import PHOTO_ENDINGS
from data.sample import Kind
from data.sources.annotated_photos import AnnotatedPhotos, Exhaustive, refuse_missing_folder
from data.sources.categories import category_nodes
from data.sources.file_index import Problems
from data.sources.progress import told
from data.sources.voc_file import VocFile, read_voc_file
from wordtree.errors import UserError
from wordtree.formats.text import read_lines

if TYPE_CHECKING:
    from wordtree import LabelMap, WordTree

Difficult = Literal["ignore", "keep", "drop"]


class VocSource(AnnotatedPhotos):
    """The photos of a VOC folder that have an annotation file, by the file's name.

    The photo of NAME.xml is NAME with any ending of a photo; where there is none, the one that its
    `<filename>` says. A photo whose file names no object is a photo without objects. Photos are
    exhaustive for the categories that occur. Attributes are `AnnotatedPhotos`'s.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        tree: WordTree,
        split: str | None = None,
        images: str | Path | None = None,
        label_map: LabelMap | None = None,
        kind: Kind = "boxed",
        name: str = "voc",
        difficult: Difficult = "ignore",
        exhaustive: Exhaustive = "source",
    ) -> None:
        """folder: VOCdevkit/VOC2007, or a flat folder of XML files.

        split: ImageSets/Main/SPLIT.txt says which photos; all where None.
        images: the folder of the photos: JPEGImages where there is one, else `folder` itself.
        label_map: object names -> nodes; without one, each name must be a key of `tree`.
        difficult: objects marked so are `ignore` regions (as VOC scores them), truths (`keep`), or
        background like all that has no box (`drop`).
        Raises UserError for a folder that cannot be used, and for XML that cannot be read, with all
        such files in one sentence.
        """
        if difficult not in ("ignore", "keep", "drop"):
            raise UserError(f"{folder} has difficult={difficult}; choose ignore, keep or drop")
        problems = Problems()
        stems, files, others = _read(folder, split, problems, need_boxes=kind != "label_only")
        photos_folder = _photos_folder(folder, images)
        objects = [
            (row, one)
            for row, file in enumerate(files)
            for one in file.objects
            if difficult != "drop" or not one.difficult
        ]
        dropped = sum(len(file.objects) for file in files) - len(objects)
        if dropped:
            problems.add("difficult objects left out", "difficult=drop", count=dropped)
        raw = np.array([one.corners for _, one in objects], np.float64).reshape(-1, 4)
        sizes = np.array([file.size for file in files], np.int64).reshape(-1, 2)
        if kind != "label_only" and all_fractions(raw, sizes):
            raise UserError(
                f"the boxes of {folder} are fractions (none exceeds 1, the first is "
                f"{raw[0].tolist()}), but VOC's are pixels; multiply them by width and height"
            )
        names = sorted({one.name for _, one in objects})
        nodes = category_nodes(names, tree, label_map, folder)
        place = {one: at for at, one in enumerate(names)}
        node = np.array([nodes[place[one.name]] for _, one in objects], np.int64)
        hard = np.array([one.difficult for _, one in objects], bool)
        super().__init__(
            name=name,
            kind=kind,
            where=folder,
            folder=photos_folder,
            file_names=_photo_names(stems, files, others, photos_folder, problems),
            image=np.array([row for row, _ in objects], np.int64),
            node=node,
            ignore=(node < 0) | (hard & (difficult == "ignore")),
            boxes=_edges(raw),
            sizes=sizes,
            categories=nodes,
            exhaustive=exhaustive,
            lost=[row for row, file in enumerate(files) if file.lost],
            problems=problems,
        )


def _edges(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """From corners that are included and count from 1 to xyxy. It is the lesser one that moves,
    also where the two are swapped; they stay so, to be set right and counted like any others."""
    first, second = corners[:, :2], corners[:, 2:]
    swapped = first > second
    return np.concatenate([np.where(swapped, first, first - 1),
                           np.where(swapped, second - 1, second)], 1)  # fmt: skip


def voc_names(
    folder: str | Path, split: str | None = None, *, need_boxes: bool = True
) -> list[str]:
    """The names of all objects, each once, ascending; need_boxes: of those that have a box."""
    _, files, _ = _read(folder, split, Problems(), need_boxes=need_boxes)
    return sorted({one.name for file in files for one in file.objects})


def _read(
    folder: str | Path, split: str | None, problems: Problems, *, need_boxes: bool
) -> tuple[list[str], list[VocFile], set[str]]:
    """The annotation files' names without `.xml`, what they say, and the names of all files, also
    outside of the split; problems are added to."""
    refuse_missing_folder(folder)
    below = os.path.join(folder, "Annotations")
    where = below if os.path.isdir(below) else str(folder)
    there: dict[str, str] = {}
    for name in sorted(_names_in(where)):
        stem, ending = os.path.splitext(name)
        # macOS leaves `._a.xml`, which is no XML, beside `a.xml`.
        if ending.lower() == ".xml" and not name.startswith("."):
            there.setdefault(stem, name)
    if not there:
        raise UserError(
            f"{where} holds no .xml file; give a VOC folder (Annotations, JPEGImages) or a folder "
            "of XML files"
        )
    wanted = sorted(there) if split is None else _split(folder, split)
    stems, files, unread = [], [], Problems()
    with told(f"reading {where}", len(wanted)) as advance:
        for stem in wanted:
            advance(1)
            if stem not in there:
                problems.add("photos of the split without an annotation file", stem)
                continue
            try:
                path = os.path.join(where, there[stem])
                files.append(read_voc_file(path, problems, need_boxes=need_boxes))
                stems.append(stem)
            except UserError as error:
                unread.add("annotation files that cannot be read", str(error))
    if unread:
        raise UserError(f"{where} has {unread}; correct them, or move them away")
    return stems, files, set(there)


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise UserError(
            f"the folder {folder} cannot be read ({error.strerror}); give yourself the right to "
            "read it"
        ) from error


def _split(folder: str | Path, split: str) -> list[str]:
    path = Path(folder) / "ImageSets/Main" / f"{split}.txt"
    if not path.is_file():
        there = sorted(one.stem for one in path.parent.glob("*.txt"))
        raise UserError(
            f"{path} is not there; give split as one of {', '.join(there[:20])}, or leave it out"
            if there
            else f"{path} is not there; leave split out to take all photos"
        )
    # A class's own list (dog_train.txt) has a second column, whether the photo shows one.
    return list(dict.fromkeys(line.split()[0] for line in read_lines(path) if line.strip()))


def _photos_folder(folder: str | Path, images: str | Path | None) -> str:
    if images is not None:
        refuse_missing_folder(images)
        return str(images)
    below = os.path.join(folder, "JPEGImages")
    return below if os.path.isdir(below) else str(folder)


def _photo_names(
    stems: list[str], files: list[VocFile], others: set[str], folder: str, problems: Problems
) -> list[str]:
    by_stem: dict[str, list[str]] = {}
    there = set(_names_in(folder))
    for name in sorted(there):
        stem, ending = os.path.splitext(name)
        if ending.lower() in PHOTO_ENDINGS:
            by_stem.setdefault(stem, []).append(name)
    names: list[str] = []
    taken: set[str] = set()
    for stem, file in zip(stems, files, strict=True):
        found = by_stem.get(stem, [])
        known = file.photo in found or (not found and file.photo in there)
        owner = os.path.splitext(file.photo)[0]
        # A copy that still has the name of the first: one photo must not be shown twice, each time
        # with the other's objects as background.
        if known and owner != stem and (owner in others or file.photo in taken):
            problems.add("files that name another file's photo", f"{stem}.xml: {file.photo}")
            known = False
        if known:
            taken.add(file.photo)
        if known:
            names.append(file.photo)
        elif found:
            names.append(found[0])
            if len(found) > 1:
                problems.add("names of several photos (the first is taken)", ", ".join(found))
        else:
            names.append(f"{stem}.jpg")
    return names
