"""A darknet tree put in order: parents before children, siblings side by side, plain lines.

What stands above what is never guessed: where a line does not say it, a person has to decide.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordtree.errors import UserError
from wordtree.inspection.order import circles
from wordtree.inspection.rows import Lines, Rows, is_utf16, read_lines, read_rows
from wordtree.laws import Indices, group_starts
from wordtree.tree import WordTree
from wordtree.wording import plural, short

# What a person has to decide where lines have these faults; the other faults leave no doubt.
_UNDECIDED = {
    "long": "too long for a key and a number",
    "nul": "with NUL bytes",
    "utf8": "not UTF-8",
    "one column": "without a parent's number",
    "columns": "with more than a key and a number",
    "carriage return": "with carriage returns inside",
    "number": "with a parent that is no whole number",
    "cut": "without a line end, so that digits may be lost (end the line if it is whole)",
}
_HARMLESS = {
    "bom": ("byte order mark", "byte order marks", "left out"),
    "crlf": ("CRLF line end", "CRLF line ends", "made plain"),
    "spacing": ("line with tabs, several blanks or leading zeros",
                "lines with tabs, several blanks or leading zeros", "made plain"),
    "blank": ("blank line", "blank lines", "left out, and parents renumbered"),
    "blank end": ("blank line at the end", "blank lines at the end", "left out"),
}  # fmt: skip


@dataclass(frozen=True)
class Repaired:
    """A tree in order, and where its nodes stood.

    order: int64, for each line of the old file the node it has become, -1: it was blank.
    changes: what was done, in words; empty where the files were right already.
    """

    tree: WordTree
    order: Indices
    changes: list[str]

    def remapped(self, nodes: ArrayLike, source: str = "the map") -> Indices:
        """int64: the new nodes of old ones, such as a data set's `.map` has; -1 stays -1.

        source: the map's name, for the UserError about a number that was no node.
        """
        old = np.asarray(nodes, np.int64).reshape(-1)
        outside = (old < -1) | (old >= len(self.order))
        new = np.where(old < 0, -1, self.order[np.where(outside, 0, old)])
        bad = np.flatnonzero(outside | ((old >= 0) & (new < 0)))
        if len(bad):
            raise UserError(
                f"{source}, line {bad[0] + 1}: {old[bad[0]]} is no node of the old tree, whose "
                f"{plural(len(self.order), 'line')} are numbered from 0; correct the map"
            )
        return new


def repair(path: str | Path) -> Repaired:
    """The tree of a `.tree` with its `.names` and `.labels`, whose lines may be out of order.

    Parents' numbers count the lines of the file as it is, blank ones too: so darknet reads them.
    Siblings are placed together as soon as their parent is, earlier lines first, so a file that is
    right comes out as it is.
    Raises UserError, with the lines, for what only a person can decide: a line without a parent or
    with one that is out of range, circles, a key that comes twice, a cut file, names or labels
    that do not fit.
    """
    file = Path(path)
    rows = read_rows(file)
    if is_utf16(file):
        raise UserError(f"{file} is UTF-16 (what Windows programs call Unicode); save it as UTF-8")
    if not len(rows):
        raise UserError(f"{file} has nothing but blank lines; give a file with content")
    doubts = list(_doubts(rows))
    if doubts:
        raise UserError(
            f"{file} cannot be repaired without a decision: {'; '.join(doubts)}; correct them by "
            f"hand, `wordtree-inspect lint` explains each"
        )
    kept = np.ones(len(rows), bool)
    kept[rows.faults.get("blank", [])] = False
    read = {
        what: _beside(file.with_suffix(f".{what}"), file, rows, kept)
        for what in ("names", "labels")
    }
    texts = {what: found[1] for what, found in read.items() if found}
    if "labels" in texts:
        _check_labels(file.with_suffix(".labels"), file, texts["labels"], rows, kept)

    old = _in_order(rows.parent, np.flatnonzero(kept))
    order = np.full(len(rows), -1, np.int64)
    order[old] = np.arange(len(old))
    above = rows.parent[old]
    tree = WordTree(
        [rows.keys[at] for at in old.tolist()],
        np.where(above < 0, -1, order[above]),
        [texts["names"][at] for at in old.tolist()] if "names" in texts else None,
    )
    changes = [*_plain(rows, file), *_moved(order[kept])]
    for what, found in read.items():
        changes += _plain(found[0], file.with_suffix(f".{what}")) if found else []
    return Repaired(tree, order, changes)


def _doubts(rows: Rows) -> Iterator[str]:
    """What only a person can decide, with the lines."""
    for fault, what in _UNDECIDED.items():
        if fault in rows.faults:
            yield f"{_lines(rows.faults[fault])} {what}"
    parent, count = rows.parent, len(rows)
    outside = rows.known & ((parent >= count) | (parent < -1))
    if outside.any():
        at = np.flatnonzero(outside).tolist()
        yield f"{_lines(at)} with a parent out of range ({parent[at[0]]} first)"
    blank = np.zeros(count, bool)
    blank[rows.faults.get("blank", [])] = True
    inside = rows.known & ~outside & (parent >= 0)
    nameless = np.flatnonzero(inside & blank[np.where(inside, parent, 0)]).tolist()
    if nameless:
        yield (
            f"{_lines(nameless)} with a blank line for a parent ({parent[nameless[0]]} first; "
            f"if blank lines were never counted, remove them)"
        )
    for circle in circles(rows)[:3]:
        how = "its own parent" if len(circle) == 1 else "each other's ancestors"
        yield f"{_lines(sorted(circle))} {how}"
    first: dict[str, int] = {}
    twice = [at for at, key in enumerate(rows.keys) if first.setdefault(key, at) != at and key]
    if twice:
        key = rows.keys[twice[0]]
        yield f"{_lines(twice)} with a key used before ({short(key)}, line {first[key] + 1}, first)"


def _lines(at: Sequence[int]) -> str:
    shown = ", ".join(str(line + 1) for line in at[:5])
    more = f" and {len(at) - 5:,} more" if len(at) > 5 else ""
    return f"line{'s' * (len(at) > 1)} {shown}{more}"


def _beside(
    path: Path, tree: Path, rows: Rows, kept: NDArray[np.bool_]
) -> tuple[Lines, list[str]] | None:
    """A file beside the tree, and its text for each line of the tree; None if it is not there.

    Where the tree has blank lines, it may have them too, or not.
    """
    if not path.exists():
        return None
    lines = read_lines(path)
    damaged = sorted(lines.unreadable())
    if damaged:
        raise UserError(f"{path}, {_lines(damaged)}: not a line of UTF-8 text; correct the file")
    texts = lines.texts
    if len(texts) == int(kept.sum()):
        place = np.cumsum(kept) - 1
        texts = [texts[at] if keep else "" for at, keep in zip(place, kept.tolist(), strict=True)]
    if len(texts) != len(rows):
        raise UserError(
            f"{path} has {plural(len(texts), 'line')} and {tree.name} has {len(rows):,}; take the "
            f"files that belong together, since none says which line is missing"
        )
    filled = np.array([bool(text.strip()) for text in texts], bool)
    wrong = np.flatnonzero(filled != kept)
    if len(wrong):
        at = int(wrong[0])
        raise UserError(
            f"{path}, line {at + 1}: "
            + (
                f"nothing for the key {short(rows.keys[at])}; write it"
                if kept[at]
                else f"{short(texts[at])} for a blank line of {tree.name}; decide whether it is "
                f"a node"
            )
        )
    return lines, texts


def _check_labels(
    path: Path, tree: Path, labels: Sequence[str], rows: Rows, kept: NDArray[np.bool_]
) -> None:
    for at in np.flatnonzero(kept).tolist():
        if labels[at].strip() != rows.keys[at]:
            raise UserError(
                f"{path}, line {at + 1}: {short(labels[at])} where {tree.name} has "
                f"{short(rows.keys[at])}; decide which is right, names may be another's too"
            )


def _in_order(parent: Indices, nodes: Indices) -> Indices:
    """The nodes, groups of siblings together and after their parent, the earliest first."""
    by_parent = nodes[np.argsort(parent[nodes], kind="stable")]
    starts = group_starts(parent[by_parent]).tolist()
    groups = {
        int(parent[by_parent[start]]): by_parent[start:end].tolist()
        for start, end in zip(starts, [*starts[1:], len(by_parent)], strict=True)
    }
    ready = [(groups[-1][0], -1)]
    result: list[int] = []
    while ready:
        _, above = heapq.heappop(ready)
        siblings = groups[above]
        result += siblings
        for node in siblings:
            if node in groups:
                heapq.heappush(ready, (groups[node][0], node))
    return np.array(result, np.int64)


def _plain(lines: Lines, path: Path) -> list[str]:
    return [
        f"{path.name}: {plural(len(lines.faults[fault]), one, many)} {done}"
        for fault, (one, many, done) in _HARMLESS.items()
        if lines.faults.get(fault)
    ]


def _moved(order: Indices) -> list[str]:
    """How many nodes stand elsewhere, the longest run that kept its order left out."""
    moved = int((order != np.arange(len(order))).sum())
    if not moved:
        return []
    return [
        f"{plural(moved, 'node')} of {len(order):,} renumbered, so that parents come before their "
        f"children and siblings stand side by side; names and labels go with them, and maps must"
    ]
