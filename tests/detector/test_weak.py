"""Label-only regions: winners, policies, and what gets a gradient."""

from __future__ import annotations

import pytest
import torch

from detector.boxes import iou
from detector.losses.boxed import cross_entropy, squared_error
from detector.losses.regions import row_photos
from detector.losses.weak import (
    POLICIES,
    RULES,
    largest_confident,
    objectness_alone,
    objectness_times_class,
    weak_class_loss,
    weak_objectness_loss,
)

PHOTOS = [
    (0, (0, 0, 16, 32), "label_only", [], [8]),
    (0, (16, 0, 32, 16), "label_only", [], [4, 7]),
    (0, (16, 16, 32, 32), "boxed", [(17, 17, 30, 30, 5)], []),
    (1, (0, 0, 32, 32), "label_only", [], [1]),
]
LABELS = {0: (0, 8), 1: (1, 4), 2: (1, 7), 3: (3, 1)}


def rows_of(predictions, batch, photo: int) -> list[int]:
    return (row_photos(predictions, batch) == photo).nonzero().squeeze(1).tolist()


def slow_winner(predictions, batch, photo: int, node: int, k: int | None, floor: float) -> int:
    """The paper's rule in a loop: greatest objectness x (P(path) + floor) of a region's rows."""
    rows = rows_of(predictions, batch, photo)
    rows = sorted(rows, key=lambda r: -float(predictions.objectness[r]))[:k]
    log_p = predictions.classifier.log_p(predictions.class_logits(torch.tensor(rows)))
    scores = [
        float(predictions.objectness[row].sigmoid()) * (float(p[node].exp()) + floor)
        for row, p in zip(rows, log_p, strict=True)
    ]
    return rows[scores.index(max(scores))]


@pytest.mark.parametrize("classifier", ["siblings", "flat"])
@pytest.mark.parametrize(("k", "floor"), [(None, 0.0), (4, 0.05)])
def test_the_winner_has_the_greatest_objectness_times_path_probability(
    make_predictions, make_batch, classifier, k, floor
):
    batch = make_batch(PHOTOS, images=2)
    for seed in range(4):
        predictions = make_predictions((2, 3, 4, 4), classifier=classifier, seed=seed)
        label, row, weight = objectness_times_class(predictions, batch, k=k, floor=floor)
        assert label.tolist() == [0, 1, 2, 3]
        assert weight.tolist() == [1, 1, 1, 1]
        expected = [slow_winner(predictions, batch, *LABELS[i], k, floor) for i in range(4)]
        assert row.tolist() == expected


@pytest.mark.parametrize("rule", list(RULES))
def test_winners_stand_in_their_own_region_and_weigh_one_a_label(
    make_predictions, make_batch, rule
):
    batch = make_batch(PHOTOS, images=2)
    predictions = make_predictions((2, 3, 4, 4), centre_range=3.0)
    label, row, weight = RULES[rule](predictions, batch, rows_per_label=3, agree_iou=0.2)
    assert not weight.requires_grad
    owner = row_photos(predictions, batch)
    for index, (photo, _) in LABELS.items():
        assert (owner[row[label == index]] == photo).all()
        assert float(weight[label == index].sum()) == pytest.approx(1)


def test_rows_that_share_a_label_overlap_its_winner(make_predictions, make_batch):
    batch = make_batch([(0, (0, 0, 32, 32), "label_only", [], [4])])
    predictions = make_predictions((1, 3, 4, 4), centre_range=3.0)
    one = objectness_times_class(predictions, batch)
    several = objectness_times_class(predictions, batch, rows_per_label=5, agree_iou=0.1)
    assert one[1][0] == several[1][0]
    assert len(several[1]) > 1
    boxes = predictions.boxes[several[1]]
    assert (iou(boxes[:1], boxes[1:]) > 0.1).all()


def test_objectness_alone_ignores_the_classifier(make_predictions, make_batch):
    batch = make_batch(PHOTOS, images=2)
    predictions = make_predictions((2, 3, 4, 4))
    _, row, _ = objectness_alone(predictions, batch)
    for index, (photo, _) in LABELS.items():
        rows = rows_of(predictions, batch, photo)
        assert int(row[index]) == max(rows, key=lambda r: float(predictions.objectness[r]))


