"""The lines of a darknet file as they are, whatever they are: nothing here refuses a line.

Files are read in binary and a line is kept only up to 64 kB, so that a damaged file costs no more
memory than a whole one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordtree.errors import UserError
from wordtree.laws import Indices

LONGEST = 65_536
_PLAIN = re.compile(r"([!-~]+) (-1|0|[1-9][0-9]{0,8})").fullmatch
_NUMBER = re.compile(r"-?[0-9]{1,17}|[0-9]{18}").fullmatch
_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"


@dataclass
class Lines:
    """The lines of a text file without their line ends; blank ones at its end are left out.

    faults: kind -> numbers of the lines, from 0. `long`, `nul` and `utf8` are no text (`texts`
    has something to show in their place), `cut` has no line end; `crlf`, `bom` and `blank end`
    can be read.
    """

    texts: list[str] = field(default_factory=list)
    faults: dict[str, list[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    def unreadable(self) -> set[int]:
        """The lines that are no text."""
        return {at for kind in ("long", "nul", "utf8") for at in self.faults.get(kind, ())}


@dataclass
class Rows(Lines):
    """A tree's lines as rows: `keys` ("" where a line has none) and int64 `parent`.

    known: bool, which lines are a key and one whole number; `parent` is -1 in the others, which
    stand in `faults` as `blank`, `one column`, `columns`, `number` or `carriage return`.
    `spacing`: lines that are right but for tabs, several blanks or leading zeros.
    """

    keys: list[str] = field(default_factory=list)
    parent: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    known: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))


def whole_number(text: str) -> int | None:
    """The number, None if the text is not one of at most 18 characters as a tree file has them."""
    return int(text) if _NUMBER(text) else None


def is_utf16(path: Path) -> bool:
    """Whether the file begins like UTF-16, which Windows programs write as *Unicode*."""
    return next(_blocks(path), b"")[:2] in (b"\xff\xfe", b"\xfe\xff")


def read_lines(path: Path) -> Lines:
    """The lines of a file; UserError only where it cannot be read at all."""
    found = Lines()
    texts, faults = found.texts, found.faults
    ended = True
    for block in _blocks(path):
        if not texts and block.startswith(_BOM):
            faults["bom"] = [0]
            block = block[3:]
        ended = block.endswith(b"\n")
        raw = block[:-1] if ended else block
        plain = raw.isascii() and b"\0" not in raw and b"\r" not in raw
        lines = raw.decode().split("\n") if plain else []
        if plain and max(map(len, lines)) <= LONGEST:
            texts += lines
            continue
        for line in raw.split(b"\n"):
            at = len(texts)
            text = None
            if len(line) > LONGEST:
                faults.setdefault("long", []).append(at)
            elif b"\0" in line:
                faults.setdefault("nul", []).append(at)
            else:
                try:
                    text = line.decode()
                except UnicodeDecodeError:
                    faults.setdefault("utf8", []).append(at)
            if text is None:
                text = line[:400].decode(errors="replace")
            elif text.endswith("\r"):
                faults.setdefault("crlf", []).append(at)
                text = text[:-1]
            texts.append(text)
    count = len(texts)
    if not ended and "crlf" in faults and faults["crlf"][-1] == count - 1:
        # A carriage return alone is no line end.
        texts[-1] += "\r"
        faults["crlf"].pop()
    bad = found.unreadable()
    while texts and not texts[-1].strip() and len(texts) - 1 not in bad:
        texts.pop()
    if len(texts) < count:
        faults["blank end"] = list(range(len(texts), count))
    elif texts and not ended:
        faults["cut"] = [count - 1]
    return found


def read_rows(path: Path) -> Rows:
    """The rows of a `.tree`; UserError only where it cannot be read at all."""
    lines = read_lines(path)
    bad = lines.unreadable()
    keys: list[str] = []
    parent: list[int] = []
    wrong: list[int] = []
    for at, text in enumerate(lines.texts):
        plain = _PLAIN(text)
        if plain and at not in bad:
            keys.append(plain[1])
            parent.append(int(plain[2]))
            continue
        columns = [] if at in bad else text.split()
        number = whole_number(columns[1]) if len(columns) == 2 else None
        keys.append(columns[0] if columns else "")
        parent.append(-1 if number is None else number)
        kind = "spacing"
        if number is None:
            wrong.append(at)
            kind = _row_fault(text, columns)
        elif text == f"{columns[0]} {number}":
            continue
        if at not in bad:
            lines.faults.setdefault(kind, []).append(at)
    known = np.ones(len(keys), bool)
    known[wrong] = False
    return Rows(lines.texts, lines.faults, keys, np.array(parent, np.int64), known)


def _row_fault(text: str, columns: list[str]) -> str:
    if not columns:
        return "blank"
    if len(columns) > 2 and "\r" in text.strip():
        return "carriage return"
    return {1: "one column", 2: "number"}.get(len(columns), "columns")


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in blocks of whole lines; of a line that is far too long, a part is left out."""
    rest = b""
    try:
        with path.open("rb") as file:
            while data := file.read(_BLOCK):
                head, newline, tail = data.rpartition(b"\n")
                if newline:
                    yield rest + head + newline
                    rest = tail
                else:
                    rest = (rest + tail)[: _BLOCK + LONGEST]
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a file") from None
    if rest:
        yield rest
