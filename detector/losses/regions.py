"""Which photo a row stands in: the link between rows and the regions of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from data.sample import KINDS, Batch
from detector.predictions import Predictions

BOXED, LABEL_ONLY = KINDS.index("boxed"), KINDS.index("label_only")
PADDING = -1


def row_photos(predictions: Predictions, batch: Batch) -> Tensor:
    """The photo in whose region each row's cell has its centre, int64 (R,); PADDING elsewhere.

    A region owns its left and top edge, so tiles that touch never share a row.
    """
    images, anchors, height, width = predictions.shape
    device = predictions.objectness.device
    x = (torch.arange(width, device=device) + 0.5) * predictions.stride
    y = (torch.arange(height, device=device) + 0.5) * predictions.stride
    left, top, right, bottom = batch.photo_box.unbind(1)
    inside_x = (x >= left[:, None]) & (x < right[:, None])
    inside_y = (y >= top[:, None]) & (y < bottom[:, None])
    photo, cell_y, cell_x = (inside_y[:, :, None] & inside_x[:, None, :]).nonzero(as_tuple=True)
    cells = torch.full((images, 1, height, width), PADDING, dtype=torch.int64, device=device)
    cells[batch.photo_image[photo], 0, cell_y, cell_x] = photo
    return cells.expand(-1, anchors, -1, -1).reshape(-1)


def in_kind(photo_of_row: Tensor, batch: Batch, kind: int) -> Tensor:
    """Which rows stand in a photo of that kind, bool (R,); padding is of none."""
    # PADDING indexes the entry that is appended.
    kinds = torch.cat([batch.photo_kind, batch.photo_kind.new_full((1,), -1)])
    return kinds[photo_of_row] == kind


def best_rows(
    predictions: Predictions, batch: Batch, photos: Tensor, count: int | None
) -> tuple[Tensor, Tensor]:
    """The rows of each photo's region with the greatest objectness, best first.

    photos: int64 (P,). count: how many at most, None for all. Returns rows int64 (P, k) and
    valid bool (P, k): a region may hold fewer rows than k, or none.
    """
    images = predictions.shape[0]
    per_image = len(predictions) // images
    image = batch.photo_image[photos]
    inside = row_photos(predictions, batch).view(images, -1)[image] == photos[:, None]
    objectness = predictions.objectness.detach().view(images, -1)[image]
    scores = objectness.masked_fill(~inside, -torch.inf)
    k = per_image if count is None else min(count, per_image)
    top, order = scores.topk(k, dim=1)
    return image[:, None] * per_image + order, top > -torch.inf
