"""What the assignment and the weak rule decided, in figures: the log shows whether it drifts."""

from __future__ import annotations

import torch
from torch import Tensor

from data.sample import Batch
from detector.losses.assignment import Assignment, real_truths
from detector.losses.regions import LABEL_ONLY
from detector.predictions import Predictions

# Counts, and sums over the best winners of a batch (`winners` of them).
COUNTS = ("truths", "truths_missed", "rows_assigned", "labels", "labels_missed")
MEANS = ("winner_objectness", "winner_size", "winner_depth")


@torch.no_grad()
def decisions(
    predictions: Predictions,
    batch: Batch,
    assigned: Assignment,
    winners: tuple[Tensor, Tensor, Tensor],
) -> dict[str, float]:
    """COUNTS, `winners`, and the sums behind MEANS, of one batch.

    truths_missed: no row serves them, since all went to other truths or none stands in their
    photo's region. labels_missed: no row stands in their region. winner_size: the root of the
    share of its region's area that a winner's box covers. winner_depth: its label's, in the tree.
    """
    label, row, _ = winners
    first = torch.ones(len(label), dtype=torch.bool, device=label.device)
    first[1:] = label[1:] != label[:-1]
    label, row = label[first], row[first]
    region = batch.photo_box[batch.label_photo[label]]
    box = predictions.boxes[row]
    area = (box[:, 2:] - box[:, :2]).prod(1) / (region[:, 2:] - region[:, :2]).prod(1)
    depth = predictions.classifier.tables.depth[batch.label_node[label]]
    objectness = predictions.objectness[row].float().sigmoid()
    sums = torch.stack([objectness.sum(), area.sqrt().sum(), depth.sum().float()])
    labels = int((batch.photo_kind[batch.label_photo] == LABEL_ONLY).sum())
    return {
        "truths": len(real_truths(batch)),
        "truths_missed": assigned.missed,
        "rows_assigned": len(assigned.row),
        "labels": labels,
        "labels_missed": labels - len(label),
        "winners": len(label),
        **dict(zip(MEANS, sums.tolist(), strict=True)),
    }


def summary(sums: dict[str, float]) -> dict[str, float]:
    """COUNTS as they are, and MEANS over the winners, where there were any."""
    found = {name: sums[name] for name in COUNTS if name in sums}
    if sums.get("winners"):
        found |= {name: sums[name] / sums["winners"] for name in MEANS}
    return found
