"""Boxes of photos in shards: from a CSV beside them, or from each sample's `.json` member.

CSV: a header with `file` (the member's name), `label` or `wnid`, `x1`, `y1`, `x2`, `y2`, and
`shard` (the tar's base name) where two shards have members of one name; a row a box.
JSON: `boxes`, a list of `[x1, y1, x2, y2]`, `labels`, a list of as many, and `ignore`, a list of as
many booleans, which may be left out; other keys are not looked at.
Corners are pixels of the photo.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.sample import Kind
from data.sources.file_index import Problems
from data.sources.progress import told
from data.sources.shard_samples import LabelFrom, ShardPhoto, label_namer, label_of, read_json
from wordtree.errors import UserError
from wordtree.formats.text import read_text

_CORNERS = ("x1", "y1", "x2", "y2")
_NO_BOX = "boxes without a label and four numbers"


@dataclass
class ShardBoxes:
    """Boxes as they are written, an entry a box.

    photo: the number of the photo; label; corners: x1, y1, x2, y2; ignore. listed: the photos
    whose boxes are known, be it that they have none.
    """

    photo: list[int] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    corners: list[Sequence[float]] = field(default_factory=list)
    ignore: list[bool] = field(default_factory=list)
    listed: set[int] = field(default_factory=set)

    def add(self, photo: int, label: str, corners: Sequence[float], ignore: bool) -> None:
        """One box more."""
        self.photo.append(photo)
        self.label.append(label)
        self.corners.append(corners)
        self.ignore.append(ignore)

    def xyxy(self, *, inclusive: bool) -> NDArray[np.float64]:
        """float64 (n, 4); inclusive: both corners are pixels of the box, whose width is then
        x2 - x1 + 1."""
        boxes = np.array(self.corners, np.float64).reshape(-1, 4)
        if inclusive:
            swapped = boxes[:, 2:] < boxes[:, :2]
            boxes[:, 2:] += ~swapped
            boxes[:, :2] += swapped
        return boxes


def read_truths(
    photos: Sequence[ShardPhoto],
    shards: Sequence[Path],
    problems: Problems,
    *,
    kind: Kind,
    labels: LabelFrom | None = None,
    label_names: str | Path | None = None,
    boxes: str | Path | None = None,
    classes: Collection[str] | None = None,
) -> ShardBoxes:
    """What is known of photos of the kind; the options are those of `ShardSource`. Of label-only
    photos the labels, as boxes of nothing; of background photos that they are there."""
    if kind == "background":
        return ShardBoxes(listed=set(range(len(photos))))
    named = label_namer(label_names)
    if kind == "label_only" or boxes is None:
        return _labels(photos, shards, labels or "folder", problems, classes, named)
    if boxes == "json":
        found = json_boxes(photos, shards, problems, classes=classes, named=named)
    else:
        found = csv_boxes(Path(boxes), photos, shards, problems, classes=classes, named=named)
    for number, photo in enumerate(photos if classes is None else ()):
        if number not in found.listed:
            problems.add("photos of which the boxes say nothing, left out", photo.name)
    return found


def csv_boxes(
    path: Path,
    photos: Sequence[ShardPhoto],
    shards: Sequence[Path],
    problems: Problems,
    *,
    classes: Collection[str] | None,
    named: Callable[[str], str] = str,
) -> ShardBoxes:
    """The boxes of a CSV that belong to photos. Rows of other shards are passed over; rows of
    labels that are not in `classes` are, too, and of them no corner is read.

    named: from a label as it is written to its name. Raises UserError for a file that cannot be
    used; rows that cannot are counted in `problems`.
    """
    found = ShardBoxes()
    text = read_text(path)
    rows = csv.DictReader(io.StringIO(text, newline=""))
    header = _header(rows, path)
    owners = _owners(photos, shards, path, by_shard="shard" in header)
    ours = {shard.name for shard in shards}
    label_column = "label" if "label" in header else "wnid"
    foreign: list[tuple[int, str]] = []
    with told(f"reading {path}", text.count("\n")) as advance:
        for row in _rows(rows, path):
            advance(1)
            shard = (row["shard"] or "") if "shard" in header else ""
            if shard and shard not in ours:
                continue
            name = (row["file"] or "").removeprefix("./")
            photo = owners.get((shard, name))
            if photo is None:
                problems.add("boxes of photos that are in no shard", f"{shard} {name}".strip())
                continue
            label = named((row[label_column] or "").strip())
            if classes is not None and label not in classes:
                foreign.append((photo, label))
                continue
            corners = _numbers([row[column] for column in _CORNERS])
            if corners is None or not label:
                problems.add(_NO_BOX, f"line {rows.line_num}: {name}")
                continue
            found.listed.add(photo)
            found.add(photo, label, corners, False)
    _count_foreign(foreign, found, photos, problems)
    return found


def json_boxes(
    photos: Sequence[ShardPhoto],
    shards: Sequence[Path],
    problems: Problems,
    *,
    classes: Collection[str] | None,
    named: Callable[[str], str] = str,
) -> ShardBoxes:
    """The boxes in the `.json` members of photos; of labels that are not in `classes`, none.

    named: from a label as it is written to its name. Raises UserError for a member that cannot be
    used, naming it and its shard.
    """
    found = ShardBoxes()
    foreign: list[tuple[int, str]] = []
    for number, photo in enumerate(photos):
        shard = shards[photo.shard]
        content = read_json(photo, shard)
        if "boxes" not in content:
            continue
        boxes, labels = content["boxes"], content.get("labels")
        ignore = content.get("ignore", [False] * len(boxes) if isinstance(boxes, list) else None)
        if not all(
            isinstance(one, list) and isinstance(boxes, list) and len(one) == len(boxes)
            for one in (boxes, labels, ignore)
        ):
            raise UserError(
                f"the .json member of {photo.name!r} in {shard} needs `boxes`, `labels` and "
                "`ignore` (if given) as lists of one length; correct it"
            )
        before = len(found.photo)
        for box, written, ignored in zip(boxes, labels, ignore, strict=True):
            is_label = isinstance(written, str | int) and not isinstance(written, bool)
            label = named(str(written)) if is_label else ""
            if classes is not None and label not in classes:
                foreign.append((number, label))
                continue
            corners = _numbers(box) if isinstance(box, list) and len(box) == 4 else None
            if corners is None or not label:
                problems.add(_NO_BOX, f"{photo.name}: {written!r} {box!r}")
                continue
            found.add(number, label, corners, bool(ignored))
        # A list without a box says that nothing is there, where all classes count.
        if len(found.photo) > before or (not boxes and classes is None):
            found.listed.add(number)
    _count_foreign(foreign, found, photos, problems)
    return found


def _labels(
    photos: Sequence[ShardPhoto],
    shards: Sequence[Path],
    labels: LabelFrom,
    problems: Problems,
    classes: Collection[str] | None,
    named: Callable[[str], str] = str,
) -> ShardBoxes:
    """The label of each photo that has one, of `classes` where those are given, as boxes of
    nothing."""
    found = ShardBoxes()
    for number, photo in enumerate(photos):
        written = label_of(photo, labels, shards[photo.shard])
        if written is None:
            problems.add("photos without a label", f"{shards[photo.shard].name}/{photo.name}")
            continue
        label = named(written)
        if classes is None or label in classes:
            found.listed.add(number)
            found.add(number, label, (0.0, 0.0, 0.0, 0.0), False)
    return found


def _count_foreign(
    foreign: list[tuple[int, str]],
    found: ShardBoxes,
    photos: Sequence[ShardPhoto],
    problems: Problems,
) -> None:
    """A photo without a box of the classes is no photo of the source; in one with, the boxes of
    other classes leave objects that nobody hears of."""
    for photo, label in foreign:
        if photo in found.listed:
            what = "boxes of other classes in photos of the classes, left out"
            problems.add(what, f"{photos[photo].name}: {label!r}")


def _header(rows: csv.DictReader[str], path: Path) -> list[str]:
    try:
        header = [name.strip() for name in rows.fieldnames or []]
    except csv.Error as error:
        raise UserError(f"{path} is no CSV file ({error}); give one of boxes") from None
    lacking = [name for name in ("file", *_CORNERS) if name not in header]
    if lacking or not {"label", "wnid"} & set(header):
        raise UserError(
            f"{path} has the columns {', '.join(header)[:200]!r}; boxes need file, label (or "
            "wnid), x1, y1, x2, y2, and may have shard"
        )
    rows.fieldnames = header
    return header


def _rows(rows: csv.DictReader[str], path: Path) -> Iterator[dict[str, str | None]]:
    try:
        yield from rows
    except csv.Error as error:
        raise UserError(f"{path}, line {rows.line_num}: {error}; correct the file") from None


def _owners(
    photos: Sequence[ShardPhoto], shards: Sequence[Path], path: Path, *, by_shard: bool
) -> dict[tuple[str, str], int]:
    """(shard, name) of a member, the shard empty where the CSV has none, to the photo's number."""
    owners: dict[tuple[str, str], int] = {}
    for number, photo in enumerate(photos):
        key = (shards[photo.shard].name if by_shard else "", photo.name)
        if key in owners:
            where = " and ".join(str(shards[photos[n].shard]) for n in (owners[key], number))
            remedy = "rename one of the shards" if by_shard else "give the CSV a column `shard`"
            raise UserError(
                f"{path} cannot tell {photo.name!r} of {where} from one another; {remedy}"
            )
        owners[key] = number
    return owners


def _numbers(values: Sequence[Any]) -> list[float] | None:
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        return None
