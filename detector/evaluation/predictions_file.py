"""predictions.json: COCO's list of results, one record a detection, ours or another detector's."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detector.evaluation.files import write_whole
from wordtree.errors import UserError

REQUIRED = ("image_id", "category_id", "bbox", "score")
FORM = "a list of records {image_id, category_id, bbox: [x, y, width, height], score}"


def write_predictions(path: str | Path, records: Sequence[dict[str, Any]]) -> None:
    """Writes the records of `Detections.to_coco`, checked as `read_predictions` checks them."""
    for number, record in enumerate(records):
        _check(path, number, record)
    # One record a line: a person can look into it, and a diff says something.
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    write_whole(path, f"[\n{lines}\n]\n" if records else "[]\n")


def read_predictions(path: str | Path) -> list[dict[str, Any]]:
    """The records of a predictions file.

    Each has `image_id` and `category_id` (whole numbers), `bbox` (x, y, width, height in pixels
    of the original photo, finite, neither side negative) and `score` (finite); `file_name`,
    `key` and `path` ([key, probability] pairs, top first) may stand beside. Evaluators take a NaN
    score in silence, so whatever breaks this is a UserError that names the record, counted from 0.
    """
    try:
        records = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give a predictions file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON ({error}); give {FORM}") from None
    if not isinstance(records, list):
        raise UserError(f"{path}: holds {_short(records)} and no list; give {FORM}")
    for number, record in enumerate(records):
        _check(path, number, record)
    return records


def _check(path: str | Path, number: int, record: Any) -> None:
    problem = _problem(record)
    if problem:
        raise UserError(f"{path}: record {number} {problem}")


def _problem(record: Any) -> str | None:
    if not isinstance(record, dict):
        return f"is {_short(record)}; it must be a dict with {', '.join(REQUIRED)}"
    missing = [key for key in REQUIRED if key not in record]
    if missing:
        return f"has no {', '.join(missing)}; each record needs {', '.join(REQUIRED)}"
    for key in ("image_id", "category_id"):
        if not _is_whole(record[key]):
            return f"has the {key} {_short(record[key])}; it must be a whole number"
    box = record["bbox"]
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))):
        return f"has the bbox {_short(box)}; it must be four finite numbers: x, y, width, height"
    if box[2] < 0 or box[3] < 0:
        return f"has the bbox {_short(box)}, a side of which is negative; give x, y, width, height"
    if not _is_finite(record["score"]):
        return f"has the score {_short(record['score'])}; it must be a finite number"
    for key in ("file_name", "key"):
        if not isinstance(record.get(key, ""), str):
            return f"has the {key} {_short(record[key])}; it must be a text"
    path = record.get("path", [])
    if not (isinstance(path, list) and all(map(_is_step, path))):
        return f"has the path {_short(path)}; it must be [key, probability] pairs, top first"
    return None


def _is_whole(value: Any) -> bool:
    # Larger numbers do not fit the arrays that they are read into.
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_finite(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    # abs() first: isfinite raises for an integer beyond any float.
    return abs(value) <= 1e300 and math.isfinite(value)


def _is_step(step: Any) -> bool:
    return (
        isinstance(step, list)
        and len(step) == 2
        and isinstance(step[0], str)
        and _is_finite(step[1])
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
