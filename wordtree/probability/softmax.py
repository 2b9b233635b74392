"""The paper's classifier: one logit a node, a softmax over every group.

A group's maximum is its own. One maximum a row is faster and wrong: a group whose logits all lie
100 below the row's maximum would get probability 0 for every member.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wordtree.probability.paths import check_order, path_entries, ragged
from wordtree.probability.tables import TreeTables


def sibling_log_softmax(
    logits: Tensor, tables: TreeTables, nodes: Tensor | None = None, *, order: str = "tree"
) -> Tensor:
    """Log P(node | parent) for every node, or for the given ones.

    logits: (R, N); or (R, C) for `nodes`, int64 (C,): whole groups, in the tree's order (what
    `columns` of the classifier gives). Any floating type.
    order: how all nodes stand, in the logits and in what is returned: `tree`; or `size`
    (`tables.by_size`), which is faster, since groups of one size are then a slice. To have logits
    in that order for nothing, put the rows of the weights into it.
    Returns float32 of the same shape; exp of it sums to 1 within each group. It is a transposed
    view: one node's rows lie side by side, which is how `path_sums` and `back_off` are fast.
    """
    check_order(order)
    by_node = logits.float().T.contiguous()
    if nodes is not None:
        return _log_softmax_by_segment(by_node, tables, nodes).T
    if order == "size":
        return log_softmax_by_size(by_node, tables).T
    log_p = log_softmax_by_size(to_size_order(by_node, tables), tables)
    tree_order: Tensor = _Permute.apply(log_p, tables.place_by_size, tables.by_size)
    return tree_order.T


def to_size_order(by_node: Tensor, tables: TreeTables) -> Tensor:
    """(N, R) in the tree's order -> (N, R) in that of `tables.by_size`."""
    by_size: Tensor = _Permute.apply(by_node, tables.by_size, tables.place_by_size)
    return by_size


def log_softmax_by_size(by_size: Tensor, tables: TreeTables) -> Tensor:
    """Log P(node | parent), one group size after another.

    by_size: float32 (N, R), contiguous, nodes in the order of `tables.by_size`. Returns the same.
    """
    log_p: Tensor = _LogSoftmaxBySize.apply(by_size, tables.size_classes)
    return log_p


class _Permute(torch.autograd.Function):
    """Rows in another order. Backwards this is one more gather; autograd's would add into zeros."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return values.index_select(0, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grad.contiguous().index_select(0, inverse), None, None


class _LogSoftmaxBySize(torch.autograd.Function):
    """One log-softmax a size class, over the first dimension of (size, groups x R).

    The kernel is vectorised over groups and rows; nothing is padded, and every class writes into
    its own slice of the result.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, size_classes: tuple[tuple[int, int], ...]) -> Tensor:
        log_p = torch.empty_like(values)
        for here, out in zip(*(_classes(t, size_classes) for t in (values, log_p)), strict=True):
            torch.log_softmax(here, 0, out=out)
        ctx.save_for_backward(log_p)
        ctx.size_classes = size_classes
        return log_p

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (log_p,) = ctx.saved_tensors
        out = log_p.exp()
        grad = grad.contiguous()
        for here, p in zip(*(_classes(t, ctx.size_classes) for t in (grad, out)), strict=True):
            torch.addcmul(here, p, here.sum(0), value=-1, out=p)
        return out, None


def _classes(values: Tensor, size_classes: tuple[tuple[int, int], ...]) -> list[Tensor]:
    """Views (size, groups x R) of (N, R), one a size class."""
    parts = values.split([size * groups for size, groups in size_classes])
    rows = values.shape[1]
    return [
        part.view(size, groups * rows)
        for part, (size, groups) in zip(parts, size_classes, strict=True)
    ]


def _log_softmax_by_segment(by_node: Tensor, tables: TreeTables, nodes: Tensor) -> Tensor:
    """The plain form for any whole groups: (C, R) in the tree's order."""
    _, segment, lengths = torch.unique_consecutive(
        tables.group[nodes], return_inverse=True, return_counts=True
    )
    shifted = by_node - segment_max(by_node, lengths).index_select(0, segment)
    total = segment_sum(shifted.exp(), segment, len(lengths))
    return shifted - total.log().index_select(0, segment)


def segment_max(values: Tensor, lengths: Tensor) -> Tensor:
    """The maximum of each run of consecutive rows of (K, R), without gradient: (segments, R)."""
    with torch.no_grad():
        # unsafe: no check that the lengths add up to K, which is a law of the tables.
        return torch.segment_reduce(values, "max", lengths=lengths, unsafe=True)


def segment_sum(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """The sum over the rows of (K, R) with the same segment number: (count, R)."""
    return values.new_zeros(count, *values.shape[1:]).index_add(0, segment, values)


def sibling_path_loss(logits: Tensor, place: Tensor, nodes: Tensor, tables: TreeTables) -> Tensor:
    """-log P(node | object): the cross-entropies of the groups on each node's path, summed.

    logits: (M, C) of any floating type; place: int64 (N,), the column of each node, with all
    groups on the paths present and whole, siblings side by side in the tree's order; nodes:
    int64 (M,). Returns float32 (M,). Equals darknet's class delta (1[path node] - p on the groups
    of the path): the gradient is exactly 0 for every other group, so below the label.
    """
    loss: Tensor = _PathLoss.apply(logits, place, nodes, tables)
    return loss


class _PathLoss(torch.autograd.Function):
    """Works on one ragged vector: the logits of the groups on the paths, path after path.

    A path touches 108 logits of 9,418 on average, so neither the other groups' exponentials nor
    a masked copy of them are ever formed.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, place: Tensor, nodes: Tensor, tables: TreeTables
    ) -> Tensor:
        row, path_node, path_lengths = path_entries(nodes, tables)
        # One segment is one group of one row's path.
        group = tables.group[path_node]
        size, start = tables.group_size[group], tables.group_start[group]
        segment, within = ragged(size)
        base = row * logits.shape[1] + place[start]
        index = base[segment] + within
        target = size.cumsum(0) - size + path_node - start

        z = logits.reshape(-1)[index].float()
        z = z - segment_max(z, size)[segment]
        exp = z.exp()
        total = torch.segment_reduce(exp, "sum", lengths=size, unsafe=True)
        loss = total.log() - z[target]
        ctx.save_for_backward(exp / total[segment], index, segment, target, row)
        ctx.shape, ctx.dtype = logits.shape, logits.dtype
        return torch.segment_reduce(loss, "sum", lengths=path_lengths, unsafe=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        probability, index, segment, target, row = ctx.saved_tensors
        difference = probability.index_add(0, target, probability.new_full(target.shape, -1.0))
        difference *= grad[row][segment]
        # An entry stands once in the ragged vector, so nothing has to be added up here.
        out = torch.zeros(ctx.shape, dtype=ctx.dtype, device=grad.device)
        out.view(-1)[index] = difference.to(ctx.dtype)
        return out, None, None, None
