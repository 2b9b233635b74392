"""What the readers share: columns become a tree, and a fault is told with its place in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from wordtree.errors import UserError
from wordtree.laws import find_fault
from wordtree.tree import WordTree

# Any case is read: spreadsheets write TRUE. Their translated words are refused.
FLAGS: Mapping[str, bool] = {"1": True, "true": True, "0": False, "false": False}


def make_tree(
    path: Path,
    keys: Sequence[str],
    parent: ArrayLike,
    names: Iterable[str] | None = None,
    labelled: ArrayLike | None = None,
    *,
    place: Callable[[int], str],
) -> WordTree:
    """The tree of these columns; UserError names the file and the place of the faulty node.

    place: where node i stands in the file, such as `line 7`.
    """
    try:
        return WordTree(keys, parent, names, labelled)
    except UserError as error:
        fault = find_fault(keys, np.asarray(parent, np.int64))
        if fault is None:
            raise UserError(f"{path}: {error}") from None
        raise UserError(f"{path}, {place(fault[0])}: {fault[1]}") from None


def breadth_first(parent: Sequence[int]) -> list[int]:
    """The nodes level by level, siblings in their order; nodes on a circle and below are left out.

    parent: for each node its parent in any order, -1 at the top.
    """
    children: dict[int, list[int]] = {}
    for node, above in enumerate(parent):
        children.setdefault(above, []).append(node)
    order = list(children.get(-1, ()))
    for node in order:
        order += children.get(node, ())
    return order


def reordered(parent: Sequence[int], order: Sequence[int]) -> list[int]:
    """The parents of the same nodes, all of them, after they were put in this order."""
    place = [0] * (len(order) + 1)
    place[-1] = -1
    for new, old in enumerate(order):
        place[old] = new
    return [place[parent[old]] for old in order]