def test_largest_confident_takes_the_largest_of_the_sure_boxes(make_predictions, make_batch):
    batch = make_batch([(0, (0, 0, 32, 32), "label_only", [], [4])])
    predictions = make_predictions((1, 3, 4, 4))
    _, row, _ = largest_confident(predictions, batch, confident=0.8)
    p = predictions.objectness.sigmoid()
    sure = [r for r in range(48) if p[r] >= 0.8 * p.max()]

    def area(r: int) -> float:
        x1, y1, x2, y2 = predictions.boxes[r].tolist()
        return (x2 - x1) * (y2 - y1)

    assert int(row) == max(sure, key=area)


def test_a_region_without_a_row_is_left_out(make_predictions, make_batch):
    batch = make_batch(
        [
            (0, (0, 0, 3, 3), "label_only", [], [4]),
            (0, (8, 8, 32, 32), "label_only", [], [5]),
        ]
    )
    label, _, _ = objectness_times_class(make_predictions((1, 1, 4, 4)), batch)
    assert label.tolist() == [1]


@pytest.mark.parametrize("policy", list(POLICIES))
def test_label_only_photos_teach_class_and_objectness_and_no_box(
    make_predictions, make_batch, policy
):
    batch = make_batch(PHOTOS, images=2)
    predictions = make_predictions((2, 3, 4, 4))
    winners = objectness_times_class(predictions, batch)
    loss = weak_class_loss(predictions, batch, winners)
    loss = loss + weak_objectness_loss(predictions, batch, winners, POLICIES[policy], cross_entropy)
    loss.backward()
    assert predictions.offsets.grad is None
    assert predictions.class_features.grad.abs().sum() > 0


def test_the_weak_class_loss_is_the_weighted_log_probability_of_the_labels(
    make_predictions, make_batch
):
    batch = make_batch(PHOTOS, images=2)
    predictions = make_predictions((2, 3, 4, 4))
    label, row, weight = objectness_times_class(predictions, batch, rows_per_label=3, agree_iou=0.1)
    log_p = predictions.classifier.log_p(predictions.class_logits(row))
    expected = sum(
        -float(w) * float(p[LABELS[int(i)][1]])
        for i, w, p in zip(label, weight, log_p, strict=True)
    )
    found = weak_class_loss(predictions, batch, (label, row, weight))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def touched(predictions, batch, policy: str, loss=cross_entropy) -> dict[int, float]:
    """Rows whose objectness gets a gradient, and its sign and size."""
    winners = objectness_times_class(predictions, batch)
    weak_objectness_loss(predictions, batch, winners, POLICIES[policy], loss).backward()
    gradient = predictions.objectness.grad
    return {r: float(gradient[r]) for r in gradient.nonzero().squeeze(1).tolist()}


def test_policies_differ_in_what_they_push(make_predictions, make_batch):
    batch = make_batch([(0, (0, 0, 16, 32), "label_only", [], [8])])

    def fresh():
        return make_predictions((1, 1, 4, 4), seed=1)

    _, row, _ = objectness_times_class(fresh(), batch)
    winner, low = int(row), float(fresh().objectness[row].sigmoid()) < 0.3
    region = set(rows_of(fresh(), batch, 0))
    ours = touched(fresh(), batch, "winner_is_object")
    assert set(ours) == {winner}
    assert ours[winner] < 0
    assert set(touched(fresh(), batch, "paper")) == ({winner} if low else set())
    head = touched(fresh(), batch, "darknet_head")
    assert set(head) == region - {winner}
    assert all(value > 0 for value in head.values())
    then = touched(fresh(), batch, "darknet_2017")
    assert set(then) == (region if low else region - {winner})


@pytest.mark.parametrize(("logit", "pushed"), [(-2.0, True), (0.0, False)])
def test_the_papers_floor_raises_low_winners_and_leaves_others(
    make_predictions, make_batch, logit, pushed
):
    batch = make_batch([(0, (0, 0, 32, 32), "label_only", [], [8])])
    predictions = make_predictions((1, 1, 4, 4))
    with torch.no_grad():
        predictions.objectness.fill_(logit)
    found = touched(predictions, batch, "paper", squared_error)
    assert bool(found) == pushed
    if pushed:
        p = torch.tensor(logit).sigmoid()
        expected = float((p - 0.3) * p * (1 - p))
        assert next(iter(found.values())) == pytest.approx(expected, rel=1e-5)
