"""The categories of COCO and LVIS annotation files, whose annotations can be a gigabyte."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from wordtree.errors import UserError
from wordtree.formats.text import read_text
from wordtree.wording import short

_SHOWN = 10
_BLANKS = re.compile(r"[ \t\n\r]*")
_SYNTAX = json.JSONDecoder()


class Category(NamedTuple):
    """One category of an annotation file; `synset` is empty where the file gives none."""

    id: int
    name: str
    synset: str = ""


def read_categories(path: str | Path) -> list[Category]:
    """The categories of a COCO or LVIS file, in the order of their ids.

    Two categories may share a name, never an id. All other parts of the file are checked to be
    JSON, an entry at a time, and none of it is kept. Raises UserError that names all faults of
    the categories, at most ten.
    """
    file = Path(path)
    text = read_text(file)
    try:
        found = _member(text, "categories")
    except json.JSONDecodeError as error:
        raise UserError(
            f"{file} is not JSON (line {error.lineno}, column {error.colno}: {error.msg}); give a "
            f"whole COCO annotation file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{file} is not JSON that can be read ({error}); give a COCO annotation file"
        ) from None
    if not isinstance(found, list) or not found:
        raise UserError(f"{file} has no `categories` with id and name; give a COCO annotation file")
    categories: list[Category] = []
    place: dict[int, int] = {}
    faults = []
    for at, row in enumerate(found):
        fault = _fault(row)
        if not fault and row["id"] in place:
            fault = f"has the id {row['id']} of categories[{place[row['id']]}]"
        if fault:
            faults.append(f"categories[{at}] {fault}")
        else:
            place[row["id"]] = at
            categories.append(Category(row["id"], row["name"], row.get("synset") or ""))
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UserError(
            f"{file}: {'; '.join(faults[:_SHOWN])}{more}; give every category a whole number of "
            f"its own as `id` and a text as `name`"
        )
    return sorted(categories)


def _fault(row: Any) -> str:
    if not isinstance(row, dict):
        return f"is {_short(row)}, no category"
    for field in ("id", "name"):
        if field not in row:
            return f"has no {field}"
    if type(row["id"]) is not int:
        return f"has the id {_short(row['id'])}"
    if not isinstance(row["name"], str) or not row["name"].strip():
        return f"has the name {_short(row['name'])}"
    if not isinstance(row.get("synset"), str | None):
        return f"has the synset {_short(row['synset'])}"
    return ""


def _short(value: Any) -> str:
    return short(value) if isinstance(value, str) else str(value)[:60]


def _member(text: str, wanted: str) -> Any:
    """The value of one key of a JSON object, None where it has none; the rest is let go at once.

    Where the key comes twice the last one counts, as for json.loads.
    """
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        json.loads(text)
        return None
    result, at = None, _skip(text, at + 1)
    more = text[at : at + 1] != "}"
    while more:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError(
                "Expecting property name enclosed in double quotes", text, at
            )
        key, at = _SYNTAX.raw_decode(text, at)
        at = _skip(text, _after(":", text, at))
        if key == wanted:
            result, at = _SYNTAX.raw_decode(text, at)
        elif text[at : at + 1] == "[":
            at = _end_of_list(text, at)
        else:
            at = _SYNTAX.raw_decode(text, at)[1]
        at, more = _comma(text, at)
    at = _skip(text, _after("}", text, at))
    if at < len(text):
        raise json.JSONDecodeError("Extra data", text, at)
    return result


def _end_of_list(text: str, at: int) -> int:
    at = _skip(text, at + 1)
    more = text[at : at + 1] != "]"
    while more:
        at, more = _comma(text, _SYNTAX.raw_decode(text, at)[1])
    return _after("]", text, at)


def _comma(text: str, at: int) -> tuple[int, bool]:
    """Where the next entry begins if a comma says that there is one, else where the list ends."""
    at = _skip(text, at)
    more = text[at : at + 1] == ","
    return (_skip(text, at + 1) if more else at), more


def _after(mark: str, text: str, at: int) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != mark:
        raise json.JSONDecodeError(f"Expecting {mark!r}", text, at)
    return at + 1


def _skip(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at
