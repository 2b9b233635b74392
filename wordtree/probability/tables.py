"""A tree's groups, paths and levels as tensors, built once.

Dimension letters of this room: N nodes, G groups, R rows, C columns (nodes whose logits are
given), T terminals, K nodes of one level.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from wordtree.errors import UserError
from wordtree.tree import WordTree


@dataclass(frozen=True)
class Level:
    """The nodes of one depth, in the tree's order, so that siblings stay side by side.

    nodes: int64 (K,). segment: int64 (K,), the number of the node's group within this level,
    counted from 0. lengths: int64, the size of each group of this level. parents: int64, for each
    group the place of its parent within the level above, and above: int64 (K,), the same for each
    node; both empty at the top. largest: the size of the largest group here.
    """

    nodes: Tensor
    segment: Tensor
    lengths: Tensor
    parents: Tensor
    above: Tensor
    largest: int

    def to(self, device: torch.device | str) -> Level:
        """The same level on another device."""
        return Level(
            self.nodes.to(device),
            self.segment.to(device),
            self.lengths.to(device),
            self.parents.to(device),
            self.above.to(device),
            self.largest,
        )


@dataclass(frozen=True)
class TreeTables:
    """What turning logits into probabilities needs to know of a WordTree.

    parent, depth, group, child_group: int64 (N,), and labelled: bool (N,), as in WordTree.
    group_start, group_size, group_parent: int64 (G,), as in WordTree.
    ancestors: one int64 (N,) a binary digit of the greatest depth: the node 1, 2, 4, ... steps
    above each node; it says nothing where there is none.
    levels: one Level a depth, the top nodes first.
    by_level: int64 (N,), the nodes of all levels, one level after another; place_by_level: int64
    (N,), the place of each node in it.
    by_size: int64 (N,), groups of one size together and, among them, first members first: so the
    nodes of a size class are a slice of shape (size, groups), each of whose columns is a group;
    place_by_size: int64 (N,), the place of each node in it. size_classes: (size, groups) of each.
    terminals: int64 (T,), leaves and labelled inner nodes, depth first, a node's own terminal
    before those below it; so the terminals in the subtree of node n are
    terminals[subtree_start[n] : subtree_stop[n]], never empty.
    """

    parent: Tensor
    depth: Tensor
    labelled: Tensor
    group: Tensor
    child_group: Tensor
    group_start: Tensor
    group_size: Tensor
    group_parent: Tensor
    ancestors: tuple[Tensor, ...]
    levels: tuple[Level, ...]
    by_level: Tensor
    place_by_level: Tensor
    by_size: Tensor
    place_by_size: Tensor
    size_classes: tuple[tuple[int, int], ...]
    terminals: Tensor
    subtree_start: Tensor
    subtree_stop: Tensor

    @classmethod
    def from_tree(cls, tree: WordTree) -> TreeTables:
        """Build the tables of a tree, on the CPU. Their size is linear in N, but for `ancestors`,
        which takes N times the logarithm of the depth.
        """
        if not len(tree):
            raise UserError("this tree has no nodes, so there is nothing to give a probability to")
        nodes_by_level = _nodes_by_level(tree)
        start, stop = _subtree_slices(tree, nodes_by_level)
        terminals = np.flatnonzero((tree.child_group < 0) | tree.labelled)
        by_level = np.concatenate(nodes_by_level)
        by_size, size_classes = _nodes_by_size(tree)
        return cls(
            parent=_tensor(tree.parent),
            depth=_tensor(tree.depth),
            labelled=torch.from_numpy(np.array(tree.labelled, dtype=bool)),
            group=_tensor(tree.group),
            child_group=_tensor(tree.child_group),
            group_start=_tensor(tree.group_start),
            group_size=_tensor(tree.group_size),
            group_parent=_tensor(tree.group_parent),
            ancestors=_ancestors(tree),
            levels=_levels(tree, nodes_by_level),
            by_level=_tensor(by_level),
            place_by_level=_tensor(np.argsort(by_level, kind="stable")),
            by_size=_tensor(by_size),
            place_by_size=_tensor(np.argsort(by_size, kind="stable")),
            size_classes=size_classes,
            terminals=_tensor(terminals[np.argsort(start[terminals])]),
            subtree_start=_tensor(start),
            subtree_stop=_tensor(stop),
        )

    def __len__(self) -> int:
        """The number of nodes."""
        return len(self.parent)

    def to(self, device: torch.device | str) -> TreeTables:
        """The same tables on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in moved.items():
            if isinstance(value, Tensor):
                moved[name] = value.to(device)
            elif name != "size_classes":
                moved[name] = tuple(part.to(device) for part in value)
        return TreeTables(**moved)


def _tensor(array: np.ndarray) -> Tensor:
    # A copy: torch warns about arrays that may not be written to, and a tree's are such.
    return torch.from_numpy(np.array(array, dtype=np.int64))


def _ancestors(tree: WordTree) -> tuple[Tensor, ...]:
    digits = int(tree.depth.max()).bit_length()
    # A step above the top stays at node 0, which keeps the index valid.
    tables = [np.maximum(tree.parent, 0)]
    while len(tables) < digits:
        tables.append(tables[-1][tables[-1]])
    return tuple(_tensor(table) for table in tables[:digits])


def _nodes_by_size(tree: WordTree) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
    sizes, group_count = np.unique(tree.group_size, return_counts=True)
    by_size = np.argsort(tree.group_size, kind="stable")
    starts = np.split(tree.group_start[by_size], np.cumsum(group_count)[:-1])
    slices = [
        (start[None, :] + np.arange(size)[:, None]).reshape(-1)
        for size, start in zip(sizes, starts, strict=True)
    ]
    classes = tuple(zip(sizes.tolist(), group_count.tolist(), strict=True))
    return np.concatenate(slices), classes


def _nodes_by_level(tree: WordTree) -> list[np.ndarray]:
    by_depth = np.argsort(tree.depth, kind="stable")
    return np.split(by_depth, np.cumsum(np.bincount(tree.depth))[:-1])


def _levels(tree: WordTree, nodes_by_level: list[np.ndarray]) -> tuple[Level, ...]:
    place = np.empty(len(tree), dtype=np.int64)
    for nodes in nodes_by_level:
        place[nodes] = np.arange(len(nodes))
    levels = []
    for depth, nodes in enumerate(nodes_by_level):
        groups, segment = np.unique(tree.group[nodes], return_inverse=True)
        parents = place[tree.group_parent[groups]] if depth else groups[:0]
        lengths = tree.group_size[groups]
        levels.append(
            Level(
                nodes=_tensor(nodes),
                segment=_tensor(segment),
                lengths=_tensor(lengths),
                parents=_tensor(parents),
                above=_tensor(parents[segment] if depth else parents),
                largest=int(lengths.max()),
            )
        )
    return tuple(levels)


def _subtree_slices(
    tree: WordTree, nodes_by_level: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    own = ((tree.child_group < 0) | tree.labelled).astype(np.int64)
    count = own.copy()
    for nodes in reversed(nodes_by_level[1:]):
        np.add.at(count, tree.parent[nodes], count[nodes])

    start = np.zeros(len(tree), dtype=np.int64)
    for depth, nodes in enumerate(nodes_by_level):
        before = np.cumsum(count[nodes]) - count[nodes]
        first_sibling = np.searchsorted(nodes, tree.group_start[tree.group[nodes]])
        start[nodes] = before - before[first_sibling]
        if depth:
            parent = tree.parent[nodes]
            start[nodes] += start[parent] + own[parent]
    return start, start + count
