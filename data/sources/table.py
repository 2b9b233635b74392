"""Photos with labels, and boxes where there are any, from a table: CSV with commas or tabs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.boxes import all_fractions
from data.sample import Kind
from data.sources.annotated_photos import AnnotatedPhotos, Exhaustive
from data.sources.categories import category_nodes
from data.sources.file_index import Problems
from wordtree.errors import UserError
from wordtree.formats.text import read_text
from wordtree.wording import short

if TYPE_CHECKING:
    from wordtree import LabelMap, WordTree

CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS = ("file", "label", *CORNERS)
Columns = Mapping[str, str | int]


@dataclass
class Table:
    """P photos, R rows with a label or a box, in the order of the file.

    photos: file name -> its number. image: (R,), the number of each row's photo. labels: (R,),
    empty where the row has none. corners: (R,) of x1, y1, x2, y2 each, NaN where no number; None
    where the table has no boxes, or nobody asks for them. lost: the photos of rows that lack what
    they need.
    """

    photos: dict[str, int] = field(default_factory=dict)
    image: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    corners: list[tuple[float, ...]] | None = None
    lost: set[int] = field(default_factory=set)


class TableSource(AnnotatedPhotos):
    """The photos that a table names, in the order in which they come first.

    Several rows of a photo are several labels, or boxes, of it; a row with a box and no label is an
    object that nobody knows the name of (node -1). Photos are exhaustive for the labels that occur.
    Attributes are `AnnotatedPhotos`'s.
    """

    def __init__(
        self,
        table: str | Path,
        images: str | Path,
        *,
        tree: WordTree,
        columns: Columns | None = None,
        label_map: LabelMap | None = None,
        kind: Kind | None = None,
        name: str = "table",
        exhaustive: Exhaustive = "source",
    ) -> None:
        """table: the file; images: the folder its file names start from.

        columns: see `read_table`. label_map: labels -> nodes; without one, each must be a key of
        `tree`. kind: `boxed` where the header has x1, y1, x2, y2 (pixels of the photo, its left and
        upper edge being 0, x2 and y2 the box's right and lower edge), else `label_only`. Boxed
        photos are opened for their sizes.
        `background` takes photos without labels.
        Raises UserError for a table or folder that cannot be used.
        """
        problems = Problems()
        rows = read_table(table, columns, problems, kind=kind)
        if kind is None:
            kind = "label_only" if rows.corners is None else "boxed"
        boxes = None
        if rows.corners is not None:
            boxes = np.array(rows.corners, np.float64).reshape(-1, 4)
            if all_fractions(boxes, ()):
                raise UserError(
                    f"the boxes of {table} are fractions (none exceeds 1, the first is "
                    f"{boxes[0].tolist()}); multiply them by the photos' width and height"
                )
        names = sorted({*rows.labels} - {""})
        nodes = category_nodes(names, tree, label_map, table)
        place = {one: at for at, one in enumerate(names)}
        at = np.array([place.get(label, -1) for label in rows.labels], np.int64)
        node = np.append(nodes, -1)[at]
        super().__init__(
            name=name,
            kind=kind,
            where=table,
            folder=images,
            file_names=list(rows.photos),
            image=np.array(rows.image, np.int64),
            node=node,
            ignore=(node < 0) & (at >= 0),
            boxes=boxes,
            categories=nodes,
            exhaustive=exhaustive,
            lost=sorted(rows.lost),
            problems=problems,
        )


def table_labels(
    table: str | Path, columns: Columns | None = None, *, kind: Kind | None = None
) -> list[str]:
    """The labels of a table, each once, ascending."""
    return sorted({*read_table(table, columns, Problems(), kind=kind).labels} - {""})


def read_table(
    path: str | Path, columns: Columns | None, problems: Problems, *, kind: Kind | None = None
) -> Table:
    """Reads the columns `file`, `label` and, where the header has all four, `x1 y1 x2 y2`.

    kind: what the photos are declared to be; of `label_only` ones no box is looked at.
    columns: which they are where the file calls them otherwise: the names of its header
    (`{label: wnid}`), or, in a file without a header, their places from 0 (`{file: 0, label: 2}`).
    The delimiter is a tab where the first line has one, else a comma. Rows without a file name,
    of another length than the first, or without what they need are counted and left out.
    """
    file = Path(path)
    text = read_text(file)
    if not text.strip():
        raise UserError(f"{file} has nothing but blank lines; give a table of file and label")
    first = text.lstrip("\n").partition("\n")[0]
    delimiter = "\t" if "\t" in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = (cells for cells in reader if cells)
    found = Table()
    try:
        head = next(rows)
        numbered = bool(columns) and all(isinstance(one, int) for one in columns.values())
        place = _numbered(file, columns, head) if numbered else _named(file, columns or {}, head)
        boxed = "x1" in place and kind != "label_only"
        found.corners = [] if boxed else None
        for cells in chain([head] if numbered else [], rows):
            where = f"line {reader.line_num}"
            if len(cells) != len(head):
                problems.add("rows with too many or too few cells", where)
                continue
            name = cells[place["file"]].strip()
            label = cells[place["label"]].strip() if "label" in place else ""
            corners = [cells[place[one]].strip() for one in CORNERS] if boxed else []
            if not name or "\0" in name:
                problems.add("rows without a file name", where)
                continue
            photo = found.photos.setdefault(name, len(found.photos))
            if any(corners) and not all(corners):
                problems.add("rows with a part of a box", where)
                found.lost.add(photo)
                continue
            if label and boxed and not any(corners):
                problems.add("rows with a label and no box", where)
                found.lost.add(photo)
                continue
            if not label and not any(corners):
                continue  # a photo that shows nothing, or of which nothing is known
            found.image.append(photo)
            found.labels.append(label)
            if found.corners is not None:
                found.corners.append(tuple(map(_number, corners)))
    except csv.Error as error:
        raise UserError(
            f"{file}, line {reader.line_num}: not CSV ({error}); put a cell with a {delimiter!r} "
            "or a quote in double quotes, and double the quotes in it"
        ) from None
    return found


def _numbered(file: Path, columns: Columns, first: list[str]) -> dict[str, int]:
    """Where the columns of a file without a header stand."""
    _refuse_columns(file, columns)
    for one, at in columns.items():
        if isinstance(at, bool) or not 0 <= int(at) < len(first):
            raise UserError(
                f"columns of {file} says {one}: {at}, but its first line has {len(first)} cells, "
                "numbered from 0"
            )
    _refuse_half_boxes(file, columns)
    return {one: int(at) for one, at in columns.items()}


def _named(file: Path, columns: Columns, head: list[str]) -> dict[str, int]:
    """Where the columns stand that the header names, in any case of letters."""
    _refuse_columns(file, columns)
    names = [cell.strip().lower() for cell in head]
    wanted = {one: str(columns.get(one, one)).strip().lower() for one in COLUMNS}
    twice = [name for name in wanted.values() if names.count(name) > 1]
    if twice:
        raise UserError(f"{file} has two columns {twice[0]!r}; rename one")
    place = {one: names.index(name) for one, name in wanted.items() if name in names}
    # A list of photos of which nothing is known needs no more than their names.
    needed = {"file", *columns} | ({"label"} if len(names) > 1 and "x1" not in place else set())
    lacking = sorted(needed - set(place))
    if lacking:
        raise UserError(
            f"{file} has no column {wanted[lacking[0]]!r} in its first line "
            f"{short(','.join(head))}; name its columns file and label there, or say which they "
            "are (columns: {file: NAME, label: NAME}, or their places from 0 without a header)"
        )
    _refuse_half_boxes(file, place)
    return place


def _refuse_half_boxes(file: Path, place: Columns) -> None:
    if 0 < sum(one in place for one in CORNERS) < len(CORNERS):
        absent = ", ".join(one for one in CORNERS if one not in place)
        raise UserError(f"{file} has some columns of a box, but no {absent}; add or remove them")


def _refuse_columns(file: Path, columns: Columns) -> None:
    for one in columns:
        if one not in COLUMNS:
            raise UserError(f"columns of {file} has {one!r}; it may have {', '.join(COLUMNS)}")
    if "file" not in columns and any(isinstance(at, int) for at in columns.values()):
        raise UserError(f"columns of {file} are numbers, but none for file; say its place, too")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
