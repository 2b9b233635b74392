"""Anchors from a data set's box sizes: k-means with 1 - IoU on centred shapes (YOLO9000, sec. 2).

A plain k-means step (the mean of a cluster) does not lower 1 - IoU; what is published with it
reaches .55 to .60 on VOC 2007 where the paper reports .61. Here the clusters' medians are a
start alone, and every centre is then moved as long as its cluster's mean IoU rises.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordtree.errors import UserError

REFINED = 4  # of the starts: the order after medians is not quite the order after refining

Floats = NDArray[np.float64]


def shape_iou(sizes: Floats, anchors: Floats) -> Floats:
    """IoU of boxes with one centre: (n, 2), (k, 2) widths and heights -> (n, k)."""
    shared = np.minimum.outer(sizes[:, 0], anchors[:, 0])
    shared *= np.minimum.outer(sizes[:, 1], anchors[:, 1])
    return shared / (sizes.prod(1)[:, None] + anchors.prod(1) - shared)


def average_iou(sizes: ArrayLike, anchors: ArrayLike) -> float:
    """Mean over the sizes of the IoU with the best anchor (facts g4; the paper's table 1).

    sizes (n, 2), anchors (k, 2): widths and heights in one unit.
    """
    return float(shape_iou(_sizes(sizes), _sizes(anchors)).max(1).mean())


def kmeans_anchors(sizes: ArrayLike, k: int, *, seed: int, starts: int = 10) -> Floats:
    """The k shapes of the greatest average IoU that are found, (k, 2), by rising area.

    sizes: (n, 2), widths and heights of boxes in the network's input (any one unit; the result
    has it too). starts: seeded k-means++ starts, of which the best few are refined. Scaling all
    sizes scales the result. Raises UserError for sizes that are not above 0, and for fewer
    distinct sizes than anchors.
    """
    boxes = _sizes(sizes)
    distinct = len(np.unique(boxes, axis=0))
    if not 1 <= k <= distinct:
        raise UserError(
            f"{k} anchors were asked of {distinct} distinct box sizes; ask for 1 to {distinct}"
        )
    generator = np.random.default_rng(seed)
    found = [_lloyd(boxes, _plus_plus(boxes, k, generator)) for _ in range(starts)]
    found.sort(key=lambda centres: average_iou(boxes, centres), reverse=True)
    refined = [_refine(boxes, centres) for centres in found[:REFINED]]
    centres = max(refined, key=lambda centres: average_iou(boxes, centres))
    return centres[np.lexsort((centres[:, 0], centres.prod(1)))]


def _sizes(values: ArrayLike) -> Floats:
    sizes = np.asarray(values, dtype=np.float64).reshape(-1, 2)
    wrong = ~(np.isfinite(sizes) & (sizes > 0)).all(1)
    if wrong.any():
        first = int(wrong.argmax())
        raise UserError(
            f"box size {first} is {sizes[first].tolist()} (width, height); leave out boxes whose "
            "sides are not above 0"
        )
    return sizes


def _plus_plus(sizes: Floats, k: int, generator: np.random.Generator) -> Floats:
    """k of the sizes, each drawn with odds (1 - IoU)^2 to those before (k-means++)."""
    chosen = [int(generator.integers(len(sizes)))]
    nearest = shape_iou(sizes, sizes[chosen])[:, 0]
    while len(chosen) < k:
        odds = (1 - nearest).clip(min=0) ** 2
        odds[(sizes[:, None] == sizes[chosen][None]).all(2).any(1)] = 0
        chosen.append(int(generator.choice(len(sizes), p=odds / odds.sum())))
        nearest = np.maximum(nearest, shape_iou(sizes, sizes[chosen[-1:]])[:, 0])
    return sizes[chosen]


def _lloyd(sizes: Floats, centres: Floats, *, rounds: int = 20) -> Floats:
    """Clusters' medians, as long as the average IoU rises."""
    best, before = centres, -1.0
    for _ in range(rounds):
        overlap = shape_iou(sizes, centres)
        now = overlap.max(1).mean()
        if now <= before:
            break
        best, before = centres, now
        owner = overlap.argmax(1)
        centres = centres.copy()
        for cluster in np.unique(owner):
            centres[cluster] = np.median(sizes[owner == cluster], axis=0)
    return best


def _refine(sizes: Floats, centres: Floats, *, smallest: float = 1e-4) -> Floats:
    """Pattern search on log width and log height, all clusters at once; never gets worse."""
    centres = centres.copy()
    k, step = len(centres), 0.25
    width, height = sizes.T
    area = width * height
    directions = np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]])
    while step > smallest:
        overlap = shape_iou(sizes, centres)
        owner = overlap.argmax(1)
        best = np.bincount(owner, overlap.max(1), k)
        moved = False
        for direction in directions:
            trial = centres * np.exp(step * direction)
            shared = np.minimum(width, trial[owner, 0]) * np.minimum(height, trial[owner, 1])
            score = np.bincount(owner, shared / (area + trial.prod(1)[owner] - shared), k)
            better = score > best * (1 + 1e-12)
            centres[better], best[better] = trial[better], score[better]
            moved |= bool(better.any())
        if not moved:
            step /= 2
    return centres
