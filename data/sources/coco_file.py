"""What a COCO annotation file says, as arrays, before any tree or folder is looked at."""

from __future__ import annotations

import math
from array import array
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.boxes import all_fractions
from data.sources.file_index import Problems
from data.sources.json_items import read_json_lists
from wordtree.errors import UserError

# Problems that leave no doubt about the rest of the file are counted; these make it ambiguous.
_NO_IMAGE = "images without an id or a file name"
_NO_CATEGORY = "categories without an id or a name"
_TWICE_IMAGE = "image ids used twice"
_TWICE_CATEGORY = "category ids used twice"
_TWICE_NAME = "file names used twice"
_REFUSED = (_NO_IMAGE, _NO_CATEGORY, _TWICE_IMAGE, _TWICE_CATEGORY, _TWICE_NAME)


@dataclass
class CocoFile:
    """I images, C categories, A annotations, in the order of the file.

    image_ids: int64 (I,), or objects where the file has ids of another type; file_names: list (I).
    sizes: int64 (I, 2), height and width as the file states them, 0 where it does not.
    category_names: list (C).
    image, category: int64 (A,), the annotation's row in images and in categories (-1: unknown).
    boxes: float64 (A, 4), x, y, width, height as written. crowd: bool (A,).
    lost: int64, rows of images that have annotations without a box.
    problems: what was left out, counted.
    """

    image_ids: NDArray[Any]
    file_names: list[str]
    sizes: NDArray[np.int64]
    category_names: list[str]
    image: NDArray[np.int64]
    category: NDArray[np.int64]
    boxes: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    lost: NDArray[np.int64]
    problems: Problems


def read_coco_file(
    path: str | Path, *, need_annotations: bool = True, need_boxes: bool = True
) -> CocoFile:
    """Reads a COCO annotation file of any size, holding neither its text nor its dicts.

    need_boxes: else annotations may have none, or any, and count as labels of their image.

    Raises UserError, with all problems in one sentence, where it is no such file, where ids are
    missing or used twice, where two images have one file name (each would show the other's objects
    as background), and where all boxes are fractions instead of pixels. Annotations of an
    unknown image, or without four numbers, are left out and counted.
    """
    problems = Problems()
    images, categories = _Rows(), _Rows()  # ids that are listed
    owners, kinds = _Rows(), _Rows()  # ids that annotations name
    names: list[str] = []
    sizes = array("q")
    category_names: list[str] = []
    owner, kind = array("q"), array("q")
    boxes = array("d")
    without = array("q")
    seen: set[str] = set()
    crowd = array("b")
    ids = _Ids()

    def add_image(entry: Any) -> None:
        identity, name = _id(entry, "id"), _field(entry, "file_name")
        if identity is None or not isinstance(name, str) or not name or "\0" in name:
            problems.add(_NO_IMAGE, entry)
        elif identity in images:
            problems.add(_TWICE_IMAGE, f"{identity!r}")
        elif name in seen:
            problems.add(_TWICE_NAME, f"{name!r}")
        else:
            images.row(identity)
            seen.add(name)
            names.append(name)
            sizes.extend((_side(entry, "height"), _side(entry, "width")))

    def add_category(entry: Any) -> None:
        identity, name = _id(entry, "id"), _field(entry, "name")
        if identity is None or not isinstance(name, str):
            problems.add(_NO_CATEGORY, entry)
        elif identity in categories:
            problems.add(_TWICE_CATEGORY, f"{identity!r}")
        else:
            categories.row(identity)
            category_names.append(name)

    def add_annotation(entry: Any) -> None:
        box, image_id = _numbers(_field(entry, "bbox")), _id(entry, "image_id")
        if not need_boxes:
            box = box or [math.nan] * 4
        if box is None or image_id is None:
            problems.add("annotations without an image_id and a bbox of four numbers", entry)
            if image_id is not None:
                without.append(owners.row(image_id))
            return
        identity = _id(entry, "id")
        if identity is not None:
            ids.add(identity)
        owner.append(owners.row(image_id))
        kind.append(kinds.row(_id(entry, "category_id")))
        boxes.extend(box)
        crowd.append(_field(entry, "iscrowd") in (1, "1"))

    lists = {"images": add_image, "categories": add_category, "annotations": add_annotation}
    found = read_json_lists(path, lists)
    raw = np.frombuffer(boxes, np.float64).reshape(-1, 4)
    stated = np.frombuffer(sizes, np.int64).reshape(-1, 2)
    needed = set(lists) if need_annotations else {"images"}
    measured = raw if need_boxes else raw[:0]
    _refuse(path, sorted(needed - found), problems, measured, stated, images=len(names))

    row_of = np.array([images.get(one) for one in owners], np.int64)
    category_of = np.array([categories.get(one) for one in kinds], np.int64)
    image = row_of[np.frombuffer(owner, np.int64)]
    lost = np.unique(row_of[np.frombuffer(without, np.int64)])
    category = category_of[np.frombuffer(kind, np.int64)]
    kept = image >= 0
    for twice in ids.twice():
        problems.add("annotation ids used twice (each is kept)", f"{twice!r}")
    _count(problems, "annotations of an unknown image", "image_id", ~kept, owner, owners)
    _count(
        problems,
        "annotations of an unknown category (now ignore regions)",
        "category_id",
        kept & (category < 0),
        kind,
        kinds,
    )
    return CocoFile(
        image_ids=_id_array(list(images)),
        file_names=names,
        sizes=stated,
        category_names=category_names,
        image=image[kept],
        category=category[kept],
        boxes=raw if kept.all() else raw[kept],
        crowd=np.frombuffer(crowd, np.int8).astype(bool)[kept],
        lost=lost[lost >= 0],
        problems=problems,
    )


