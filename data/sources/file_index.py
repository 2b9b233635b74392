"""A long list of file names as two arrays, and problems of a data set in one sentence."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

SHOWN = 10


class FileIndex:
    """An immutable list of paths as one array of bytes and one of offsets.

    A Python list of strings is copied page by page into every forked worker, since reading an
    entry writes its reference count; arrays are not.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        encoded = [os.fsencode(path) for path in paths]
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self._ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"photo {index} of {len(self)}")
        start = 0 if index == 0 else int(self._ends[index - 1])
        return os.fsdecode(self._bytes[start : int(self._ends[index])].tobytes())


class Problems:
    """Counts of what was wrong, by kind, with the first few examples of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self.counts)

    def add_rows(self, kind: str, rows: Sequence[int], example: Callable[[int], object]) -> None:
        """Counts a row each, and makes no more examples than are kept."""
        for row in rows[:SHOWN]:
            self.add(kind, example(row))
        if len(rows) > SHOWN:
            self.add(kind, "", count=len(rows) - SHOWN)

    def add(self, kind: str, example: object, *, count: int = 1) -> None:
        """Counts `count` more of `kind`; the first `SHOWN` examples are kept."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        examples = self.examples.setdefault(kind, [])
        if len(examples) < SHOWN:
            examples.append(_short(str(example)))

    def __str__(self) -> str:
        """`3 images not on disk (a.jpg, b.jpg, c.jpg); 12 ... (..., and 2 more)`."""
        parts = []
        for kind, count in self.counts.items():
            examples = self.examples[kind]
            more = count - len(examples)
            tail = f", and {more} more" if more > 0 else ""
            parts.append(f"{count} {kind} ({', '.join(examples)}{tail})")
        return "; ".join(parts)


def nearest(word: str, known: Sequence[str]) -> str:
    """`(nearest: 'dog')` for the known word most like `word`, or nothing where none is like it."""
    found = difflib.get_close_matches(word, known, n=1)
    return f" (nearest: {found[0]!r})" if found else ""


def _short(text: str, limit: int = 120) -> str:
    # A file name may have bytes that are no UTF-8; no terminal or log would take them.
    text = " ".join(text.encode(errors="backslashreplace").decode().split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
