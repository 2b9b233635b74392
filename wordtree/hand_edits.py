"""Corrections of a graph by hand: labels that belong elsewhere than the graph says."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wordtree.errors import UserError
from wordtree.graph import LabelGraph

COLUMNS = ("child", "old_parent", "new_parent", "reason")
_PACKAGED = Path(__file__).with_name("edits")


@dataclass(frozen=True)
class Edit:
    """`child` moves from `old_parent` to `new_parent`; all three are keys or synset names."""

    child: str
    old_parent: str
    new_parent: str
    reason: str = ""
    where: str = "an edit"


def read_edits(path: str | Path) -> list[Edit]:
    """Reads a CSV with the columns child, old_parent, new_parent, reason.

    A name without a folder that is no file is looked up in the package (`darknet9k`).
    """
    file = Path(path)
    if not file.exists() and (_PACKAGED / f"{path}.csv").exists():
        file = _PACKAGED / f"{path}.csv"
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the edits {file} cannot be read ({error}); give a CSV file") from None
    if not rows or tuple(cell.strip() for cell in rows[0]) != COLUMNS:
        raise UserError(f"{file}, line 1: an edits file begins with the line {','.join(COLUMNS)}")
    edits = []
    for line, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if len(row) != len(COLUMNS) or not all(cell.strip() for cell in row[:3]):
            raise UserError(
                f"{file}, line {line}: an edit has child, old_parent, new_parent and a reason, "
                f"but found {','.join(row)!r}"
            )
        child, old, new, reason = (cell.strip() for cell in row)
        edits.append(Edit(child, old, new, reason, where=f"{file}, line {line}"))
    return edits


def edited_parents(graph: LabelGraph, edits: Iterable[Edit]) -> dict[int, tuple[int, ...]]:
    """child -> its parents after the edits, all as indices of the graph.

    Raises UserError where a label is unknown, the old parent is none of the child's parents, or
    the edits would lead in a circle.
    """
    changed: dict[int, tuple[int, ...]] = {}
    for edit in edits:
        try:
            child, old, new = map(graph.find, (edit.child, edit.old_parent, edit.new_parent))
        except UserError as error:
            raise UserError(f"{edit.where}: {error}") from None
        parents = changed.get(child, graph.parents[child])
        if old not in parents:
            now = ", ".join(graph.sort_names[parent] for parent in parents) or "none"
            raise UserError(
                f"{edit.where}: {edit.old_parent} is no parent of {edit.child} (its parents: "
                f"{now}); correct the old parent"
            )
        changed[child] = tuple(
            dict.fromkeys(new if parent == old else parent for parent in parents)
        )
        if _is_above(graph, changed, child, new):
            raise UserError(
                f"{edit.where}: {edit.new_parent} stands below {edit.child}, so the edit would "
                f"lead in a circle; choose another new parent"
            )
    return changed


def _is_above(
    graph: LabelGraph, changed: dict[int, tuple[int, ...]], upper: int, lower: int
) -> bool:
    seen = {lower}
    stack = [lower]
    while stack:
        node = stack.pop()
        if node == upper:
            return True
        new = [above for above in changed.get(node, graph.parents[node]) if above not in seen]
        seen.update(new)
        stack.extend(new)
    return False
