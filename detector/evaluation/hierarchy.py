"""Are backed-off labels right, and how much do they say?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detector.evaluation.truth import Truths
from wordtree import WordTree

if TYPE_CHECKING:
    from detector.inference.detections import Detections

MATCH_IOU = 0.5


@dataclass(frozen=True)
class BackOff:
    """Counts over all photos, and what follows from them.

    detections, truths: all detections, and truths that are not ignored and have a label.
    matched: pairs of the two (`match`).
    correct: matched detections whose node is the truth's node or an ancestor of it.
    exact: those whose node is the truth's node.
    depth_sum, depth_sum_correct, depth_sum_truth: sums of the depths (0 at the top) of the nodes
        of matched detections, of the correct ones among them, and of matched truths.
    """

    detections: int
    truths: int
    matched: int
    correct: int
    exact: int
    depth_sum: int
    depth_sum_correct: int
    depth_sum_truth: int

    @property
    def correct_share(self) -> float | None:
        """correct / matched; None where nothing matched. `backoff.correct` of report.json."""
        return _ratio(self.correct, self.matched)

    @property
    def exact_share(self) -> float | None:
        """exact / matched; None where nothing matched."""
        return _ratio(self.exact, self.matched)

    @property
    def depth_mean(self) -> float | None:
        """depth_sum / matched; None where nothing matched. `depth.mean` of report.json."""
        return _ratio(self.depth_sum, self.matched)

    @property
    def depth_mean_correct(self) -> float | None:
        """depth_sum_correct / correct; None where nothing was correct."""
        return _ratio(self.depth_sum_correct, self.correct)

    @property
    def depth_mean_truth(self) -> float | None:
        """depth_sum_truth / matched: the depth that exact answers would have had."""
        return _ratio(self.depth_sum_truth, self.matched)


def back_off_quality(tree: WordTree, truths: Truths, detections: Sequence[Detections]) -> BackOff:
    """How right and how deep the labels of detections are, where a truth is there to compare.

    detections: one entry a photo, in the order of the truths' photos. Detections that match no
    truth take no part beyond their count: average precision judges those.
    """
    if len(detections) != len(truths):
        raise ValueError(f"detections of {len(detections)} photos, truths of {len(truths)}")
    countable = ~truths.ignore & (truths.node >= 0)
    said, true = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for photo, found in enumerate(detections):
        here = np.flatnonzero(countable & (truths.image == photo))
        which, truth = match(found.boxes, found.scores, truths.box[here])
        said.append(np.asarray(found.nodes, np.int64)[which])
        true.append(truths.node[here][truth])
    node, truth_node = np.concatenate(said), np.concatenate(true)
    correct = np.asarray(tree.is_ancestor(node, truth_node), bool)
    depth = np.asarray(tree.depth)
    return BackOff(
        detections=sum(len(found) for found in detections),
        truths=int(countable.sum()),
        matched=len(node),
        correct=int(correct.sum()),
        exact=int((node == truth_node).sum()),
        depth_sum=int(depth[node].sum()),
        depth_sum_correct=int(depth[node[correct]].sum()),
        depth_sum_truth=int(depth[truth_node].sum()),
    )


def match(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], truths: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (detection, truth) of one photo, whatever their labels.

    boxes (n, 4), truths (m, 4) xyxy in the same pixels; scores (n,). Detections choose in the
    order of falling score (equal ones in their order); each takes the truth of highest IoU among
    those still free, the first of equal ones, if that IoU is .5 or more.
    """
    overlap = _iou(boxes.astype(np.float64), truths.astype(np.float64))
    pairs: list[tuple[int, int]] = []
    for detection in np.argsort(-scores, kind="stable") if len(truths) else ():
        best = int(overlap[detection].argmax())
        if overlap[detection, best] >= MATCH_IOU:
            pairs.append((int(detection), best))
            overlap[:, best] = -1
    found = np.asarray(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    corner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = corner.clip(0).prod(-1)
    area_a, area_b = ((box[:, 2:] - box[:, :2]).prod(-1) for box in (a, b))
    return shared / (area_a[:, None] + area_b[None, :] - shared)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
