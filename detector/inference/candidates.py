"""Rows that inference keeps, and what is read off them: node scores, backed-off labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from detector.predictions import Predictions
from wordtree.probability.decision import back_off
from wordtree.probability.tables import TreeTables


@dataclass(frozen=True)
class Labelled:
    """Backed-off candidates of one image after NMS, best first.

    row: numbers of the image alone; box: xyxy in pixels of the input; node, score;
    log_p: (n, N) log P(node | object), from which paths are read.
    """

    row: Tensor
    box: Tensor
    node: Tensor
    score: Tensor
    log_p: Tensor


def candidates(predictions: Predictions, *, objectness: float, max_candidates: int) -> list[Tensor]:
    """For each image its rows with P(object) above `objectness`, best first, at most so many."""
    images = predictions.shape[0]
    scores = predictions.objectness.detach().view(images, -1).sigmoid()
    count = min(max_candidates, scores.shape[1])
    best, order = scores.topk(count, dim=1)
    base = torch.arange(images, device=order.device)[:, None] * scores.shape[1]
    return [rows[kept] for rows, kept in zip(base + order, best > objectness, strict=True)]


@torch.no_grad()
def label_candidates(
    predictions: Predictions,
    tables: TreeTables,
    *,
    threshold: float = 0.5,
    objectness: float = 0.3,
    nms_iou: float = 0.5,
    max_candidates: int = 300,
    max_detections: int = 100,
) -> list[Labelled]:
    """One label a row, backed off along the tree, then NMS over all labels together.

    threshold: a deeper node must have P(node | object) strictly above it. score = P(object) x
    P(returned node | object). NMS is blind to the labels: a parent's and a child's box on one
    object are one detection.
    """
    per_image = len(predictions) // predictions.shape[0]
    found = []
    for rows in candidates(predictions, objectness=objectness, max_candidates=max_candidates):
        log_p = predictions.classifier.log_p(predictions.class_logits(rows))
        node, node_log_p = back_off(log_p, tables, threshold)
        score = predictions.objectness[rows].sigmoid() * node_log_p.exp()
        box = predictions.boxes[rows].float()
        kept = nms(box, score, nms_iou)[:max_detections]
        found.append(
            Labelled(rows[kept] % per_image, box[kept], node[kept], score[kept], log_p[kept])
        )
    return found


@torch.no_grad()
def score_nodes(
    predictions: Predictions,
    nodes: Tensor,
    *,
    min_score: float = 0.001,
    nms_iou: float = 0.5,
    max_per_node: int = 100,
    max_candidates: int = 300,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For AP: every candidate row scored for every one of `nodes`, whatever label it would get.

    nodes: int64 (E,). Returns, for each image, node (M,), score (M,) = P(object) x P(node |
    object), and box (M, 4) xyxy in pixels of the input, after NMS within each node; scores are at
    least `min_score`, and no node has more than `max_per_node`.
    """
    found = []
    for rows in candidates(predictions, objectness=min_score, max_candidates=max_candidates):
        log_p = predictions.classifier.log_p(predictions.class_logits(rows), nodes)
        score = predictions.objectness[rows].sigmoid()[:, None] * log_p.exp()
        row, column = (score >= min_score).nonzero(as_tuple=True)
        flat, box = score[row, column], predictions.boxes[rows].float()[row]
        kept = batched_nms(box, flat, column, nms_iou)
        kept = kept[_rank_within(column[kept], len(nodes)) < max_per_node]
        found.append((nodes[column[kept]], flat[kept], box[kept]))
    return found


def _rank_within(group: Tensor, groups: int) -> Tensor:
    """How many earlier entries have the same group, (M,)."""
    order = torch.argsort(group, stable=True)
    counts = torch.bincount(group, minlength=groups)
    start = torch.cumsum(counts, 0) - counts
    rank = torch.empty_like(group)
    rank[order] = torch.arange(len(group), device=group.device) - start[group[order]]
    return rank
