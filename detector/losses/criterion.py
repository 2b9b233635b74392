"""The loss of a batch: boxed photos, label-only photos, one total."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from data.sample import Batch
from detector.losses.assignment import ASSIGNMENTS
from detector.losses.boxed import (
    BOX_LOSSES,
    OBJECTNESS_LOSSES,
    box_loss,
    class_loss,
    no_objectness_loss,
    objectness_loss,
)
from detector.losses.decisions import decisions, summary
from detector.losses.regions import row_photos
from detector.losses.weak import POLICIES, RULES, weak_class_loss, weak_objectness_loss
from detector.predictions import Predictions
from wordtree.errors import UserError

PARTS = ("box", "objectness", "no_objectness", "class", "weak_class", "weak_objectness")


class Criterion(nn.Module):
    """Predictions and a batch -> a dict of named losses, `total` the exact sum of the others.

    Every part is a sum over the batch times its scale, divided by the number of network inputs of
    the whole optimiser step (`inputs`), never by a count of truths or winners: so that ranks and
    accumulation give what one process would give.

    assignment, box, objectness: names in ASSIGNMENTS, BOX_LOSSES, OBJECTNESS_LOSSES.
    rule, rule_options: the weak rule by its name in RULES; policy: the objectness policy.
    scales: one factor a part of PARTS. ignore_iou: see `no_objectness_loss`.
    anchor_warmup: for this many inputs every row's box is also drawn to its anchor (darknet:
        12,800, at a scale of .01).
    inputs: network inputs of an optimiser step; None: the batch's own number.
    """

    def __init__(
        self,
        *,
        scales: Mapping[str, float],
        assignment: str = "nearest_cells",
        box: str = "giou",
        objectness: str = "cross_entropy",
        rule: str = "objectness_times_class",
        rule_options: Mapping[str, Any] | None = None,
        policy: str = "winner_is_object",
        ignore_iou: float | None = None,
        anchor_warmup: int = 0,
        inputs: int | None = None,
    ) -> None:
        super().__init__()
        if set(scales) != set(PARTS):
            raise UserError(
                f"loss.scales has {', '.join(sorted(scales))}; it needs exactly {', '.join(PARTS)}."
            )
        self.scales = dict(scales)
        self.assign = _named(ASSIGNMENTS, "loss.assignment", assignment)
        self.box = _named(BOX_LOSSES, "loss.box", box)
        self.objectness = _named(OBJECTNESS_LOSSES, "loss.objectness", objectness)
        self.rule = partial(_named(RULES, "loss.rule", rule), **(rule_options or {}))
        self.policy = _named(POLICIES, "loss.policy", policy)
        self.ignore_iou, self.anchor_warmup, self.inputs = ignore_iou, anchor_warmup, inputs
        self.decided: dict[str, float] = {}

    def forward(self, predictions: Predictions, batch: Batch, seen: int) -> dict[str, Tensor]:
        """seen: network inputs used so far, this step included, over all ranks."""
        photo_of_row = row_photos(predictions, batch)
        assigned = self.assign(predictions, batch, photo_of_row)
        winners = self.rule(predictions, batch)
        for name, value in decisions(predictions, batch, assigned, winners).items():
            self.decided[name] = self.decided.get(name, 0) + value
        sums = {
            "box": box_loss(predictions, batch, assigned, self.box),
            "objectness": objectness_loss(predictions, batch, assigned, self.objectness),
            "no_objectness": no_objectness_loss(
                predictions,
                batch,
                assigned,
                photo_of_row,
                self.objectness,
                ignore_iou=self.ignore_iou,
            ),
            "class": class_loss(predictions, batch, assigned),
            "weak_class": weak_class_loss(predictions, batch, winners),
            "weak_objectness": weak_objectness_loss(
                predictions, batch, winners, self.policy, self.objectness
            ),
        }
        if seen < self.anchor_warmup:
            sums["box"] = sums["box"] + 0.01 * anchor_loss(predictions)
        inputs = self.inputs or len(batch)
        parts = {name: sums[name] * (self.scales[name] / inputs) for name in PARTS}
        return {"total": torch.stack(list(parts.values())).sum(), **parts}

    def take_decisions(self) -> dict[str, float]:
        """What was decided in all batches since the last call (detector/losses/decisions.py)."""
        decided, self.decided = self.decided, {}
        return summary(decided)


def anchor_loss(predictions: Predictions) -> Tensor:
    """Half the squared distance of every row's offsets from (sigmoid) .5, .5 and 0, 0: darknet's
    pull of all boxes towards their anchors early in training (facts c6.2)."""
    centre = predictions.offsets[:, :2].sigmoid() - 0.5
    return 0.5 * (centre.square().sum() + predictions.offsets[:, 2:].square().sum())


def _named(choices: Mapping[str, Any], key: str, name: str) -> Any:
    if name not in choices:
        raise UserError(f"{key}={name} is not known; choose one of {', '.join(choices)}.")
    return choices[name]
