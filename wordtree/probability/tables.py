"""A tree's groups, paths and levels as tensors, built once.

Dimension letters of this room: N nodes, G groups, R rows, C columns (nodes whose logits are
given), T terminals, K nodes of one level.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from wordtree.tree import WordTree


@dataclass(frozen=True)
class Level:
    """The nodes of one depth, in the tree's order, so that siblings stay side by side.

    nodes: int64 (K,). segment: int64 (K,), the number of the node's group within this level,
    counted from 0. lengths: int64, the size of each group of this level. parents: int64, for each
    group the place of its parent within the level above; empty at the top.
    largest: the size of the largest group here.
    """

    nodes: Tensor
    segment: Tensor
    lengths: Tensor
    parents: Tensor
    largest: int

    def to(self, device: torch.device | str) -> Level:
        """The same level on another device."""
        return Level(
            self.nodes.to(device),
            self.segment.to(device),
            self.lengths.to(device),
            self.parents.to(device),
            self.largest,
        )


@dataclass(frozen=True)
class TreeTables:
    """What turning logits into probabilities needs to know of a WordTree.

    parent, depth, group, child_group: int64 (N,), and labelled: bool (N,), as in WordTree.
    group_start, group_size, group_parent: int64 (G,), as in WordTree.
    path_nodes, path_offsets: all paths, top first, one after another: the path of node n is
    path_nodes[path_offsets[n] : path_offsets[n + 1]].
    levels: one Level a depth, the top nodes first.
    order: int64 (N,), the place of each node where the levels stand one after another.
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
    path_nodes: Tensor
    path_offsets: Tensor
    levels: tuple[Level, ...]
    order: Tensor
    terminals: Tensor
    subtree_start: Tensor
    subtree_stop: Tensor

    @classmethod
    def from_tree(cls, tree: WordTree) -> TreeTables:
        """Build the tables of a tree, on the CPU. Linear in the summed length of all paths."""
        path_nodes, path_offsets = tree.paths(np.arange(len(tree)))
        nodes_by_level = _nodes_by_level(tree)
        start, stop = _subtree_slices(tree, nodes_by_level)
        terminals = np.flatnonzero((tree.child_group < 0) | tree.labelled)
        by_level = np.concatenate(nodes_by_level)
        return cls(
            parent=_tensor(tree.parent),
            depth=_tensor(tree.depth),
            labelled=torch.from_numpy(np.array(tree.labelled, dtype=bool)),
            group=_tensor(tree.group),
            child_group=_tensor(tree.child_group),
            group_start=_tensor(tree.group_start),
            group_size=_tensor(tree.group_size),
            group_parent=_tensor(tree.group_parent),
            path_nodes=_tensor(path_nodes),
            path_offsets=_tensor(path_offsets),
            levels=_levels(tree, nodes_by_level),
            order=_tensor(np.argsort(by_level, kind="stable")),
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
            if name == "levels":
                moved[name] = tuple(level.to(device) for level in value)
            else:
                moved[name] = value.to(device)
        return TreeTables(**moved)


def _tensor(array: np.ndarray) -> Tensor:
    # A copy: torch warns about arrays that may not be written to, and a tree's are such.
    return torch.from_numpy(np.array(array, dtype=np.int64))


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
        above = tree.group_parent[groups]
        lengths = tree.group_size[groups]
        levels.append(
            Level(
                nodes=_tensor(nodes),
                segment=_tensor(segment),
                lengths=_tensor(lengths),
                parents=_tensor(place[above] if depth else above[:0]),
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
