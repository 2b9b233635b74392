"""What is wrong with a tree file, all of it, in words: what would crash, and what would mislearn.

`WordTree.load` stops at the first fault; lint reads on. The two agree: where `read_darknet`
refuses a file, lint has an error (a test holds them together).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wordtree.errors import UserError
from wordtree.inspection.beside import labels_problems, map_problems, names_problems
from wordtree.inspection.lines import cut_line, damaged_lines, harmless_lines, row_problems
from wordtree.inspection.nodes import group_problems, key_problems, name_problems
from wordtree.inspection.order import circles, order_problems
from wordtree.inspection.problem import Problem
from wordtree.inspection.rows import Lines, is_utf16, read_lines, read_rows
from wordtree.tree import WordTree
from wordtree.wording import short

__all__ = ["Problem", "lint"]

_SEVERITIES = ("error", "warning", "note")


def lint(
    path: str | Path,
    *,
    maps: Sequence[str | Path] = (),
    categories: Sequence[str | Path] = (),
) -> list[Problem]:
    """All problems of a tree file, errors first; a darknet tree's with its names and labels.

    maps: darknet `.map` files of data sets. categories: the data sets' `.names`, one a map in the
    same order; else `X.names` beside `X.map` is taken where it stands there.
    An ending that is no format's is read as a darknet tree.
    Raises UserError for a file that cannot be read, never for one that is wrong.
    """
    from wordtree.formats import FORMATS

    file = Path(path)
    if categories and len(categories) != len(maps):
        raise UserError(
            f"{len(maps)} maps, but {len(categories)} lists of categories; give one for each map, "
            f"in the same order"
        )
    ending = file.suffix.lower()
    darknet = ending == ".tree" or ending not in FORMATS
    checked = _check_darknet(file, bool(maps)) if darknet else _check_loaded(file)
    problems = checked.problems
    own_names = None if categories else file.with_suffix(".names")
    names = categories or [Path(found).with_suffix(".names") for found in maps]
    for found, listed in zip(map(Path, maps), map(Path, names), strict=True):
        known = listed if categories or (listed.is_file() and listed != own_names) else None
        problems += map_problems(
            read_lines(found),
            read_lines(known) if known else None,
            checked.nodes,
            checked.tree,
            checked.label,
            found.name,
        )
    return sorted(problems, key=lambda problem: _SEVERITIES.index(problem.severity))


class _Checked(NamedTuple):
    """The tree file itself: its number of nodes; `tree` is None if it has errors or no map asks."""

    problems: list[Problem]
    nodes: int
    tree: WordTree | None
    label: Callable[[int], str]


def _check_darknet(path: Path, asked: bool) -> _Checked:
    rows = read_rows(path)
    if is_utf16(path):
        text = "the file is UTF-16 (what Windows programs call Unicode), which darknet cannot read"
        problem = Problem(1, text, "error", "save it as UTF-8")
        return _Checked([problem], 0, None, str)
    if not len(rows):
        problem = Problem(
            1, "nothing but blank lines: the file is empty", "error", "take a whole copy of it"
        )
        return _Checked([problem], 0, None, str)
    names, unreadable = _beside(path.with_suffix(".names"))
    labels, also = _beside(path.with_suffix(".labels"))
    aligned = names is not None and len(names) == len(rows)
    label = _labelling(rows.keys, names.texts if names is not None and aligned else rows.keys)
    problems = [
        *damaged_lines(rows),
        *row_problems(rows),
        *cut_line(rows),
        *order_problems(rows, label),
        *key_problems(rows.keys),
        *unreadable,
        *also,
    ]
    whole = not any(problem.severity == "error" for problem in problems)
    if labels is not None:
        file = path.with_suffix(".labels").name
        problems += labels_problems(labels, rows, file, path.name)
    if names is not None:
        problems += names_problems(names, rows, path.with_suffix(".names").name, path.name)
    placed = np.where(rows.known, rows.parent, -2)
    placed[[at for circle in circles(rows) for at in circle]] = -2
    problems += group_problems(placed, label)
    problems += harmless_lines(rows, "tree")
    tree = WordTree(rows.keys, rows.parent) if asked and whole else None
    return _Checked(problems, len(rows), tree, label)


def _beside(path: Path) -> tuple[Lines | None, list[Problem]]:
    """The lines of a file beside the tree, None where it is not there or cannot be read."""
    if not path.exists():
        return None, []
    try:
        return read_lines(path), []
    except UserError as error:
        return None, [Problem(None, str(error), "error", "give a file that can be read")]


def _check_loaded(path: Path) -> _Checked:
    """A file of another format: the first thing that its reader refuses, or its tree's problems."""
    is_utf16(path)  # UserError here is for a file that cannot be read, below for one that is wrong
    try:
        tree = WordTree.load(path)
    except UserError as error:
        found = re.match(
            r"(?:, line (\d+))?:? ?(.*)", str(error).removeprefix(str(path)), re.DOTALL
        )
        line, text = found.groups() if found else (None, str(error))
        remedy = "correct it by hand, or write the file anew with wordtree-export"
        problem = Problem(int(line) if line else None, text, "error", remedy)
        return _Checked([problem], 0, None, str)
    if not len(tree):
        problem = Problem(None, "the tree has no nodes", "warning", "give it some")
        return _Checked([problem], 0, tree, str)
    label = _labelling(tree.keys, tree.names)
    problems = [*name_problems(tree.names, tree.keys), *group_problems(tree.parent, label)]
    # Nodes are no lines here: a line break may stand anywhere.
    problems = [replace(problem, line=None) for problem in problems]
    return _Checked(problems, len(tree), tree, label)


def _labelling(keys: Sequence[str], names: Sequence[str]) -> Callable[[int], str]:
    def label(at: int) -> str:
        key, name = keys[at] if keys[at] else f"line {at + 1}", names[at].strip()
        shown = short(key)
        return shown if name in ("", key) else f"{short(name)} ({shown[1:-1]})"

    return label
