"""What is wrong with the order of a tree's lines and with its parents' numbers.

Each problem says what darknet does with it, which itself says nothing: it writes outside its
arrays, loops for ever, or trains a softmax that is cut in two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wordtree.inspection.problem import Kind, Problem, listed
from wordtree.inspection.rows import Rows
from wordtree.laws import find_fault, group_starts

Label = Callable[[int], str]
REORDER = "`wordtree-export --tree X.tree --repair --out DIR` puts the lines in order"
RENUMBER = (
    "correct the number; where lines were removed by hand, start from the whole files and let "
    "`wordtree-export --tree X.tree --prune FILE` remove them, which renumbers the rest"
)


def order_problems(rows: Rows, label: Label) -> list[Problem]:
    """Parents out of range, late or in a circle, a first line that is no root, siblings apart.

    label: a node's name and key, for people.
    """
    parent, known = rows.parent, rows.known
    count = len(parent)
    position = np.arange(count)
    outside = known & ((parent >= count) | (parent < -1))
    inside = known & ~outside
    nameless = inside & (parent >= 0) & ~known[np.where(inside, parent, -1)]
    late = inside & (parent >= position)
    turning = circles(rows)
    for circle in turning:
        late[circle] = False
    found = [
        *_first_line(rows, label),
        *listed(
            Kind("error", RENUMBER, "parents that are out of range"),
            np.flatnonzero(outside).tolist(),
            lambda at: _outside(at, int(parent[at]), count, label),
        ),
        *listed(
            Kind("error", "give the parent a key, or correct the number", "such lines"),
            np.flatnonzero(nameless).tolist(),
            lambda at: (
                f"the parent of {label(at)} is number {parent[at]} (line {parent[at] + 1}), which "
                f"is not a node itself"
            ),
        ),
        *listed(
            Kind("error", REORDER, "parents that come after a child of theirs"),
            np.flatnonzero(late).tolist(),
            lambda at: (
                f"the parent of {label(at)} is number {parent[at]} (line {parent[at] + 1}), which "
                f"comes after it: darknet writes outside its arrays while it reads (a crash, or "
                f"silently wrong), and multiplies probabilities in the wrong order"
            ),
        ),
        *_in_circles(turning, label),
        *_split(rows, inside, label),
    ]
    return [*found, *_numbered_from_one(rows)] if found else []


def _first_line(rows: Rows, label: Label) -> list[Problem]:
    if not len(rows) or not rows.known[0] or rows.parent[0] == -1:
        return []
    text = (
        f"the first node {label(0)} is not at the top (its parent is {rows.parent[0]}, not -1): "
        f"darknet takes the first group for the top nodes, finds it empty, and answers node 0 for "
        f"every object"
    )
    return [Problem(1, text, "error", f"begin the file with the top nodes, -1; {REORDER}")]


def _outside(at: int, found: int, count: int, label: Label) -> str:
    if found < -1:
        return (
            f"the parent of {label(at)} is {found}; only -1 means a top node, and darknet puts any "
            f"other negative number into a group of its own that is never reached"
        )
    return (
        f"the parent of {label(at)} is number {found}, but the {count:,} lines are numbered from 0 "
        f"to {count - 1}: darknet writes outside its arrays (a crash, or silently wrong)"
    )


def circles(rows: Rows) -> list[list[int]]:
    """Every circle of parents, from one of its nodes upwards, each node of it once."""
    count = len(rows)
    inside = rows.known & (rows.parent >= 0) & (rows.parent < count)
    if not (inside & (rows.parent >= np.arange(count))).any():
        return []
    above = np.where(inside, rows.parent, -1).tolist()
    walk = [-1] * count  # the start of the walk that saw a node
    found = []
    for start in range(count):
        at = start
        while at >= 0 and walk[at] < 0:
            walk[at] = start
            at = above[at]
        if at >= 0 and walk[at] == start:
            circle = [at]
            while (up := above[circle[-1]]) != at:
                circle.append(up)
            found.append(circle)
    return found


def _in_circles(turning: list[list[int]], label: Label) -> list[Problem]:
    by_first = {min(circle): circle for circle in turning}

    def describe(at: int) -> str:
        circle = by_first[at]
        loop = "every walk from there to the top is an endless loop in darknet"
        if len(circle) == 1:
            return f"{label(at)} is its own parent: {loop}"
        start = circle.index(at)
        turned = [*circle[start:], *circle[:start]]
        shown = " > ".join(label(node) for node in reversed(turned[:6]))
        dots = "... > " if len(circle) > 6 else ""
        return (
            f"{len(circle):,} nodes are each other's ancestors ({label(at)} > {dots}{shown}; lines "
            f"{', '.join(str(node + 1) for node in sorted(circle)[:6])}): {loop}"
        )

    kind = Kind("error", "decide which of them stands on top and correct its number", "circles")
    return listed(kind, sorted(by_first), describe)


def _split(rows: Rows, inside: np.ndarray, label: Label) -> list[Problem]:
    """Parents whose children stand in several runs. Lines that are no rows part no run."""
    nodes = np.flatnonzero(inside)
    above = rows.parent[nodes]
    starts = group_starts(above)
    run_parent = above[starts]
    _, first, which = np.unique(run_parent, return_index=True, return_inverse=True)
    again = np.ones(len(starts), bool)
    again[first] = False
    begins = nodes[starts]
    first_begin = begins[first][which]
    later = begins[again]
    of_first = dict(zip(later.tolist(), first_begin[again].tolist(), strict=True))
    at_top = rows.parent[later] < 0

    def siblings(at: int) -> str:
        up = label(int(rows.parent[at]))
        return (
            f"children of {up} begin here again, apart from those that begin in line "
            f"{of_first[at] + 1}: darknet makes two softmaxes of them, and {up} leads to the last "
            f"alone, so the others can never be predicted"
        )

    def tops(at: int) -> str:
        return (
            f"top nodes begin here again, apart from those that begin in line {of_first[at] + 1}: "
            f"darknet starts from the first run alone, so {label(at)} and all below it can never "
            f"be predicted"
        )

    return [
        *listed(
            Kind("error", f"put siblings side by side; {REORDER}", "places where siblings part"),
            later[~at_top].tolist(),
            siblings,
        ),
        *listed(
            Kind("error", f"put the top nodes first; {REORDER}", "places where top nodes part"),
            later[at_top].tolist(),
            tops,
        ),
    ]


def _numbered_from_one(rows: Rows) -> list[Problem]:
    """Says so where the parents make a tree as soon as they are lowered by one."""
    if not rows.known.all():
        return []
    readings = (
        (rows.parent - 1, "1, with 0 for the top"),
        (np.where(rows.parent > 0, rows.parent - 1, rows.parent), "1, with -1 for the top"),
    )
    for parent, words in readings:
        # Counted from 1, nothing has the parent 0 but top nodes.
        right = parent.min() == -1 and not (parent[rows.parent == 0] == 0).any()
        if right and find_fault(rows.keys, parent) is None:
            text = f"the parents' numbers make a whole tree if they were counted from {words}"
            remedy = "count lines from 0: lower every such number by 1, and write -1 at the top"
            return [Problem(None, text, "note", remedy)]
    return []
