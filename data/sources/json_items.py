"""Reads one large JSON object of lists entry by entry, through a window that moves over the file.

The standard reader turns a 450 MB annotation file into several GB of dicts before one can look at
it. Here neither the text nor the entries are held, but for what the caller keeps.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from data.sources.progress import told
from wordtree.errors import UserError

WINDOW = 1 << 20  # bytes of the file that are read at a time
# What a number or a word may still need at the end of the window: `-Infinity`, `1.5e-` and so on.
_MARGIN = 32
_DECODER = json.JSONDecoder()
_BLANK = " \t\n\r"


def read_json_lists(
    path: str | Path, wanted: dict[str, Callable[[Any], None]], *, window: int = WINDOW
) -> set[str]:
    """Calls `wanted[key](entry)` for every entry of the lists under those keys of the object.

    Returns the wanted keys that the file has. Raises UserError, naming line and column, where the
    file is not JSON or is cut off, and where a wanted key holds no list. Memory is that of the
    window and the largest entry.
    """
    try:
        with (
            open(path, "rb") as file,
            told(f"reading {path}", os.fstat(file.fileno()).st_size) as advance,
        ):
            return _walk(_Window(file, window, advance), wanted, path)
    except OSError as error:
        raise UserError(
            f"cannot read the annotation file {path}: {(error.strerror or str(error)).lower()}; "
            "correct the path"
        ) from error
    except _NotUtf8 as error:
        raise UserError(
            f"{path} is not JSON: its byte {error.byte} is not UTF-8; give a COCO annotation file"
        ) from error
    except _Fault as error:
        raise UserError(
            f"{path} is not JSON, or is cut off: {error}; fetch or write it again"
        ) from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise UserError(
            f"{path} is no annotation file that can be read: {error}; give a COCO file"
        ) from error


class _Fault(Exception):
    """Where a file stops being JSON: `line L column C: what`."""


class _NotUtf8(Exception):
    def __init__(self, byte: int) -> None:
        super().__init__(byte)
        self.byte = byte


class _Window:
    """The part of a file's text that is being read: `text` from `at` on. What was read is forgotten
    when more is fetched, but for its lines, which faults are told by."""

    def __init__(self, file: BinaryIO, size: int, advance: Callable[[int], None]) -> None:
        self.text, self.at, self.ended = "", 0, False
        self._file, self._size, self._advance = file, size, advance
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._bytes = 0
        self._lines, self._column = 0, 0  # line ends, and characters of the last line, before text

    def more(self) -> None:
        """Fetches the next part; an entry that does not fit gets twice as much each time."""
        gone, self.text, self.at = self.text[: self.at], self.text[self.at :], 0
        ends = gone.count("\n")
        self._lines += ends
        self._column = len(gone) - gone.rfind("\n") - 1 if ends else self._column + len(gone)
        data = self._file.read(max(self._size, len(self.text)))
        kept = len(self._decoder.getstate()[0])
        try:
            self.text += self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise _NotUtf8(self._bytes - kept + error.start) from error
        self._bytes += len(data)
        self._advance(len(data))
        self.ended = not data

    def peek(self) -> str:
        """The next character that is no blank, nothing at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _BLANK:
                    return self.text[self.at]
                self.at += 1
            if self.ended:
                return ""
            self.more()

    def take(self, mark: str) -> None:
        """Moves on over a character that must stand here."""
        if self.peek() != mark:
            raise self.fault(f"a {mark!r} is expected here", self.at)
        self.at += 1

    def value(self) -> Any:
        """The value that begins here."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated string")
                if self.ended or not (unfinished or error.pos + _MARGIN > len(self.text)):
                    raise self.fault(error.msg, error.pos) from error
            else:
                if self.ended or end + _MARGIN <= len(self.text):
                    self.at = end
                    return value
            self.more()

    def fault(self, what: str, at: int) -> _Fault:
        """That the file stops being JSON at this place of the text."""
        ends = self.text.count("\n", 0, at)
        column = at - self.text.rfind("\n", 0, at) if ends else self._column + at + 1
        return _Fault(f"line {self._lines + ends + 1} column {column}: {what}")


def _walk(text: _Window, wanted: dict[str, Callable[[Any], None]], path: str | Path) -> set[str]:
    found: set[str] = set()
    if text.peek() != "{":
        text.value()  # names the place where it is no JSON at all
        raise UserError(f"{path} holds no JSON object; give a COCO annotation file")
    text.take("{")
    while text.peek() != "}":
        if text.peek() != '"':
            raise text.fault("a key in quotes is expected here", text.at)
        key = text.value()
        text.take(":")
        if key in wanted:
            if text.peek() != "[":
                raise UserError(f"{key!r} of {path} is no list; give a COCO annotation file")
            if key in found:
                raise UserError(f"{key!r} stands twice in {path}; join the two lists")
            found.add(key)
            _each(text, wanted[key])
        elif text.peek() == "[":
            _each(text, lambda _: None)
        else:
            text.value()
        if text.peek() != "}":
            text.take(",")
    text.take("}")
    if text.peek():
        raise text.fault("nothing more is expected here", text.at)
    return found


def _each(text: _Window, use: Callable[[Any], None]) -> None:
    text.take("[")
    while text.peek() != "]":
        use(text.value())
        if text.peek() != "]":
            text.take(",")
    text.take("]")
