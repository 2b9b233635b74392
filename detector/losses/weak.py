"""Label-only photos: which rows win, and what they are taught.

A weak rule is `rule(predictions, batch) -> (label, row, weight)`, flat arrays without gradient;
`label` indexes the batch's labels, and any number of rows may serve one. A winner's box gets no
gradient: the row learns objectness and class alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from data.sample import Batch
from detector.boxes import paired_iou
from detector.losses.boxed import ObjectnessLoss
from detector.losses.regions import LABEL_ONLY, best_rows, in_kind, row_photos
from detector.predictions import Predictions

Winners = tuple[Tensor, Tensor, Tensor]
WeakRule = Callable[[Predictions, Batch], Winners]


def _candidates(predictions: Predictions, batch: Batch, k: int | None) -> tuple[Tensor, ...]:
    """label (L,), rows (L, k), valid (L, k) of the labels whose region holds a row."""
    label = (batch.photo_kind[batch.label_photo] == LABEL_ONLY).nonzero().squeeze(1)
    rows, valid = best_rows(predictions, batch, batch.label_photo[label], k)
    seen = valid.any(1)
    return label[seen], rows[seen], valid[seen]


def _class_scores(
    predictions: Predictions, batch: Batch, label: Tensor, rows: Tensor, floor: float
) -> Tensor:
    """objectness x (P(label's node | object) + floor), (L, k)."""
    nodes = batch.label_node[label][:, None].expand_as(rows)
    log_p = predictions.pair_log_probability(rows.reshape(-1), nodes.reshape(-1))
    probability = log_p.exp().view(rows.shape)
    return predictions.objectness[rows].sigmoid() * (probability + floor)


@torch.no_grad()
def objectness_times_class(
    predictions: Predictions,
    batch: Batch,
    *,
    k: int | None = 64,
    floor: float = 0.0,
    rows_per_label: int = 1,
    agree_iou: float = 0.65,
) -> Winners:
    """The row with the greatest objectness x P(path) (the paper, section 4; darknet's c5).

    k: how many rows of a region are asked, best by objectness; None: all, as the paper has it.
    floor: added to P(path), so that an untrained classifier does not choose at random.
    rows_per_label: with more than 1, the next best rows whose boxes overlap the winner's by more
        than `agree_iou` share the label's weight with it.
    """
    label, rows, valid = _candidates(predictions, batch, k)
    if len(label) == 0:
        return _nobody(label)
    score = _class_scores(predictions, batch, label, rows, floor).masked_fill(~valid, -1.0)
    return _share(predictions, label, rows, score, rows_per_label, agree_iou)


@torch.no_grad()
def objectness_alone(
    predictions: Predictions,
    batch: Batch,
    *,
    rows_per_label: int = 1,
    agree_iou: float = 0.65,
) -> Winners:
    """The row with the greatest objectness."""
    k = 1 if rows_per_label == 1 else 16
    label, rows, valid = _candidates(predictions, batch, k)
    if len(label) == 0:
        return _nobody(label)
    score = predictions.objectness[rows].sigmoid().masked_fill(~valid, -1.0)
    return _share(predictions, label, rows, score, rows_per_label, agree_iou)


@torch.no_grad()
def largest_confident(
    predictions: Predictions,
    batch: Batch,
    *,
    k: int | None = 64,
    confident: float = 0.5,
    rows_per_label: int = 1,
    agree_iou: float = 0.65,
) -> Winners:
    """The largest box whose row has at least `confident` of the region's best objectness.

    Detic (Zhou et al., 2022) takes the largest proposal whatever the classifier thinks.
    """
    label, rows, valid = _candidates(predictions, batch, k)
    if len(label) == 0:
        return _nobody(label)
    objectness = predictions.objectness[rows].sigmoid()
    sure = valid & (objectness >= confident * objectness[:, :1])
    box = predictions.boxes[rows]
    area = (box[..., 2:] - box[..., :2]).prod(2)
    return _share(
        predictions, label, rows, area.masked_fill(~sure, -1.0), rows_per_label, agree_iou
    )


def _nobody(label: Tensor) -> Winners:
    return label, label.clone(), torch.zeros(0, device=label.device)


def _share(
    predictions: Predictions,
    label: Tensor,
    rows: Tensor,
    score: Tensor,
    rows_per_label: int,
    agree_iou: float,
) -> Winners:
    """The best row of each label, and those of the next best that agree with it on the box.

    The rows of one label weigh 1 together.
    """
    best, order = score.topk(min(rows_per_label, score.shape[1]), dim=1)
    rows = rows.gather(1, order)
    boxes = predictions.boxes.detach()[rows]
    overlap = paired_iou(boxes.view(-1, 4), boxes[:, :1].expand_as(boxes).reshape(-1, 4))
    agree = (overlap.view(rows.shape) > agree_iou) & (best >= 0)
    agree[:, 0] = True
    weight = agree / agree.sum(1, keepdim=True)
    return label[:, None].expand_as(rows)[agree], rows[agree], weight[agree]


RULES: dict[str, WeakRule] = {
    "objectness_times_class": objectness_times_class,
    "objectness": objectness_alone,
    "largest_confident": largest_confident,
}


def weak_class_loss(predictions: Predictions, batch: Batch, winners: Winners) -> Tensor:
    """Sum over labels of the weighted -log P(node | object) of their winners."""
    label, row, weight = winners
    nodes = batch.label_node[label]
    classifier = predictions.classifier
    columns = classifier.columns(nodes)
    logits = predictions.class_logits(row, columns.nodes)
    return (classifier.loss(logits, columns, nodes) * weight).sum()


# An objectness policy says what the rows of label-only regions learn about objectness:
# (predictions, batch, winners) -> (row, target, weight), flat and without gradient.
Policy = Callable[[Predictions, Batch, Winners], tuple[Tensor, Tensor, Tensor]]


def _best_winner(winners: Winners) -> Tensor:
    """One row a label: the winner of the greatest weight, the first of equals."""
    label, row, _ = winners
    first = torch.ones(len(label), dtype=torch.bool, device=label.device)
    first[1:] = label[1:] != label[:-1]
    return row[first]


@torch.no_grad()
def winner_is_object(
    predictions: Predictions, batch: Batch, winners: Winners, *, target: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Ours: the winner holds an object; nothing is said of the other rows."""
    del predictions, batch
    row = _best_winner(winners)
    ones = torch.ones(len(row), device=row.device)
    return row, ones * target, ones


@torch.no_grad()
def paper_floor(
    predictions: Predictions, batch: Batch, winners: Winners, *, floor: float = 0.3
) -> tuple[Tensor, Tensor, Tensor]:
    """The paper, section 4: the winner is assumed to overlap the object by at least .3 IoU, so
    its objectness is raised to that where it is lower, and left alone where it is not."""
    row, target, weight = winner_is_object(predictions, batch, winners, target=floor)
    low = predictions.objectness[row].sigmoid() < floor
    return row[low], target[low], weight[low]


@torch.no_grad()
def _darknet(
    predictions: Predictions,
    batch: Batch,
    winners: Winners,
    *,
    floor: float | None,
    object_scale: float = 5.0,
    noobject_scale: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Darknet: every other row of the region is pushed down (facts c5).

    In January 2017 the winner had the paper's floor, at `object_scale`; since July 2017 its
    objectness learns nothing (`floor=None`).
    """
    weak = in_kind(row_photos(predictions, batch), batch, LABEL_ONLY)
    weak[_best_winner(winners)] = False
    other = weak.nonzero().squeeze(1)
    zeros = torch.zeros(len(other), device=other.device)
    if floor is None:
        return other, zeros, zeros + noobject_scale
    row, target, weight = paper_floor(predictions, batch, winners, floor=floor)
    return (
        torch.cat([row, other]),
        torch.cat([target, zeros]),
        torch.cat([weight * object_scale, zeros + noobject_scale]),
    )


POLICIES: dict[str, Policy] = {
    "winner_is_object": winner_is_object,
    "paper": paper_floor,
    "darknet_2017": partial(_darknet, floor=0.3),
    "darknet_head": partial(_darknet, floor=None),
}


def weak_objectness_loss(
    predictions: Predictions,
    batch: Batch,
    winners: Winners,
    policy: Policy,
    loss: ObjectnessLoss,
) -> Tensor:
    """Sum over the rows that the policy names."""
    row, target, weight = policy(predictions, batch, winners)
    return (loss(predictions.objectness[row], target) * weight).sum()
