"""The loss of a whole batch."""

from __future__ import annotations

import pytest
import torch

from detector.losses import PARTS, Criterion
from wordtree.errors import UserError

SCALES = dict(zip(PARTS, (0.7, 0.2, 0.1, 0.5, 1.0, 0.3), strict=True))
BOXED = (0, (0, 0, 16, 32), "boxed", [(2, 3, 13, 14, 8), (1, 18, 14, 30, 5)], [])
LABEL_ONLY = (0, (16, 0, 32, 32), "label_only", [], [4])


@pytest.fixture
def criterion():
    return Criterion(scales=SCALES)


def test_total_is_exactly_the_sum_of_the_other_parts(criterion, make_predictions, make_batch):
    losses = criterion(make_predictions((1, 3, 4, 4)), make_batch([BOXED, LABEL_ONLY]), seen=16)
    assert set(losses) == {"total", *PARTS}
    assert losses["total"] == torch.stack([losses[name] for name in PARTS]).sum()
    assert all(losses[name].item() > 0 for name in PARTS)


@pytest.mark.parametrize(
    "photos", [[BOXED], [LABEL_ONLY], [(0, (0, 0, 32, 32), "background", [], [])], []]
)
@pytest.mark.parametrize("rule", ["objectness_times_class", "objectness", "largest_confident"])
@pytest.mark.parametrize("policy", ["winner_is_object", "paper", "darknet_2017", "darknet_head"])
def test_a_batch_without_one_kind_has_finite_losses_and_gradients(
    make_predictions, make_batch, photos, rule, policy
):
    predictions = make_predictions((1, 3, 4, 4))
    criterion = Criterion(scales=SCALES, rule=rule, policy=policy)
    losses = criterion(predictions, make_batch(photos), seen=16)
    losses["total"].backward()
    assert torch.isfinite(losses["total"])
    assert torch.isfinite(predictions.objectness.grad).all()


def test_losses_are_divided_by_the_inputs_of_the_step_and_by_nothing_else(
    make_predictions, make_batch
):
    predictions, batch = make_predictions((1, 3, 4, 4)), make_batch([BOXED, LABEL_ONLY])
    alone = Criterion(scales=SCALES)(predictions, batch, seen=16)
    of_four = Criterion(scales=SCALES, inputs=4)(predictions, batch, seen=16)
    for name in PARTS:
        assert of_four[name].item() * 4 == pytest.approx(alone[name].item())


def test_two_halves_of_a_step_add_up_to_the_whole(make_predictions, make_batch):
    """What makes accumulation and ranks exact: each is a sum over its inputs."""
    criterion = Criterion(scales=SCALES, inputs=2)
    second = [(1, *photo[1:]) for photo in (BOXED, LABEL_ONLY)]
    whole = make_predictions((2, 1, 4, 4))
    both = criterion(whole, make_batch([BOXED, LABEL_ONLY, *second], images=2), seen=2)
    total = 0.0
    for image in range(2):
        rows = slice(16 * image, 16 * image + 16)
        half = make_predictions((1, 1, 4, 4))
        part = type(whole)(
            objectness=whole.objectness[rows],
            boxes=whole.boxes[rows],
            offsets=whole.offsets[rows],
            anchors=whole.anchors,
            stride=whole.stride,
            centre_range=whole.centre_range,
            shape=half.shape,
            class_features=whole.class_features[image : image + 1],
            class_weight=whole.class_weight,
            class_bias=whole.class_bias,
            classifier=whole.classifier,
        )
        total += float(criterion(part, make_batch([BOXED, LABEL_ONLY]), seen=2)["total"])
    assert float(both["total"]) == pytest.approx(total, rel=1e-5)


def test_early_inputs_draw_all_boxes_to_their_anchors(make_predictions, make_batch):
    criterion = Criterion(scales=SCALES, anchor_warmup=100)
    batch = make_batch([LABEL_ONLY])
    early, late = (make_predictions((1, 1, 4, 4)) for _ in range(2))
    criterion(early, batch, seen=16)["box"].backward()
    assert early.offsets.grad.abs().sum() > 0
    assert float(criterion(late, batch, seen=100)["box"]) == 0


def test_class_gradients_below_the_label_are_exactly_zero(make_predictions, make_batch):
    predictions = make_predictions((1, 1, 4, 4))
    batch = make_batch([(0, (0, 0, 32, 32), "boxed", [(2, 3, 13, 14, 5)], [])])
    Criterion(scales=SCALES)(predictions, batch, seen=16)["total"].backward()
    gradient = predictions.class_weight[0].grad
    # a dog: its own group (cat, dog), the groups above, and neither breeds nor tools
    assert (gradient[[8, 9, 6, 7]] == 0).all()
    assert (gradient[[4, 5, 2, 3, 0, 1]].abs().sum(1) > 0).all()


def test_unknown_names_and_scales_are_refused_with_the_choices():
    with pytest.raises(UserError, match="loss.rule=best is not known; choose one of objectness_ti"):
        Criterion(scales=SCALES, rule="best")
    with pytest.raises(UserError, match="weak_objectness"):
        Criterion(scales={"box": 1.0})
