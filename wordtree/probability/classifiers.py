"""What turns logits into probabilities, by name.

Losses, weak rules, decision and evaluation know logits only through a Classifier; its name stands
in a checkpoint's `state.json`. One more classifier is one more class here and a line in
CLASSIFIERS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from wordtree.errors import UserError
from wordtree.probability.paths import path_entries, path_sums
from wordtree.probability.softmax import log_softmax_by_size, sibling_path_loss, to_size_order
from wordtree.probability.subtrees import subtree_log_probability, subtree_loss
from wordtree.probability.tables import TreeTables


@dataclass(frozen=True)
class Columns:
    """The logits that a loss needs.

    nodes: int64 (C,), the nodes, in the order in which their logits must be given.
    place: int64 (N,), the column of each of these nodes; it says nothing of other nodes.
    """

    nodes: Tensor
    place: Tensor


class Classifier(Protocol):
    """The three functions of a classifier, bound to one tree. No function of it is stateful."""

    name: str
    tables: TreeTables

    def columns(self, nodes: Tensor) -> Columns:
        """The logits that the loss of these labels (int64 (M,)) needs."""

    def loss(self, logits: Tensor, columns: Columns, nodes: Tensor) -> Tensor:
        """-log P(node | object) a row, float32 (M,).

        logits: (M, C) of any floating type, the columns in the order of `columns.nodes`;
        nodes: int64 (M,), among those that the columns were asked for.
        """

    def log_p(self, logits: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Log P(node | object), float32 (R, N); with `nodes`, int64 (K,), (R, K): theirs alone.

        logits: (R, N) of any floating type, all nodes in the tree's order.
        """


class Siblings:
    """The paper's: one logit a node, a softmax a group, the product of the path.

    The loss teaches the label's group and all groups above it; every other group's gradient is
    exactly 0.
    """

    name = "siblings"

    def __init__(self, tables: TreeTables) -> None:
        self.tables = tables

    def columns(self, nodes: Tensor) -> Columns:
        """The union of the groups on the paths, whole and in the tree's order."""
        _, path_node, _ = path_entries(nodes, self.tables)
        needed = torch.zeros_like(self.tables.group_size, dtype=torch.bool)
        needed[self.tables.group[path_node]] = True
        chosen = needed[self.tables.group]
        return Columns(nodes=chosen.nonzero().squeeze(1), place=chosen.cumsum(0) - 1)

    def loss(self, logits: Tensor, columns: Columns, nodes: Tensor) -> Tensor:
        """The cross-entropies of the groups on the path, summed."""
        return sibling_path_loss(logits, columns.place, nodes, self.tables)

    def log_p(self, logits: Tensor, nodes: Tensor | None = None) -> Tensor:
        """The sums of the paths' log-softmaxes."""
        by_size = to_size_order(logits.float().T.contiguous(), self.tables)
        # Summing up paths gathers nodes anyway, so that the way back to the tree's order is free.
        conditional = log_softmax_by_size(by_size, self.tables).T
        log_p = path_sums(conditional, self.tables, order="size")
        return log_p if nodes is None else _of_nodes(log_p, nodes)


class Flat:
    """One softmax over the terminals; a node's probability is the sum over its subtree's.

    Terminals are the leaves and the labelled inner nodes: such a node is one more leaf of its own
    subtree, "this, and nothing below". Logits of other inner nodes are never read. Equals a
    sibling softmax whose logits are the log-sum-exp over the subtrees' terminals, so paths and
    back-off have the same laws; but a labelled inner node's children sum to its probability less
    its own terminal's.
    """

    name = "flat"

    def __init__(self, tables: TreeTables) -> None:
        self.tables = tables
        place = torch.zeros_like(tables.parent)
        place[tables.terminals] = torch.arange(
            len(tables.terminals), device=tables.terminals.device
        )
        self._columns = Columns(nodes=tables.terminals, place=place)

    def columns(self, nodes: Tensor) -> Columns:  # noqa: ARG002 (the same for every label)
        """All terminals, depth first: their sum is what every probability is divided by."""
        return self._columns

    def loss(self, logits: Tensor, columns: Columns, nodes: Tensor) -> Tensor:  # noqa: ARG002
        """Log-sum-exp over all terminals less that over the terminals of the node's subtree."""
        start, stop = self.tables.subtree_start[nodes], self.tables.subtree_stop[nodes]
        return subtree_loss(logits, start, stop)

    def log_p(self, logits: Tensor, nodes: Tensor | None = None) -> Tensor:
        """The log-sum-exp over each subtree's terminals, of one log-softmax over all terminals."""
        log_p = subtree_log_probability(logits, self.tables)
        return log_p if nodes is None else _of_nodes(log_p, nodes)


def _of_nodes(log_p: Tensor, nodes: Tensor) -> Tensor:
    return log_p.T.index_select(0, nodes).T


CLASSIFIERS: dict[str, Callable[[TreeTables], Classifier]] = {
    Siblings.name: Siblings,
    Flat.name: Flat,
}


def make_classifier(name: str, tables: TreeTables) -> Classifier:
    """The classifier of this name (a key of CLASSIFIERS) for one tree, on the tables' device."""
    if name not in CLASSIFIERS:
        raise UserError(f"classifier={name} is not known; choose one of {', '.join(CLASSIFIERS)}")
    return CLASSIFIERS[name](tables)
