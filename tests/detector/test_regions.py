"""Rows and the regions they stand in."""

from __future__ import annotations

import torch

from detector.losses.regions import PADDING, best_rows, row_photos


def slow_row_photo(predictions, batch, row: int) -> int:
    image, _, y, x = (int(v) for v in predictions.locate(torch.tensor([row])))
    centre_x, centre_y = (x + 0.5) * predictions.stride, (y + 0.5) * predictions.stride
    for photo, (left, top, right, bottom) in enumerate(batch.photo_box.tolist()):
        here = left <= centre_x < right and top <= centre_y < bottom
        if here and int(batch.photo_image[photo]) == image:
            return photo
    return PADDING


PHOTOS = [
    (0, (0, 0, 16, 32), "boxed", [], []),
    (0, (16, 0, 32, 16), "label_only", [], [4]),
    (1, (0, 0, 32, 24), "label_only", [], [4]),
]


def test_a_row_stands_where_its_cell_has_its_centre(make_predictions, make_batch):
    predictions = make_predictions((2, 3, 4, 4))
    batch = make_batch(PHOTOS, images=2)
    expected = [slow_row_photo(predictions, batch, row) for row in range(len(predictions))]
    assert row_photos(predictions, batch).tolist() == expected
    assert PADDING in expected


def test_a_centre_on_a_shared_edge_belongs_to_the_right_and_lower_tile(
    make_predictions, make_batch
):
    predictions = make_predictions((1, 1, 4, 4))
    batch = make_batch(
        [(0, (0, 0, 12, 32), "boxed", [], []), (0, (12, 0, 32, 32), "boxed", [], [])]
    )
    assert row_photos(predictions, batch).view(4, 4)[0].tolist() == [0, 1, 1, 1]


def test_best_rows_are_the_most_object_like_of_their_own_region(make_predictions, make_batch):
    predictions = make_predictions((2, 3, 4, 4))
    batch = make_batch(PHOTOS, images=2)
    rows, valid = best_rows(predictions, batch, torch.tensor([1, 2]), 20)
    owner = row_photos(predictions, batch)
    for photo, mine, good in zip((1, 2), rows, valid, strict=True):
        inside = (owner == photo).nonzero().squeeze(1)
        order = predictions.objectness[inside].argsort(descending=True)
        assert mine[good].tolist() == inside[order][:20].tolist()
    # 2 x 2 cells and 3 anchors: fewer rows than were asked for
    assert valid[0].sum() == 12
    assert valid[1].sum() == 20
