"""What a COCO annotation file says, as arrays, before any tree or folder is looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.sources.file_index import Problems
from data.sources.json_items import read_json_lists
from wordtree.errors import UserError

# Problems that leave no doubt about the rest of the file are counted; these make it ambiguous.
_NO_IMAGE = "images without an id or a file name"
_NO_CATEGORY = "categories without an id or a name"
_TWICE_IMAGE = "image ids used twice"
_TWICE_CATEGORY = "category ids used twice"
_REFUSED = (_NO_IMAGE, _NO_CATEGORY, _TWICE_IMAGE, _TWICE_CATEGORY)


@dataclass
class CocoFile:
    """I images, C categories, A annotations, in the order of the file.

    image_ids: int64 (I,), or objects where the file has ids of another type; file_names: list (I).
    sizes: int64 (I, 2), height and width as the file states them, 0 where it does not.
    category_names: list (C).
    image, category: int64 (A,), the annotation's row in images and in categories (-1: unknown).
    boxes: float64 (A, 4), x, y, width, height as written. crowd: bool (A,).
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
    problems: Problems


def read_coco_file(path: str | Path, *, need_annotations: bool = True) -> CocoFile:
    """Reads a COCO annotation file of any size, holding its text once and no dicts.

    Raises UserError, with all problems in one sentence, where it is no such file, where ids are
    missing or used twice, and where all boxes are fractions instead of pixels. Annotations of an
    unknown image, or without four numbers, are left out and counted.
    """
    problems = Problems()
    images: dict[Any, int] = {}
    names: list[str] = []
    sizes: list[tuple[int, int]] = []
    categories: dict[Any, int] = {}
    category_names: list[str] = []
    owners: list[Any] = []
    owner_categories: list[Any] = []
    boxes: list[float] = []
    crowd: list[bool] = []
    seen: set[Any] = set()

    def add_image(entry: Any) -> None:
        identity, name = _field(entry, "id"), _field(entry, "file_name")
        if not _is_id(identity) or not isinstance(name, str) or not name or "\0" in name:
            problems.add(_NO_IMAGE, entry)
        elif identity in images:
            problems.add(_TWICE_IMAGE, f"{identity!r}")
        else:
            images[identity] = len(names)
            names.append(name)
            sizes.append((_side(entry, "height"), _side(entry, "width")))

    def add_category(entry: Any) -> None:
        identity, name = _field(entry, "id"), _field(entry, "name")
        if not _is_id(identity) or not isinstance(name, str):
            problems.add(_NO_CATEGORY, entry)
        elif identity in categories:
            problems.add(_TWICE_CATEGORY, f"{identity!r}")
        else:
            categories[identity] = len(category_names)
            category_names.append(name)

    def add_annotation(entry: Any) -> None:
        box = _numbers(_field(entry, "bbox"))
        owner = _field(entry, "image_id")
        if box is None or not _is_id(owner):
            problems.add("annotations without an image_id and a bbox of four numbers", entry)
            return
        identity = _field(entry, "id")
        if _is_id(identity):
            if identity in seen:
                problems.add("annotation ids used twice (each is kept)", f"{identity!r}")
            seen.add(identity)
        category = _field(entry, "category_id")
        owners.append(owner)
        owner_categories.append(category if _is_id(category) else None)
        boxes.extend(box)
        crowd.append(bool(_field(entry, "iscrowd")))

    lists = {"images": add_image, "categories": add_category, "annotations": add_annotation}
    found = read_json_lists(path, lists)
    needed = set(lists) if need_annotations else {"images"}
    if needed - found:
        absent = ", ".join(repr(key) for key in sorted(needed - found))
        raise UserError(f"{path} has no {absent}; give a COCO annotation file")
    refused = Problems()
    for kind in _REFUSED:
        if kind in problems.counts:
            refused.counts[kind] = problems.counts[kind]
            refused.examples[kind] = problems.examples[kind]
    if refused:
        raise UserError(f"{path} has {refused}; correct the file")
    if not names:
        raise UserError(f"{path} lists no images; give a COCO annotation file")
    image = np.array([images.get(owner, -1) for owner in owners], np.int64)
    category = np.array([categories.get(c, -1) for c in owner_categories], np.int64)
    raw = np.array(boxes, np.float64).reshape(-1, 4)
    _refuse_fractions(path, raw)
    for row in np.flatnonzero(image < 0):
        problems.add("annotations of an unknown image", f"image_id {owners[row]!r}")
    kept = image >= 0
    for row in np.flatnonzero(kept & (category < 0)):
        problems.add(
            "annotations of an unknown category (now ignore regions)",
            f"category_id {owner_categories[row]!r}",
        )
    return CocoFile(
        image_ids=_id_array(list(images)),
        file_names=names,
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        category_names=category_names,
        image=image[kept],
        category=category[kept],
        boxes=raw[kept],
        crowd=np.array(crowd, bool)[kept],
        problems=problems,
    )


def _refuse_fractions(path: str | Path, boxes: NDArray[np.float64]) -> None:
    finite = boxes[np.isfinite(boxes).all(1)]
    if len(finite) and 0 < np.abs(finite).max() <= 1:
        raise UserError(
            f"the boxes of {path} are fractions (none exceeds 1, the first is "
            f"{finite[0].tolist()}), but COCO's are pixels; multiply them by width and height"
        )


def _field(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, dict) else None


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


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
