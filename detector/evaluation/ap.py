"""Average precision over a tree of labels.

Over a tree, "dog" fires on every poodle, and rightly; so a truth counts for its node and for its
ancestors. What exactly is counted:

* E is the set of nodes that at least one truth carries (`truth.evaluated_nodes`).
* A truth counts for its node and for its ancestors in E. It does not count for descendants: where
  the truth says "dog", a detection of "poodle" is a false positive of poodle.
* Average precision of a node is COCO's: IoU .50 to .95 in steps of .05, 101 recall points, greedy
  matching by score, at most 100 detections a photo and node, all areas.
* An ignored truth is a crowd of COCO's for its node and its ancestors in E: a detection of which
  enough lies inside is neither right nor wrong. An object whose label is unknown (node -1) is
  such a region for every node of E.
* A photo is scored in exactly the nodes it is exhaustive for (`truth.scored_pairs`).
* The plain figure, beside, does not expand truths: a truth counts for its own node alone.
* Left out and counted: boxes for nodes outside E, boxes in pairs of photo and node that are not
  scored, scores below .001. A box twice counts twice; the second is a false positive. A box that
  sticks out of the photo is scored as it is; one without an area is a false positive.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import ArrayLike, NDArray

from detector.evaluation.truth import Scored, Truths, check_scored, evaluated_nodes, scored_pairs
from wordtree import WordTree

MAX_DETECTIONS = 100  # COCO's, a photo and node
MIN_SCORE = 0.001
RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's recall points
HALVES = ("all", "boxed", "label_only")

# The evaluator keeps a Python object for each pair of photo and node; more nodes than fit in this
# many pairs are taken in several goes, which changes no figure.
PAIRS_AT_ONCE = 200_000

# A detection without an area would have an IoU of 0 / 0 with a crowd, which evaluators take for a
# match. One pixel far outside every photo hits nothing, as it should.
NOWHERE = (-10.0, -10.0, 1.0, 1.0)


@dataclass(frozen=True)
class AveragePrecision:
    """Figures of K evaluated nodes, in the order of `nodes`.

    nodes: int64 (K,), E ascending; truths: int64 (K,), truths that count for each (expanded).
    boxed: bool (K,), whether the node, or a descendant, had boxes in training.
    ap, ap50: float64 (K,) in 0..1, truths expanded; plain_ap, plain_ap50: not expanded.
    precision: float64 (K, 101), at IoU .5 and the recalls `RECALLS`, truths expanded.
    photos, detections: how many photos there were and how many scored boxes counted.
    left_out: how many scored boxes did not, by reason.
    """

    nodes: NDArray[np.int64]
    truths: NDArray[np.int64]
    boxed: NDArray[np.bool_]
    ap: NDArray[np.float64]
    ap50: NDArray[np.float64]
    plain_ap: NDArray[np.float64]
    plain_ap50: NDArray[np.float64]
    precision: NDArray[np.float64]
    photos: int
    detections: int
    left_out: dict[str, int]

    def half(self, name: str) -> NDArray[np.bool_]:
        """Which nodes are of a half of E, bool (K,): `all`, `boxed`, or `label_only`."""
        return {"all": np.ones_like(self.boxed), "boxed": self.boxed, "label_only": ~self.boxed}[
            name
        ]

    def means(self, figure: str) -> dict[str, float | None]:
        """The mean of `ap`, `ap50`, `plain_ap` or `plain_ap50` over each half, None where a half
        has no node."""
        values = getattr(self, figure)
        return {
            name: float(values[self.half(name)].mean()) if self.half(name).any() else None
            for name in HALVES
        }


def average_precision(
    tree: WordTree, truths: Truths, scored: Scored, *, nodes_boxed: ArrayLike
) -> AveragePrecision:
    """Average precision of every node of E, as the head of this file defines it.

    nodes_boxed: the nodes that boxes carried in training; their ancestors are added here.
    scored: what inference kept, NMS within each node done.
    Raises UserError for scores, boxes, photos or nodes that cannot be.
    """
    check_scored(scored, images=len(truths), nodes=len(tree))
    nodes = evaluated_nodes(truths)
    pairs = scored_pairs(truths, nodes)
    detections, left_out = _detections(scored, nodes, pairs)
    expanded = _expand(tree, truths, nodes, pairs)
    ap, ap50, precision = _coco_figures(truths, len(nodes), expanded, detections)
    plain = _expand(None, truths, nodes, pairs)
    plain_ap, plain_ap50 = ap, ap50
    if len(plain.image) < len(expanded.image):
        plain_ap, plain_ap50, _ = _coco_figures(truths, len(nodes), plain, detections)
    return AveragePrecision(
        nodes=nodes,
        truths=np.bincount(expanded.column[~expanded.crowd], minlength=len(nodes)),
        boxed=np.isin(nodes, _with_ancestors(tree, nodes_boxed)),
        ap=ap,
        ap50=ap50,
        plain_ap=plain_ap,
        plain_ap50=plain_ap50,
        precision=precision,
        photos=len(truths),
        detections=len(detections.image),
        left_out=left_out,
    )


@dataclass(frozen=True)
class _Columns:
    """Boxes of one column of E each: `score` is 0 for truths, `crowd` false for detections."""

    image: NDArray[np.int64]
    column: NDArray[np.int64]
    box: NDArray[np.float64]
    score: NDArray[np.float64]
    crowd: NDArray[np.bool_]


def _with_ancestors(tree: WordTree, nodes: ArrayLike) -> NDArray[np.int64]:
    flat, _ = tree.paths(np.unique(np.asarray(nodes, np.int64)))
    return np.unique(flat)


def _expand(
    tree: WordTree | None, truths: Truths, nodes: NDArray[np.int64], pairs: NDArray[np.bool_]
) -> _Columns:
    """Each truth once for every node of E that it counts for; without a tree, its own alone."""
    column_of = {int(node): column for column, node in enumerate(nodes)}
    columns_of: dict[int, list[int]] = {-1: list(range(len(nodes)))}
    for node in np.unique(truths.node[truths.node >= 0]):
        path = [node] if tree is None else tree.path(int(node))
        columns_of[int(node)] = [column_of[int(n)] for n in path if int(n) in column_of]
    counts = [columns_of[int(node)] for node in truths.node]
    truth = np.repeat(np.arange(len(counts)), [len(columns) for columns in counts])
    column = np.asarray([column for columns in counts for column in columns], np.int64)
    kept = pairs[truths.image[truth], column]
    truth, column = truth[kept], column[kept]
    return _Columns(
        image=truths.image[truth],
        column=column,
        box=truths.box[truth].astype(np.float64),
        score=np.zeros(len(truth)),
        crowd=truths.ignore[truth] | (truths.node[truth] < 0),
    )


def _detections(
    scored: Scored, nodes: NDArray[np.int64], pairs: NDArray[np.bool_]
) -> tuple[_Columns, dict[str, int]]:
    evaluated = np.isin(scored.node, nodes)
    column = np.searchsorted(nodes, scored.node)
    in_pair = np.zeros(len(scored), bool)
    in_pair[evaluated] = pairs[scored.image[evaluated], column[evaluated]]
    enough = scored.score >= np.float32(MIN_SCORE)
    kept = in_pair & enough
    left_out = {
        "node without a truth": int((~evaluated).sum()),
        "photo not exhaustive for the node": int((evaluated & ~in_pair).sum()),
        f"score below {MIN_SCORE}": int((in_pair & ~enough).sum()),
    }
    columns = _Columns(
        image=scored.image[kept],
        column=column[kept],
        box=scored.box[kept].astype(np.float64),
        score=scored.score[kept].astype(np.float64),
        crowd=np.zeros(int(kept.sum()), bool),
    )
    return columns, left_out


def _coco_figures(
    truths: Truths, columns: int, expanded: _Columns, detections: _Columns
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """AP (K,), AP50 (K,) and precision at IOU .5 (K, 101), by faster-coco-eval."""
    ap, ap50 = np.zeros(columns), np.zeros(columns)
    precision = np.zeros((columns, len(RECALLS)))
    step = max(1, PAIRS_AT_ONCE // max(1, len(truths)))
    for start in range(0, columns, step):
        some = range(start, min(start + step, columns))
        truth_set = coco_dataset(truths, expanded, some)
        detection_set = coco_dataset(truths, detections, some)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator = COCOeval_faster(COCO(truth_set), COCO(detection_set), "bbox")
            evaluator.params.maxDets = [MAX_DETECTIONS]
            # "all" ends at 1e10 square pixels in COCO, and what is larger would be ignored.
            evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, np.inf]], ["all"]
            evaluator.evaluate()
            evaluator.accumulate()
        table = np.asarray(evaluator.eval["precision"])[:, :, :, 0, 0]  # (IoU, recall, node)
        ap[some] = table.mean((0, 1))
        ap50[some] = table[0].mean(0)
        precision[some] = table[0].T
    return ap, ap50, precision


def coco_dataset(truths: Truths, columns: _Columns, some: range) -> dict[str, Any]:
    """A COCO data set in memory with the boxes of `some` columns of E; ids start at 1, since 0
    means "not matched" to the evaluators."""
    which = np.flatnonzero((columns.column >= some.start) & (columns.column < some.stop))
    box = np.concatenate(
        [columns.box[which, :2], columns.box[which, 2:] - columns.box[which, :2]], 1
    )
    box[(box[:, 2:] <= 0).any(1)] = NOWHERE
    annotations = [
        {
            "id": number,
            "image_id": image,
            "category_id": column,
            "bbox": bbox,
            "area": bbox[2] * bbox[3],
            "score": score,
            "iscrowd": crowd,
        }
        for number, (image, column, bbox, score, crowd) in enumerate(
            zip(
                columns.image[which].tolist(),
                columns.column[which].tolist(),
                box.tolist(),
                columns.score[which].tolist(),
                columns.crowd[which].astype(int).tolist(),
                strict=True,
            ),
            start=1,
        )
    ]
    return {
        "images": [
            {"id": image, "height": height, "width": width}
            for image, (height, width) in enumerate(truths.sizes.tolist())
        ],
        "categories": [{"id": column, "name": str(column)} for column in some],
        "annotations": annotations,
    }
