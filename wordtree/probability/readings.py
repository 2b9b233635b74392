"""What is read off log P(node | object) of all nodes: leaves, terminals, nodes by name."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from wordtree.probability.softmax import segment_sum
from wordtree.probability.tables import TreeTables
from wordtree.tree import WordTree


def node_probability(log_p: Tensor, tree: WordTree, keys: str | Iterable[str]) -> Tensor:
    """P(node | object) of nodes by key, or by name where only one node has it.

    log_p: (R, N), log P(node | object) of all nodes in the tree's order. Returns float32 (R, K),
    in the order of the keys; (R,) for a single one. UserError where a key is not in the tree.
    """
    nodes = torch.as_tensor(tree.index(keys), device=log_p.device)
    return log_p[:, nodes].float().exp()


def leaf_probability(log_p: Tensor, tables: TreeTables, nodes: Tensor | None = None) -> Tensor:
    """P(node | object) at the leaves and exactly 0 elsewhere: darknet's `only_leaves`.

    log_p: (R, N), as above. nodes: int64 (K,), taken for the leaves instead, inner nodes too
    (darknet's `change_leaves`: what evaluates a tree of 9,418 nodes on 1,000 classes).
    Returns float32 (R, N). By sibling softmax the leaves sum to 1; by the flat classifier to 1
    less what it gives to labelled inner nodes themselves (`terminal_probability`).
    """
    if nodes is None:
        others = tables.child_group >= 0
    else:
        others = torch.ones_like(tables.labelled)
        others[nodes] = False
    return log_p.float().exp().masked_fill(others, 0.0)


def terminal_probability(log_p: Tensor, tables: TreeTables) -> Tensor:
    """The distribution over terminals: leaves, and "this, and nothing below" of labelled nodes.

    log_p: (R, N), as above. Returns float32 (R, T), in the order of `tables.terminals`, never
    negative; sums to 1. A labelled inner node has what its children leave of its probability:
    nothing by sibling softmax, its own terminal's share by the flat classifier.
    """
    p = log_p.float().exp().T
    children = segment_sum(p, tables.group, len(tables.group_size))
    own = p.index_add(0, tables.group_parent[1:], children[1:], alpha=-1)
    return own.index_select(0, tables.terminals).clamp(min=0).T