def coco_categories(path: str | Path) -> list[str]:
    """The names of a file's categories, in its order; what else is wrong with the file is not
    looked at. Raises UserError for what is no COCO file."""
    names: list[Any] = []
    if not read_json_lists(path, {"categories": lambda entry: names.append(_field(entry, "name"))}):
        raise UserError(f"{path} has no 'categories'; give a COCO annotation file")
    return [name for name in names if isinstance(name, str)]


class _Rows(dict[Hashable, int]):
    """Numbers for ids, in the order in which they come first."""

    def row(self, identity: Hashable) -> int:
        return self.setdefault(identity, len(self))

    def get(self, identity: Hashable) -> int:  # type: ignore[override]
        return super().get(identity, -1)


class _Ids:
    """Many ids, of which only repeated ones matter: eight bytes for each whole number."""

    def __init__(self) -> None:
        self._whole = array("q")
        self._others: set[Hashable] = set()
        self._twice: list[Hashable] = []

    def add(self, identity: int | str) -> None:
        if isinstance(identity, int) and abs(identity) < 1 << 63:
            self._whole.append(identity)
        elif identity in self._others:
            self._twice.append(identity)
        else:
            self._others.add(identity)

    def twice(self) -> list[Hashable]:
        """An entry for every time an id came again."""
        values = np.sort(np.frombuffer(self._whole, np.int64))
        return [*values[1:][values[1:] == values[:-1]].tolist(), *self._twice]


def _count(
    problems: Problems,
    what: str,
    field: str,
    wrong: NDArray[np.bool_],
    rows: array[int],
    ids: _Rows,
) -> None:
    """Counts annotations that name an unknown id; `rows` are places in `ids`."""
    names = list(ids)
    found: list[int] = np.flatnonzero(wrong).tolist()
    problems.add_rows(what, found, lambda row: f"{field} {names[rows[row]]!r}")


def _refuse(
    path: str | Path,
    absent: list[str],
    problems: Problems,
    boxes: NDArray[np.float64],
    sizes: NDArray[np.int64],
    *,
    images: int,
) -> None:
    """One UserError with all that makes the file ambiguous."""
    faults, remedies = [], []
    if absent:
        faults.append(f"{path} has no {', '.join(map(repr, absent))}")
        remedies.append("give a COCO annotation file")
    refused = Problems()
    for kind in _REFUSED:
        if kind in problems.counts:
            refused.counts[kind] = problems.counts[kind]
            refused.examples[kind] = problems.examples[kind]
    if refused:
        faults.append(f"{path} has {refused}")
        remedies.append("correct the file")
    if not images and not refused and "images" not in absent:
        faults.append(f"{path} lists no images")
        remedies.append("give a COCO annotation file")
    if all_fractions(boxes, sizes):
        finite = boxes[np.isfinite(boxes).all(1)]
        faults.append(
            f"the boxes of {path} are fractions (none exceeds 1, the first is "
            f"{finite[0].tolist()}), but COCO's are pixels"
        )
        remedies.append("multiply the boxes by width and height")
    if faults:
        raise UserError("; ".join([*faults, " and ".join(dict.fromkeys(remedies))]))


def _field(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, dict) else None


def _id(entry: Any, key: str) -> int | str | None:
    value = _field(entry, key)
    # pandas writes the whole numbers of a column with a gap as 1.0.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _side(entry: Any, key: str) -> int:
    value = _numbers([_field(entry, key)] * 4)
    return int(value[0]) if value is not None and 1 <= value[0] < 1e9 else 0


def _numbers(value: Any) -> list[float] | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        return None
    try:
        return [float(v) for v in value]
    except OverflowError:
        return [math.nan] * 4


def _id_array(ids: list[Any]) -> NDArray[Any]:
    whole = all(isinstance(one, int) and abs(one) < 1 << 63 for one in ids)
    array = np.empty(len(ids), np.int64 if whole else object)
    array[:] = ids
    return array
