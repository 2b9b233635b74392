"""Reads one large JSON object of lists entry by entry.

The standard reader turns a 450 MB annotation file into several GB of dicts before one can look at
it. Here the text is held once, and of the entries only what the caller keeps.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wordtree.errors import UserError

_DECODER = json.JSONDecoder()
_BLANK = " \t\n\r"


def read_json_lists(path: str | Path, wanted: dict[str, Callable[[Any], None]]) -> set[str]:
    """Calls `wanted[key](entry)` for every entry of the lists under those keys of the object.

    Returns the wanted keys that the file has. Raises UserError, naming line and column, where the
    file is not JSON or is cut off, and where a wanted key holds no list.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(
            f"cannot read the annotation file {path}: {(error.strerror or str(error)).lower()}; "
            "correct the path"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not JSON: its byte {error.start} is not UTF-8; give a COCO annotation file"
        ) from error
    try:
        return _walk(text, wanted, path)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is not JSON, or is cut off: line {error.lineno} column {error.colno}: "
            f"{error.msg}; fetch or write it again"
        ) from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise UserError(
            f"{path} is no annotation file that can be read: {error}; give a COCO file"
        ) from error


def _walk(text: str, wanted: dict[str, Callable[[Any], None]], path: str | Path) -> set[str]:
    found: set[str] = set()
    at = _skip(text, 0)
    if not text.startswith("{", at):
        _DECODER.raw_decode(text, at)  # names the place where it is no JSON at all
        raise UserError(f"{path} holds no JSON object; give a COCO annotation file")
    at = _skip(text, at + 1)
    while not text.startswith("}", at):
        if not text.startswith('"', at):
            raise json.JSONDecodeError("a key in quotes is expected here", text, at)
        key, at = _DECODER.raw_decode(text, at)
        at = _expect(text, at, ":")
        if key not in wanted:
            _, at = _DECODER.raw_decode(text, at)
        elif not text.startswith("[", at):
            raise UserError(f"{key!r} of {path} is no list; give a COCO annotation file")
        elif key in found:
            raise UserError(f"{key!r} stands twice in {path}; join the two lists")
        else:
            found.add(key)
            at = _each(text, at, wanted[key])
        at = _skip(text, at)
        if not text.startswith("}", at):
            at = _expect(text, at, ",")
    rest = _skip(text, at + 1)
    if rest < len(text):
        raise json.JSONDecodeError("nothing more is expected here", text, rest)
    return found


def _each(text: str, at: int, use: Callable[[Any], None]) -> int:
    at = _skip(text, at + 1)
    while not text.startswith("]", at):
        entry, at = _DECODER.raw_decode(text, at)
        use(entry)
        at = _skip(text, at)
        if not text.startswith("]", at):
            at = _expect(text, at, ",")
    return at + 1


def _expect(text: str, at: int, mark: str) -> int:
    at = _skip(text, at)
    if not text.startswith(mark, at):
        raise json.JSONDecodeError(f"a {mark!r} is expected here", text, at)
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at
