"""One label file of YOLO: a line an object, `class cx cy w h` or `class x1 y1 x2 y2 x3 y3 ...`."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelFile:
    """classes: a number each; corners: xyxy each, fractions of the photo's width and height;
    wrong: the numbers of the lines that are no object; scored: of those that have one number more
    than a box, which is a prediction's confidence."""

    classes: list[int]
    corners: list[Corners]
    wrong: list[int]
    scored: list[int]


def label_path(photo: str) -> str:
    """Where the labels of a photo are: the last `/images/` of its path becomes `/labels/`, where
    there is none they lie beside it; the ending becomes `.txt`."""
    before, images, after = photo.rpartition(f"{os.sep}images{os.sep}")
    place = os.path.join(before, "labels", after) if images else photo
    return os.path.splitext(place)[0] + ".txt"


def read_labels(path: str | Path, *, key_points: bool = False) -> LabelFile | None:
    """What a label file says; None where there is none. Other OSErrors are the caller's.

    key_points: the values after the box are key points, which are left out.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig", errors="replace")
    except FileNotFoundError:
        return None
    file = LabelFile([], [], [], [])
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        found = _object(words, key_points)
        if found is None:
            (file.scored if _is_scored(words) else file.wrong).append(number)
        else:
            file.classes.append(found[0])
            file.corners.append(found[1])
    return file


def _is_scored(words: Sequence[str]) -> bool:
    return len(words) == 6 and _object(words[:5], key_points=False) is not None


def _object(words: Sequence[str], key_points: bool) -> tuple[int, Corners] | None:
    try:
        kind, *values = map(float, words)
    except ValueError:
        return None
    if not (kind >= 0 and kind.is_integer()):
        return None
    if key_points:
        values = values[:4]
    if len(values) == 4:
        x, y, width, height = values
        return int(kind), (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if len(values) < 6 or len(values) % 2:
        return None
    if not all(map(math.isfinite, values)):
        return int(kind), (math.nan,) * 4
    xs, ys = values[::2], values[1::2]
    return int(kind), (min(xs), min(ys), max(xs), max(ys))
