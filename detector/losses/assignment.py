"""Which rows owe a truth: assignments by name.

An assignment is `assign(predictions, batch, photo_of_row) -> Assignment`; each row serves one
truth at most, and a truth whose rows all went to others is counted, not lost silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from data.sample import Batch
from detector.boxes import paired_iou
from detector.losses.regions import BOXED
from detector.predictions import Predictions


@dataclass(frozen=True)
class Assignment:
    """row, truth: int64 (M,), pairs; missed: truths that asked for rows and got none."""

    row: Tensor
    truth: Tensor
    missed: int


Assign = Callable[[Predictions, Batch, Tensor], Assignment]


def real_truths(batch: Batch) -> Tensor:
    """Indices of the truths that are trained: of boxed photos, and not to be ignored."""
    boxed = batch.photo_kind[batch.truth_photo] == BOXED
    return (boxed & ~batch.truth_ignore).nonzero().squeeze(1)


def nearest_cells(
    predictions: Predictions,
    batch: Batch,
    photo_of_row: Tensor,
    *,
    rows_per_truth: int = 3,
    distance_cost: float = 0.15,
) -> Assignment:
    """The best rows among the 3 x 3 cells round a truth's centre.

    A row's score is the IoU of its predicted box with the truth less `distance_cost` times the
    squared distance, in cells, from the truth's centre to the row's cell centre. Only rows of
    the truth's own photo are asked; a row that several truths want serves the best score.
    """
    truth = real_truths(batch)
    _, anchors, height, width = predictions.shape
    device = predictions.objectness.device
    box = batch.truth_box[truth]
    centre = (box[:, :2] + box[:, 2:]) / 2 / predictions.stride
    cell = centre.floor().long()
    step = torch.tensor([-1, 0, 1], device=device)
    y = (cell[:, 1, None] + step.repeat_interleave(3))[:, :, None].expand(-1, -1, anchors)
    x = (cell[:, 0, None] + step.repeat(3))[:, :, None].expand(-1, -1, anchors)
    image = batch.photo_image[batch.truth_photo[truth]][:, None, None].expand_as(x)
    anchor = torch.arange(anchors, device=device).expand_as(x)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    row = predictions.row(image, anchor, y.clamp(0, height - 1), x.clamp(0, width - 1))
    inside &= photo_of_row[row] == batch.truth_photo[truth][:, None, None]
    boxes = predictions.boxes.detach()[row]
    overlap = paired_iou(boxes.view(-1, 4), box[:, None, None].expand_as(boxes).reshape(-1, 4))
    squared = (x + 0.5 - centre[:, 0, None, None]) ** 2 + (y + 0.5 - centre[:, 1, None, None]) ** 2
    score = overlap.view(row.shape) - distance_cost * squared
    score = score.masked_fill(~inside, -torch.inf).flatten(1)
    best, order = score.topk(min(rows_per_truth, score.shape[1]), dim=1)
    wanted = row.flatten(1).gather(1, order)
    owner = torch.arange(len(truth), device=device)[:, None].expand_as(wanted)
    valid = best > -torch.inf
    return _one_truth_a_row(wanted[valid], owner[valid], best[valid], truth, len(predictions))


def best_shape(predictions: Predictions, batch: Batch, photo_of_row: Tensor) -> Assignment:
    """YOLOv2's and darknet's: the cell that holds the truth's centre, the anchor whose shape has
    the greatest IoU with the truth's. Of two truths at one place the later one stays."""
    del photo_of_row
    truth = real_truths(batch)
    _, _, height, width = predictions.shape
    box = batch.truth_box[truth]
    centre = (box[:, :2] + box[:, 2:]) / 2 / predictions.stride
    x = centre[:, 0].long().clamp(0, width - 1)
    y = centre[:, 1].long().clamp(0, height - 1)
    size = (box[:, 2:] - box[:, :2])[:, None]
    shared = torch.minimum(size, predictions.anchors).prod(2)
    shape_iou = shared / (size.prod(2) + predictions.anchors.prod(1) - shared)
    image = batch.photo_image[batch.truth_photo[truth]]
    row = predictions.row(image, shape_iou.argmax(1), y, x)
    order = torch.arange(len(truth), device=row.device)
    return _one_truth_a_row(row, order, order.float(), truth, len(predictions))


def _one_truth_a_row(
    row: Tensor, owner: Tensor, score: Tensor, truth: Tensor, rows: int
) -> Assignment:
    """Keeps, of the pairs (row, owner) with the same row, the one of greatest score."""
    order = torch.argsort(score, descending=True, stable=True)
    row, owner = row[order], owner[order]
    place = torch.arange(len(row), device=row.device)
    first = torch.full((rows,), len(row), device=row.device)
    first = first.scatter_reduce(0, row, place, "amin")
    kept = first[row] == place
    served = torch.zeros(len(truth), dtype=torch.bool, device=row.device)
    served[owner[kept]] = True
    return Assignment(row[kept], truth[owner[kept]], int((~served).sum()))


ASSIGNMENTS: dict[str, Assign] = {"nearest_cells": nearest_cells, "best_shape": best_shape}
