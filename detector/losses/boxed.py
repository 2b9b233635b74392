"""The loss of photos with boxes: box, objectness, no_objectness, class.

Every part is a sum over the batch; `Criterion` divides it by the number of network inputs. A
truth's rows share its weight, so that a truth counts the same however many rows serve it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from data.sample import Batch
from detector.boxes import encode, giou, iou, paired_iou
from detector.losses.assignment import Assignment, real_truths
from detector.losses.regions import LABEL_ONLY, in_kind
from detector.predictions import Predictions

BoxLoss = Callable[[Predictions, Tensor, Tensor], Tensor]
ObjectnessLoss = Callable[[Tensor, Tensor], Tensor]


def giou_loss(predictions: Predictions, rows: Tensor, truths: Tensor) -> Tensor:
    """1 - GIoU (Rezatofighi et al., 2019) of each row's box with its truth, (len(rows),)."""
    return 1 - giou(predictions.boxes[rows], truths)


def offset_loss(predictions: Predictions, rows: Tensor, truths: Tensor) -> Tensor:
    """Darknet's: half the squared error of sigmoid(t_x), sigmoid(t_y), t_w, t_h, times
    2 - w h, with w and h as fractions of the input (facts c6 and c8)."""
    _, anchor, y, x = predictions.locate(rows)
    target = encode(
        truths,
        x,
        y,
        predictions.anchors[anchor],
        predictions.stride,
        predictions.centre_range,
    )
    offsets = predictions.offsets[rows]
    found = torch.cat([offsets[:, :2].sigmoid(), offsets[:, 2:]], 1)
    wanted = torch.cat([target[:, :2].sigmoid(), target[:, 2:]], 1)
    size = truths[:, 2:] - truths[:, :2]
    _, _, height, width = predictions.shape
    area = size.prod(1) / (height * width * predictions.stride**2)
    return (2 - area) * 0.5 * (found - wanted).square().sum(1)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets, less the least that it can be; elementwise, float32.

    That least is the target's own entropy (no gradient), .69 for an IoU of .5: with it the figure
    would say more of the targets, which move while boxes get better, than of the answers to them.
    """
    logits, targets = logits.float(), targets.float()
    entropy = torch.special.entr(targets) + torch.special.entr(1 - targets)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none") - entropy


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """Darknet's: half the squared error of the objectness probability, elementwise, in float32."""
    return 0.5 * (logits.float().sigmoid() - targets.float()).square()


BOX_LOSSES: dict[str, BoxLoss] = {"giou": giou_loss, "offsets": offset_loss}
OBJECTNESS_LOSSES: dict[str, ObjectnessLoss] = {
    "cross_entropy": cross_entropy,
    "squared_error": squared_error,
}


def share_of_truth(assignment: Assignment, truths: int) -> Tensor:
    """1 over the number of rows that serve the row's truth, (M,)."""
    counts = torch.bincount(assignment.truth, minlength=truths)
    return 1 / counts[assignment.truth]


def box_loss(
    predictions: Predictions, batch: Batch, assignment: Assignment, loss: BoxLoss
) -> Tensor:
    """Sum over truths of the mean over their rows."""
    each = loss(predictions, assignment.row, batch.truth_box[assignment.truth])
    return (each * share_of_truth(assignment, len(batch.truth_box))).sum()


def class_loss(predictions: Predictions, batch: Batch, assignment: Assignment) -> Tensor:
    """Sum over truths of the mean over their rows of -log P(node | object).

    A truth whose node is unknown (-1) has none.
    """
    nodes = batch.truth_node[assignment.truth]
    known = nodes >= 0
    classifier = predictions.classifier
    columns = classifier.columns(nodes[known])
    logits = predictions.class_logits(assignment.row[known], columns.nodes)
    each = classifier.loss(logits, columns, nodes[known])
    return (each * share_of_truth(assignment, len(batch.truth_box))[known]).sum()


def objectness_loss(
    predictions: Predictions, batch: Batch, assignment: Assignment, loss: ObjectnessLoss
) -> Tensor:
    """Sum over assigned rows; the target is the IoU of the row's box with its truth."""
    boxes = predictions.boxes.detach()[assignment.row]
    target = paired_iou(boxes, batch.truth_box[assignment.truth])
    return loss(predictions.objectness[assignment.row], target).sum()


def no_objectness_loss(
    predictions: Predictions,
    batch: Batch,
    assignment: Assignment,
    photo_of_row: Tensor,
    loss: ObjectnessLoss,
    *,
    ignore_iou: float | None = None,
) -> Tensor:
    """Sum over the rows that hold nothing: target 0.

    These are the unassigned rows of padding, background photos and boxed photos, but for rows
    whose cell centre lies in an ignore region, and, with `ignore_iou`, rows whose box overlaps
    some truth by more than it (darknet's `thresh`). Rows of label-only photos are not asked.
    """
    empty = ~in_kind(photo_of_row, batch, LABEL_ONLY)
    empty[assignment.row] = False
    ignored = batch.truth_ignore.nonzero().squeeze(1)
    if len(ignored):
        empty &= ~_centre_inside(predictions, batch, ignored)
    if ignore_iou is not None:
        empty &= ~_overlaps_truth(predictions, batch, ignore_iou)
    logits = predictions.objectness[empty]
    return loss(logits, torch.zeros_like(logits)).sum()


def _centre_inside(predictions: Predictions, batch: Batch, truths: Tensor) -> Tensor:
    """Rows whose cell centre lies in a box of `truths`, bool (R,)."""
    rows = torch.arange(len(predictions), device=truths.device)
    image, _, y, x = predictions.locate(rows)
    centre = (torch.stack([x, y], 1) + 0.5) * predictions.stride
    box = batch.truth_box[truths]
    owner = batch.photo_image[batch.truth_photo[truths]]
    inside = (centre >= box[:, None, :2]) & (centre < box[:, None, 2:])
    return (inside.all(2) & (owner[:, None] == image)).any(0)


def _overlaps_truth(predictions: Predictions, batch: Batch, threshold: float) -> Tensor:
    """Rows whose box has more than this IoU with a truth of their image, bool (R,)."""
    images = predictions.shape[0]
    boxes = predictions.boxes.detach().view(images, -1, 4)
    truth = real_truths(batch)
    owner = batch.photo_image[batch.truth_photo[truth]]
    found = torch.zeros(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    for image in owner.unique().tolist():
        overlap = iou(boxes[image], batch.truth_box[truth[owner == image]])
        found[image] = overlap.amax(1) > threshold
    return found.view(-1)
