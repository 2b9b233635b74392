"""Parts of a tree: a node with all below it, or the tree without some of its branches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wordtree.laws import Indices

if TYPE_CHECKING:
    from wordtree.tree import WordTree


def preorder(parent: Indices) -> tuple[Indices, Indices]:
    """Pre-order numbers: a node's subtree has the numbers enter <= number < leave."""
    above = parent.tolist()
    size = [1] * len(above)
    for at in range(len(above) - 1, -1, -1):
        if above[at] >= 0:
            size[above[at]] += size[at]
    free = [0] * (len(above) + 1)  # next free number below each node; the last: the top
    enter = [0] * len(above)
    for at, up in enumerate(above):
        enter[at] = free[up]
        free[up] += size[at]
        free[at] = enter[at] + 1
    begin = np.array(enter, np.int64)
    return begin, begin + np.array(size, np.int64)


def below_any(tree: WordTree, nodes: Indices) -> NDArray[np.bool_]:
    """bool (N,): which nodes are one of these or stand below one."""
    inside = np.zeros(len(tree), bool)
    inside[nodes] = True
    parent = tree.parent.tolist()
    flags = inside.tolist()
    for at, above in enumerate(parent):
        if above >= 0 and flags[above]:
            flags[at] = True
    return np.array(flags, bool)


def without_bare(tree: WordTree, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The kept nodes less those that only stood there because the tree branched below them.

    These are unlabelled nodes that had children, none of which is kept.
    """
    kept = kept.copy()
    inner = ~tree.labelled & ~tree.is_leaf
    children = np.bincount(tree.parent[kept & (tree.parent >= 0)], minlength=len(tree)).tolist()
    parent = tree.parent.tolist()
    for at in reversed(np.flatnonzero(kept & inner).tolist()):
        if not children[at]:
            kept[at] = False
            if parent[at] >= 0:
                children[parent[at]] -= 1
    return kept


def part(tree: WordTree, kept: NDArray[np.bool_]) -> WordTree:
    """The tree of the kept nodes, in their order.

    With a node either its parent is kept, or none of its siblings' parents: then it is a top node.
    """
    from wordtree.tree import WordTree

    inside = np.flatnonzero(kept)
    place = np.full(len(tree) + 1, -1, np.int64)
    place[inside] = np.arange(len(inside))
    return WordTree(
        [tree.keys[at] for at in inside],
        place[tree.parent[inside]],
        [tree.names[at] for at in inside],
        tree.labelled[inside],
    )
