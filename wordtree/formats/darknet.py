"""Darknet's tree: `X.tree` (key and parent's line), `X.names`, `X.labels`; and `.map`.

Line i, from 0, is node i. A `.tree` cannot say which nodes are labelled, so all are. Darknet itself
diagnoses nothing: with split siblings or a late parent it mislearns or crashes. All that is
refused here, with the line.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from wordtree.errors import UserError
from wordtree.formats.checked import make_tree
from wordtree.formats.text import read_lines, write_text
from wordtree.tree import WordTree
from wordtree.wording import short

_NUMBER = frozenset("-0123456789")


def read_darknet(path: Path) -> WordTree:
    """Reads `X.tree`, with the names of `X.names` where that stands beside it.

    CRLF, a byte order mark, tabs and several blanks are accepted.
    """
    lines = read_lines(path, cut=True)
    keys, parent = _columns(path, lines)
    labels, named = path.with_suffix(".labels"), path.with_suffix(".names")
    names = None
    if labels.exists():
        for at, label in enumerate(_aligned(labels, len(keys), path)):
            if label != keys[at] and label.strip() != keys[at]:
                raise UserError(
                    f"{labels}, line {at + 1}: {short(label)} stands where {path.name} has "
                    f"{keys[at]!r}; they must agree line by line"
                )
    if named.exists():
        names = _aligned(named, len(keys), path)
        for at, name in enumerate(names):
            if not name or name.isspace():
                raise UserError(
                    f"{named}, line {at + 1}: the name of {keys[at]} is empty; give it one"
                )
    return make_tree(path, keys, parent, names, place=lambda node: f"line {node + 1}")


def _columns(path: Path, lines: list[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Keys and parents of the lines; UserError with the first line that is wrong."""
    keys: list[str] = []
    numbers: list[str] = []
    try:
        for key, number in map(str.split, lines):
            keys.append(key)
            numbers.append(number)
        parent = np.fromiter(map(int, numbers), np.int64, len(numbers))
        # `int` would take 1_000 and the digits of other scripts too.
        whole = _NUMBER.issuperset("".join(numbers)) and parent.min() >= -1
    except (ValueError, OverflowError):
        whole = False
    if not whole:
        _refuse_line(path, lines)
    return keys, parent


def _refuse_line(path: Path, lines: list[str]) -> NoReturn:
    """UserError for the first line that is no row, found by a look at each."""
    at = next(at for at, line in enumerate(lines) if not _is_row(line.split()))
    raise UserError(
        f"{path}, line {at + 1}: {short(lines[at])} is not a key and one whole number >= -1 (the "
        f"parent's line counted from 0, -1: at the top)"
    )


def _is_row(words: list[str]) -> bool:
    number = _whole_number(words[1]) if len(words) == 2 else None
    return number is not None and number >= -1


def write_darknet(tree: WordTree, path: Path) -> None:
    """Writes `X.tree`, `X.names` and `X.labels`.

    Raises UserError for an empty tree, a key with blanks, a name that is empty or has a line
    break: darknet's files cannot hold them.
    """
    if not len(tree):
        raise UserError(f"{path}: an empty tree cannot be written as a darknet file")
    for key in tree.keys:
        if key.split() != [key] or key.startswith("\ufeff"):
            raise UserError(
                f"{path}: the key {key!r} has blanks, which a .tree file cannot hold; write .json"
            )
    for key, name in zip(tree.keys, tree.names, strict=True):
        if not name.strip() or any(mark in name for mark in "\r\n\0") or name[0] == "\ufeff":
            raise UserError(
                f"{path.with_suffix('.names')}: the name {short(name)} of {key} is empty or has "
                f"a line break, which a .names file cannot hold; write .json"
            )
    rows = zip(tree.keys, tree.parent.tolist(), strict=True)
    write_text(path, "".join(f"{key} {parent}\n" for key, parent in rows))
    write_text(path.with_suffix(".names"), "".join(f"{name}\n" for name in tree.names))
    write_text(path.with_suffix(".labels"), "".join(f"{key}\n" for key in tree.keys))


def read_map(path: Path) -> NDArray[np.int64]:
    """Reads a `.map`: int64, for each category of a data set the index of its node."""
    lines = read_lines(path, cut=True)
    nodes = np.empty(len(lines), np.int64)
    for at, line in enumerate(lines):
        number = _whole_number(line.strip())
        if number is None or not 0 <= number < 2**31:
            raise UserError(
                f"{path}, line {at + 1}: {short(line)} is not one whole number >= 0 (a node's "
                f"line in the tree, counted from 0)"
            )
        nodes[at] = number
    return nodes


def write_map(nodes: Iterable[int], path: Path) -> None:
    """Writes a `.map`, one node index a line."""
    write_text(path, "".join(f"{node}\n" for node in nodes))


def read_labels(path: Path) -> list[str]:
    """Reads a list of keys or names, one a line; blank lines are left out."""
    return [line.strip() for line in read_lines(path) if line.strip()]


def _aligned(path: Path, count: int, tree: Path) -> list[str]:
    lines = read_lines(path)
    if len(lines) != count:
        raise UserError(
            f"{path} has {len(lines)} lines and {tree.name} has {count}; one of them is cut or "
            f"belongs to another tree"
        )
    return lines


def _whole_number(text: str) -> int | None:
    if not text or len(text) > 18 or not _NUMBER.issuperset(text):
        return None
    try:
        return int(text)
    except ValueError:
        return None
