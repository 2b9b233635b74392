"""Paths of nodes as ragged vectors, and sums along the paths of all nodes at once."""

from __future__ import annotations

import torch
from torch import Tensor

from wordtree.probability.tables import TreeTables


def ragged(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Number the entries of rows of different lengths, row after row.

    lengths: int64 (M,). Returns for each of the sum(lengths) entries its row and its place
    within that row, both int64.
    """
    row = torch.repeat_interleave(lengths)
    start = lengths.cumsum(0) - lengths
    return row, torch.arange(len(row), device=lengths.device) - start[row]


def path_entries(nodes: Tensor, tables: TreeTables) -> tuple[Tensor, Tensor, Tensor]:
    """The paths of nodes (int64 (M,)), top first, one after another.

    Returns (row, path_node, lengths): for each entry the index into `nodes` whose path it is of
    and the node that stands there; and the length of each path. All int64.
    """
    first = tables.path_offsets[nodes]
    lengths = tables.path_offsets[nodes + 1] - first
    row, within = ragged(lengths)
    return row, tables.path_nodes[first[row] + within], lengths


def path_sums(values: Tensor, tables: TreeTables) -> Tensor:
    """Sum over each node's path, the node and its top node included.

    values: (R, N) in the tree's order, usually `sibling_log_softmax`. Returns float32 (R, N), a
    transposed view. Rounding grows with the depth: below 1.1e-5 for 9,418 nodes.
    """
    by_node = values.float().T
    # A node's rows lie side by side and a level takes its parents' sums in one go: seven times
    # faster for 845 rows than the same loop with a row's nodes side by side.
    sums = [by_node.index_select(0, tables.levels[0].nodes)]
    for level in tables.levels[1:]:
        above = sums[-1].index_select(0, level.parents[level.segment])
        sums.append(by_node.index_select(0, level.nodes) + above)
    return torch.cat(sums).index_select(0, tables.order).T
