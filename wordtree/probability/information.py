"""How much a label says, in bits, and how much of it one may expect to be true.

Deng, Krause, Berg and Fei-Fei, Hedging Your Bets, CVPR 2012: a label is worth log2 of the number
of classes less log2 of the number still possible below it, where it is right, and nothing where
it is wrong. Classes are here the terminals: leaves and labelled inner nodes.
"""

from __future__ import annotations

from torch import Tensor

from wordtree.probability.tables import TreeTables


def information(tables: TreeTables) -> Tensor:
    """-log2 of the share of all terminals that stand in each node's subtree: bits, float32 (N,).

    0 for a node above all others, log2 of the number of terminals for a leaf; never less than the
    parent's.
    """
    below = (tables.subtree_stop - tables.subtree_start).float()
    return (len(tables.terminals) / below).log2()


def expected_information(log_p: Tensor, tables: TreeTables, *, bonus: float = 0.0) -> Tensor:
    """P(node | object) x (information + bonus): what naming each node is worth, float32 (R, N).

    log_p: (R, N), log P(node | object) of all nodes in the tree's order. bonus: bits that any
    right label is worth besides what it says (lambda of the paper), not negative; the greater it
    is, the surer and the more general the best node.
    """
    return log_p.float().exp() * (information(tables) + bonus)
