"""Which rows owe which truth."""

from __future__ import annotations

import math

import pytest
import torch

from detector.boxes import iou
from detector.losses.assignment import ASSIGNMENTS, best_shape, nearest_cells
from detector.losses.regions import row_photos

TRUTHS = [(2, 3, 13, 14, 4), (20, 18, 31, 30, 7), (1, 2, 12, 15, 5)]


def slow_nearest_cells(predictions, batch, cost: float = 0.15, most: int = 3):
    """All (score, row, truth) triples in loops, best first; a row goes to the first that asks."""
    owner = row_photos(predictions, batch)
    wanted = []
    for truth, box in enumerate(batch.truth_box):
        centre = ((box[:2] + box[2:]) / 2 / predictions.stride).tolist()
        mine = []
        for row in range(len(predictions)):
            image, _, y, x = (int(v) for v in predictions.locate(torch.tensor([row])))
            photo = int(batch.truth_photo[truth])
            near = abs(x - math.floor(centre[0])) <= 1 and abs(y - math.floor(centre[1])) <= 1
            if not near or image != int(batch.photo_image[photo]) or int(owner[row]) != photo:
                continue
            overlap = float(iou(predictions.boxes[row : row + 1].detach(), box[None]))
            squared = (x + 0.5 - centre[0]) ** 2 + (y + 0.5 - centre[1]) ** 2
            mine.append((overlap - cost * squared, row, truth))
        wanted += sorted(mine, reverse=True)[:most]
    taken = {}
    for _, row, truth in sorted(wanted, reverse=True):
        taken.setdefault(row, truth)
    return taken


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (1, 3, 4, 4)])
def test_nearest_cells_equals_its_slow_twin(make_predictions, make_batch, shape):
    for seed in range(5):
        predictions = make_predictions(shape, seed=seed)
        batch = make_batch([(0, (0, 0, 32, 32), "boxed", TRUTHS, [])])
        found = nearest_cells(predictions, batch, row_photos(predictions, batch))
        expected = slow_nearest_cells(predictions, batch)
        assert dict(zip(found.row.tolist(), found.truth.tolist(), strict=True)) == expected
        assert found.missed == len(TRUTHS) - len(set(expected.values()))


def test_a_truth_at_a_tile_edge_never_takes_rows_of_the_next_photo(make_predictions, make_batch):
    predictions = make_predictions((1, 1, 4, 4))
    batch = make_batch(
        [
            (0, (0, 0, 16, 32), "boxed", [(6, 10, 16, 20, 4)], []),
            (0, (16, 0, 32, 32), "label_only", [], [7]),
        ]
    )
    found = nearest_cells(predictions, batch, row_photos(predictions, batch))
    assert len(found.row) > 0
    assert (row_photos(predictions, batch)[found.row] == 0).all()


def test_best_shape_takes_the_centre_cell_and_the_anchor_of_like_shape(
    make_predictions, make_batch
):
    predictions = make_predictions((1, 3, 4, 4))
    # anchors are 12 x 12, 24 x 16 and 8 x 20
    batch = make_batch([(0, (0, 0, 32, 32), "boxed", [(4, 4, 26, 20, 4), (18, 6, 26, 27, 5)], [])])
    found = best_shape(predictions, batch, row_photos(predictions, batch))
    places = {
        int(t): tuple(int(v) for v in predictions.locate(r[None]))
        for t, r in zip(found.truth, found.row, strict=True)
    }
    assert places == {0: (0, 1, 1, 1), 1: (0, 2, 2, 2)}


def test_of_two_truths_at_one_place_darknet_keeps_the_later_and_the_other_is_counted(
    make_predictions, make_batch
):
    predictions = make_predictions((1, 1, 4, 4))
    batch = make_batch([(0, (0, 0, 32, 32), "boxed", [(2, 2, 12, 12, 4), (3, 3, 12, 12, 5)], [])])
    found = best_shape(predictions, batch, row_photos(predictions, batch))
    assert found.truth.tolist() == [1]
    assert found.missed == 1


@pytest.mark.parametrize("name", list(ASSIGNMENTS))
def test_five_hundred_truths_and_odd_sizes_are_served_or_counted(
    make_predictions, make_batch, name
):
    generator = torch.Generator().manual_seed(3)
    corner = torch.rand(500, 2, generator=generator) * 31
    truths = [(x, y, x + 0.5, y + 0.5, 4) for x, y in corner.tolist()]
    truths += [(0, 0, 32, 32, 5), (31, 31, 32, 32, 6)]
    predictions = make_predictions((1, 1, 4, 4))
    batch = make_batch([(0, (0, 0, 32, 32), "boxed", truths, [])])
    found = ASSIGNMENTS[name](predictions, batch, row_photos(predictions, batch))
    assert len(found.row.unique()) == len(found.row) <= 16
    assert len(found.truth.unique()) + found.missed == len(truths)


def test_ignored_and_label_only_truths_are_not_assigned(make_predictions, make_batch):
    predictions = make_predictions((1, 1, 4, 4))
    batch = make_batch([(0, (0, 0, 32, 32), "boxed", [(2, 2, 12, 12, 4, True)], [])])
    for assign in ASSIGNMENTS.values():
        assert len(assign(predictions, batch, row_photos(predictions, batch)).row) == 0
