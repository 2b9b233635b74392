"""From probabilities to a node: as deep as the evidence carries, and no deeper."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wordtree.errors import UserError
from wordtree.probability.information import expected_information
from wordtree.probability.tables import TreeTables
from wordtree.tree import WordTree

# Rounding of float32 log-probabilities of a path, as a share of the probability. A product that
# equals the threshold must not pass because its logarithms were rounded upwards.
ROUNDING = 1e-6

RULES = ("path", "darknet")


def back_off(
    log_p: Tensor, tree: WordTree | TreeTables, threshold: float, *, rule: str = "path"
) -> tuple[Tensor, Tensor]:
    """Greedy descent from the best top node, while the best child is sure enough.

    log_p: (R, N), log P(node | object) of all nodes in the tree's order. threshold: within 0 and
    1; a probability goes on where it is strictly greater (by more than 1e-6 of itself, which is
    float32's rounding). Where no top node passes, the best top node is returned; ties go to the
    lower index. A group of one node is always certain under its parent (by sibling softmax), so
    that naming it says nothing more: the descent goes through it, and stops there only at a
    labelled node.

    rule: `path` compares P(node), the product of conditionals, once; `darknet` compares what
    darknet did, the product of P over the path (conditionals multiplied twice: facts e6), and
    knows nothing of labelled nodes. It is there for comparison.

    Returns (node int64 (R,), log P(node | object) float32 (R,)), the latter for both rules.
    """
    if rule not in RULES:
        raise UserError(f"back-off rule={rule} is not known; choose one of {', '.join(RULES)}")
    if not 0 <= threshold <= 1:
        raise UserError(f"the back-off threshold is {threshold}; give one from 0 to 1")
    tables = _tables(tree, log_p)
    log_p = log_p.float()
    bar = (math.log(threshold) if threshold else -math.inf) + ROUNDING

    rows = torch.arange(len(log_p), device=log_p.device)
    group = torch.zeros_like(rows)
    going_on = torch.ones_like(rows, dtype=torch.bool)
    tested = log_p.new_zeros(len(log_p))
    answer = torch.zeros_like(rows)
    for depth, level in enumerate(tables.levels):
        best, log_best = _best_of_group(log_p, group, level.largest, tables)
        tested = tested + log_best if rule == "darknet" else log_best
        going_on = going_on & (tested > bar)
        says_something = (tables.group_size[group] > 1) | tables.labelled[best]
        accepted = going_on if rule == "darknet" else going_on & says_something
        answer = best if depth == 0 else torch.where(accepted, best, answer)
        below = tables.child_group[best]
        going_on = going_on & (below >= 0)
        # Rows that have ended keep a valid group, so that no step needs a copy of the others.
        group = torch.where(going_on, below, 0)
    return answer, log_p[rows, answer]


def most_informative(
    log_p: Tensor, tree: WordTree | TreeTables, *, bonus: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The node of the greatest `expected_information`: depth against certainty, no threshold.

    log_p: (R, N), as above; bonus: see `expected_information`. As the bonus rises, the node gets
    surer and says less; Deng et al. choose it so that a wanted share of answers is right. Not
    greedy: all nodes are compared, so it may end below a child that is not the best of its group.
    Ties go to the lower index.

    Returns (node int64 (R,), log P(node | object) float32 (R,)).
    """
    if not 0 <= bonus < math.inf:
        raise UserError(f"the bonus is {bonus} bits; give a number that is not negative")
    node = expected_information(log_p, _tables(tree, log_p), bonus=bonus).argmax(1)
    return node, log_p.float().gather(1, node[:, None]).squeeze(1)


def _tables(tree: WordTree | TreeTables, log_p: Tensor) -> TreeTables:
    return tree if isinstance(tree, TreeTables) else TreeTables.from_tree(tree).to(log_p.device)


def _best_of_group(
    log_p: Tensor, group: Tensor, largest: int, tables: TreeTables
) -> tuple[Tensor, Tensor]:
    """The likeliest node of one group a row, the lowest index among equals: (R,), (R,)."""
    start, size = tables.group_start[group, None], tables.group_size[group, None]
    within = torch.arange(largest, device=log_p.device)
    nodes = start + torch.minimum(within, size - 1)
    value, place = log_p.gather(1, nodes).max(1)
    return nodes.gather(1, place[:, None]).squeeze(1), value
