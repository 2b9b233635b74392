"""Batches that lack something, truths of odd sizes, logits beyond all measure: rows 23 to 25."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from detector.boxes import decode
from detector.losses import PARTS, Criterion
from detector.losses.assignment import ASSIGNMENTS
from detector.losses.boxed import BOX_LOSSES, OBJECTNESS_LOSSES
from detector.losses.weak import POLICIES, RULES
from wordtree.probability.classifiers import CLASSIFIERS

SCALES = dict.fromkeys(PARTS, 1.0)
BOXED = (0, (0, 0, 16, 32), "boxed", [(2, 3, 13, 14, 8), (1, 18, 14, 30, 5)], [])
UNKNOWN = (0, (0, 0, 16, 32), "boxed", [(2, 3, 13, 14, -1), (1, 18, 14, 30, 5, True)], [])
LABEL_ONLY = (0, (16, 0, 32, 32), "label_only", [], [4, 9])
UNLABELLED = (0, (16, 0, 32, 32), "label_only", [], [])
BACKGROUND = (0, (0, 0, 32, 32), "background", [], [])
WITHOUT_ROWS = (0, (30, 0, 31, 1), "label_only", [], [4])
BATCHES: dict[str, list[tuple]] = {
    "both kinds": [BOXED, LABEL_ONLY],
    "no label-only photo": [BOXED],
    "no boxed photo": [LABEL_ONLY],
    "neither boxes nor labels": [BACKGROUND],
    "a photo whose boxes are all ignored or unknown": [UNKNOWN],
    "a label-only photo without labels": [UNLABELLED],
    "a region in which no row stands": [WITHOUT_ROWS],
    "no photo at all": [],
}
# Every rule with every policy; the choices of two take turns, out of step with one another.
CHOICES = [
    (
        *pair,
        list(ASSIGNMENTS)[number % 2],
        list(BOX_LOSSES)[number // 2 % 2],
        list(CLASSIFIERS)[number // 3 % 2],
    )
    for number, pair in enumerate(itertools.product(RULES, POLICIES))
]


def leaves(predictions: Any) -> list[torch.Tensor]:
    return [
        predictions.objectness,
        predictions.offsets,
        predictions.class_features,
        *predictions.class_weight,
        *predictions.class_bias,
    ]


def assert_finite(losses: dict[str, torch.Tensor], predictions: Any) -> None:
    """All parts, and all the gradients that there are."""
    assert all(torch.isfinite(losses[name]) for name in ("total", *PARTS)), losses
    losses["total"].backward()
    for leaf in leaves(predictions):
        assert leaf.grad is None or torch.isfinite(leaf.grad).all()


@pytest.mark.parametrize("photos", BATCHES.values(), ids=BATCHES)
def test_a_batch_that_lacks_something_has_finite_losses_and_gradients(
    make_predictions, make_batch, photos
):
    for seed, (rule, policy, assignment, box, classifier) in enumerate(CHOICES):
        predictions = make_predictions((1, 2, 4, 4), classifier=classifier, seed=seed)
        criterion = Criterion(
            scales=SCALES, rule=rule, policy=policy, assignment=assignment, box=box
        )
        assert_finite(criterion(predictions, make_batch(photos), seen=16), predictions)


def test_a_batch_of_several_inputs_may_hold_a_photo_in_one_alone(make_predictions, make_batch):
    predictions = make_predictions((3, 1, 4, 4))
    batch = make_batch([(1, *BOXED[1:]), (1, *LABEL_ONLY[1:])], images=3)
    assert_finite(Criterion(scales=SCALES)(predictions, batch, seen=16), predictions)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("objectness", OBJECTNESS_LOSSES)
def test_huge_logits_of_every_kind_give_finite_losses_and_gradients(
    make_predictions, make_batch, small_tree, dtype, objectness
):
    batch = make_batch([BOXED, LABEL_ONLY])
    generator = torch.Generator().manual_seed(0)
    for rule, policy, assignment, box, classifier in CHOICES:
        base = make_predictions((1, 2, 4, 4), classifier=classifier)
        sign = torch.randint(-1, 2, (len(base),), generator=generator)
        bias = torch.randint(-1, 2, (len(small_tree),), generator=generator)
        predictions = replace(
            base,
            objectness=(1e4 * sign).to(dtype).requires_grad_(),
            class_features=base.class_features.detach().to(dtype).requires_grad_(),
            class_weight=[w.detach().to(dtype).requires_grad_() for w in base.class_weight],
            class_bias=[(1e4 * bias).to(dtype).requires_grad_() for _ in base.class_bias],
        )
        criterion = Criterion(
            scales=SCALES,
            rule=rule,
            policy=policy,
            assignment=assignment,
            box=box,
            objectness=objectness,
        )
        assert_finite(criterion(predictions, batch, seen=16), predictions)


@pytest.mark.parametrize("box", BOX_LOSSES)
def test_huge_offsets_give_boxes_losses_and_gradients_that_are_finite(
    make_predictions, make_batch, box
):
    base = make_predictions((1, 2, 4, 4))
    signs = torch.randint(-1, 2, (len(base), 4), generator=torch.Generator().manual_seed(1))
    offsets = (1e4 * signs).requires_grad_()
    _, anchor, y, x = base.locate(torch.arange(len(base)))
    boxes = decode(offsets, x, y, base.anchors[anchor], base.stride, base.centre_range)
    predictions = replace(base, offsets=offsets, boxes=boxes)
    assert torch.isfinite(predictions.boxes).all()
    losses = Criterion(scales=SCALES, box=box)(predictions, make_batch([BOXED, LABEL_ONLY]), 16)
    assert_finite(losses, predictions)


ODD_TRUTHS = {
    "smaller than a cell": [(9, 9, 9.5, 9.25, 4)],
    "the whole image": [(0, 0, 32, 32, 4)],
    "two in one cell": [(8, 8, 15, 15, 4), (9, 9, 15, 15, 5)],
    "at the far edge": [(31.5, 31.5, 32, 32, 4)],
    "a line": [(4, 4, 4, 20, 4)],
    "500 in one photo": [
        (x, y, x + 0.5, y + 0.5, 4) for x, y in (torch.rand(500, 2) * 31).tolist()
    ],
}


@pytest.mark.parametrize("truths", ODD_TRUTHS.values(), ids=ODD_TRUTHS)
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("box", BOX_LOSSES)
def test_odd_truths_are_served_or_counted_and_their_losses_are_finite(
    make_predictions, make_batch, truths, assignment, box
):
    predictions = make_predictions((1, 2, 4, 4))
    criterion = Criterion(scales=SCALES, assignment=assignment, box=box)
    batch = make_batch([(0, (0, 0, 32, 32), "boxed", truths, [])])
    assert_finite(criterion(predictions, batch, seen=16), predictions)
    decided = criterion.take_decisions()
    assert decided["truths"] == len(truths)
    served = len(truths) - decided["truths_missed"]
    assert 1 <= served <= decided["rows_assigned"] <= len(predictions)
    # As many rows as there are truths at most: with 32 rows most of 500 must be missed.
    assert (decided["truths_missed"] > 0) == (len(truths) > 32) or len(truths) == 2


def test_missed_truths_and_winners_are_counted_over_batches_until_they_are_taken(
    make_predictions, make_batch
):
    criterion = Criterion(scales=SCALES, assignment="best_shape", rule_options={"k": None})
    crowded = [(8, 8, 15, 15, 4), (9, 9, 15, 15, 5)]
    for seed in range(3):
        predictions = make_predictions((1, 1, 4, 4), seed=seed)
        boxed = (0, (0, 0, 16, 32), "boxed", crowded, [])
        criterion(predictions, make_batch([boxed, LABEL_ONLY, WITHOUT_ROWS]), seen=16)
    decided = criterion.take_decisions()
    assert (decided["truths"], decided["truths_missed"]) == (6, 3)
    assert (decided["labels"], decided["labels_missed"]) == (9, 3)
    assert decided["winner_depth"] == pytest.approx((2 + 3) / 2)  # a cat, a terrier
    assert 0 < decided["winner_objectness"] < 1
    assert decided["winner_size"] > 0
    assert criterion.take_decisions() == {}


def test_the_figures_of_winners_equal_those_of_a_loop(make_predictions, make_batch):
    criterion = Criterion(scales=SCALES)
    predictions, batch = make_predictions((1, 3, 4, 4)), make_batch([BOXED, LABEL_ONLY])
    label, row, _ = criterion.rule(predictions, batch)
    criterion(predictions, batch, seen=16)
    decided = criterion.take_decisions()
    objectness, size = [], []
    for one in label.unique():
        winner = row[label == one][0]
        left, top, right, bottom = predictions.boxes[winner].tolist()
        objectness.append(predictions.objectness[winner].sigmoid().item())
        size.append((((right - left) * (bottom - top)) / (16 * 32)) ** 0.5)
    assert decided["winner_objectness"] == pytest.approx(sum(objectness) / len(objectness))
    assert decided["winner_size"] == pytest.approx(sum(size) / len(size))
