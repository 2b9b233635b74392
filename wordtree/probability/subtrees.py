"""The flat classifier's arithmetic: one softmax over terminals, sums over subtrees."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from wordtree.probability.paths import ragged
from wordtree.probability.softmax import segment_max, segment_sum
from wordtree.probability.tables import TreeTables

_LOWEST = torch.finfo(torch.float32).min


def subtree_loss(logits: Tensor, start: Tensor, stop: Tensor) -> Tensor:
    """-log of the share of the softmax that falls on columns start..stop (stop excluded), a row.

    logits: (M, T) of any floating type; start, stop: int64 (M,), start < stop. Returns float32
    (M,), never negative, and exactly 0 where the columns are all there are.
    """
    loss: Tensor = _SubtreeLoss.apply(logits, start, stop)
    return loss


class _SubtreeLoss(torch.autograd.Function):
    """With S the sums of exponentials inside and outside, the loss is log(1 + S_out / S_in).

    That is a softplus of the difference of two log-sum-exps, exact for small losses too. Its
    gradient is the softmax among those outside less the softmax among those inside, times the
    share outside. Most subtrees are small, so the inside is one ragged vector, and the outside is
    the whole with holes of -inf: twice to four times as fast as masks of the full size.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, start: Tensor, stop: Tensor) -> Tensor:
        lengths = stop - start
        row, within = ragged(lengths)
        index = row * logits.shape[1] + start[row] + within
        outside = logits.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        inside = outside.view(-1)[index]
        outside.view(-1)[index] = -torch.inf

        max_in, max_out = segment_max(inside, lengths), outside.amax(1)
        exp_in = (inside - max_in[row]).exp()
        sum_in = torch.segment_reduce(exp_in, "sum", lengths=lengths, unsafe=True)
        # Where nothing is outside its maximum is -inf, of which -inf may not be taken.
        exp_out = outside.sub_(max_out.clamp(min=_LOWEST)[:, None]).exp_()
        sum_out = exp_out.sum(1)
        # There the log of 0 makes the difference -inf, so that the loss is 0 and the slopes too.
        difference = (max_out - max_in) + (sum_out.log() - sum_in.log())
        share_out = difference.sigmoid()
        slope_out = share_out / sum_out.clamp(min=1)
        slope_in = exp_in * (-share_out / sum_in)[row]
        ctx.save_for_backward(exp_out, slope_out, index, slope_in, row)
        ctx.dtype = logits.dtype
        return F.softplus(difference)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        exp_out, slope_out, index, slope_in, row = ctx.saved_tensors
        out = exp_out * (grad * slope_out)[:, None]
        out.view(-1)[index] = slope_in * grad[row]
        return out.to(ctx.dtype), None, None


def subtree_log_probability(logits: Tensor, tables: TreeTables) -> Tensor:
    """Log of the share of the softmax over all terminals that falls on each node's subtree.

    logits: (R, N) of any floating type, in the tree's order. Returns float32 (R, N), a transposed
    view: one node's rows lie side by side.
    """
    terminal = torch.zeros_like(tables.labelled)
    terminal[tables.terminals] = True
    by_node = logits.float().T
    own = by_node.masked_fill(~terminal[:, None], -torch.inf).log_softmax(0)

    below = own.index_select(0, tables.levels[-1].nodes)
    levels = [below]
    for level, under in zip(reversed(tables.levels[:-1]), reversed(tables.levels[1:]), strict=True):
        peak = segment_max(below, under.lengths)
        spread = (below - peak.index_select(0, under.segment)).exp()
        children = peak + segment_sum(spread, under.segment, len(under.lengths)).log()
        here = own.index_select(0, level.nodes)
        # An inner node that is no terminal has -inf of its own, which adds nothing.
        total = torch.logaddexp(here.index_select(0, under.parents), children)
        below = here.index_copy(0, under.parents, total)
        levels.append(below)
    return torch.cat(levels[::-1]).index_select(0, tables.place_by_level).T
