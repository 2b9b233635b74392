"""CorLoc: does the best box for a photo's own class lie on an object of it?

Deselaers et al. (2010): of the photos that show a class, the share in which the one box that
scores best for it has an IoU of at least .5 with some true box of the class. It asks only where
the object is, given what it is, and so measures what label-only photos taught about places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.evaluation.truth import Scored, Truths


def corloc_hits(
    truths: Truths, scored: Scored, *, iou: float = 0.5
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(nodes, hits), one entry for each pair of photo and node that a truth carries.

    CorLoc is the mean of `hits`: of all, or of some nodes' entries. Ignored truths and unknown
    labels make no pair. A pair in which nothing was scored is a miss; of boxes with equal scores
    the first counts.
    """
    counted = ~truths.ignore & (truths.node >= 0)
    image, node, box = truths.image[counted], truths.node[counted], truths.box[counted]
    pairs, pair_of = np.unique(np.stack([image, node], 1), axis=0, return_inverse=True)
    pair_of = pair_of.reshape(-1)
    best = _best_boxes(pairs, scored)
    found = best[pair_of]
    overlap = _iou(found, box)
    hit = np.zeros(len(pairs), bool)
    np.logical_or.at(hit, pair_of, overlap >= iou)
    return pairs[:, 1], hit


def _best_boxes(pairs: NDArray[np.int64], scored: Scored) -> NDArray[np.float32]:
    """The best-scored box of each pair (photo, node), nan where there is none."""
    best = np.full((len(pairs), 4), np.nan, np.float32)
    row = {(int(i), int(n)): number for number, (i, n) in enumerate(pairs)}
    for place in np.argsort(-scored.score, kind="stable"):
        number = row.pop((int(scored.image[place]), int(scored.node[place])), None)
        if number is not None:
            best[number] = scored.box[place]
    return best


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """IoU of each pair of boxes (n, 4) xyxy; 0 where a box is nan."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clip(0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    return np.nan_to_num(shared / union)
