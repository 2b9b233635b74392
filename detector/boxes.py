"""Box arithmetic: formats, overlap, and YOLOv2's coding of a box by its cell and anchor.

Boxes are (..., 4) tensors, `xyxy` (left, top, right, bottom) unless a name says `cxcywh`
(centre, width, height). All results are float32 or wider, whatever the input and autocast: areas
of large photos overflow half precision. A box whose right lies left of its left is empty.
"""

from __future__ import annotations

import torch
from torch import Tensor

# exp(10) is 22,026 times the anchor: no photo is that large, and products of four such sides
# stay finite in float32.
MAX_LOG_SIZE = 10.0
# The nearest that a centre may come to the end of its range, as a fraction of it; its logit is
# +-13.8, where float32's sigmoid still comes back.
CENTRE_MARGIN = 1e-6


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """(..., 4) centre and size -> corners, in the same unit."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """(..., 4) corners -> centre and size, in the same unit."""
    first, last = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(first + last) / 2, last - first], -1)


def box_area(boxes: Tensor) -> Tensor:
    """Areas of xyxy boxes, (...,); 0 for empty ones."""
    return _full(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of all pairs of xyxy boxes: (n, 4), (m, 4) -> (n, m), in 0..1.

    0 where both boxes have no area.
    """
    return paired_iou(a[:, None], b[None])


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of xyxy boxes, pair by pair (shapes broadcast): (...,), in 0..1.

    0, with gradient 0, where both boxes have no area.
    """
    shared, union = _shared_and_union(_full(a), _full(b))
    return _ratio(shared, union)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of xyxy boxes, pair by pair (shapes broadcast): (...,), in -1..1.

    IoU less the share of the smallest enclosing box that neither covers (Rezatofighi et al.,
    CVPR 2019), so that boxes which do not touch still have a gradient towards each other.
    """
    a, b = _full(a), _full(b)
    shared, union = _shared_and_union(a, b)
    first = torch.minimum(a[..., :2], b[..., :2])
    last = torch.maximum(a[..., 2:], b[..., 2:])
    enclosing = (last - first).clamp(min=0).prod(-1)
    return _ratio(shared, union) - _ratio(enclosing - union, enclosing)


def decode(
    offsets: Tensor,
    cell_x: Tensor,
    cell_y: Tensor,
    anchors: Tensor,
    stride: float,
    centre_range: float = 1.0,
) -> Tensor:
    """Raw t_x t_y t_w t_h -> xyxy boxes in pixels of the network's input.

    offsets: (..., 4). cell_x, cell_y: (...,), the cell's column and row. anchors: (..., 2) or
    (2,), width and height in pixels of the input. stride: pixels a cell.
    centre = (cell + .5 + centre_range (sigmoid(t) - .5)) stride, size = anchor exp(t); with
    centre_range 1 this is YOLOv2's rule (section 2), with 3 a box may be centred in any of the
    3 x 3 cells round its own. t_w, t_h beyond +-10 are cut, so that sizes stay finite, above 0.
    """
    offsets = _full(offsets)
    cells = torch.stack([cell_x, cell_y], -1).to(offsets.dtype)
    centre = (cells + 0.5 + centre_range * (offsets[..., :2].sigmoid() - 0.5)) * stride
    half = anchors / 2 * offsets[..., 2:].clamp(-MAX_LOG_SIZE, MAX_LOG_SIZE).exp()
    return torch.cat([centre - half, centre + half], -1)


def encode(
    boxes: Tensor,
    cell_x: Tensor,
    cell_y: Tensor,
    anchors: Tensor,
    stride: float,
    centre_range: float = 1.0,
) -> Tensor:
    """The raw values that `decode` turns into `boxes` (..., 4); its arguments otherwise.

    A centre that the cell cannot reach gives the nearest that it can, a size out of reach the
    largest or smallest: results are always finite.
    """
    boxes = _full(boxes)
    cells = torch.stack([cell_x, cell_y], -1).to(boxes.dtype)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 / stride
    fraction = (centre - cells - 0.5) / centre_range + 0.5
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=torch.finfo(boxes.dtype).tiny)
    log_size = (size / anchors).log().clamp(-MAX_LOG_SIZE, MAX_LOG_SIZE)
    return torch.cat([fraction.logit(CENTRE_MARGIN), log_size], -1)


def _full(values: Tensor) -> Tensor:
    """At least float32; float64 stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _shared_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    first = torch.maximum(a[..., :2], b[..., :2])
    last = torch.minimum(a[..., 2:], b[..., 2:])
    shared = (last - first).clamp(min=0).prod(-1)
    return shared, box_area(a) + box_area(b) - shared


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, and 0 where whole is 0; the inner `where` keeps that gradient from NaN."""
    some = whole > 0
    return torch.where(some, part / torch.where(some, whole, 1.0), 0.0)
