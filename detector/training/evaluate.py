"""Evaluation during and after a run: figures, pictures, and which checkpoint is best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.draw import contact_sheet, draw_boxes, node_colour, write_jpeg
from data.sources import Source
from detector.evaluation.ap import AveragePrecision, average_precision
from detector.evaluation.hierarchy import BackOff, back_off_quality
from detector.evaluation.plots import plot_pr_curve
from detector.network.detector import Detector
from detector.training.distributed import ALONE, Ranks
from detector.training.validate import Validation, validate
from wordtree import WordTree

PICTURE_SIDE = 384  # pixels that a photo's longer side has on a contact sheet


@dataclass(frozen=True)
class Evaluation:
    """The figures of one evaluation, and what they were computed from."""

    ap: AveragePrecision
    back_off: BackOff
    validation: Validation

    @property
    def headline(self) -> dict[str, float]:
        """ap50.all and its halves, those that exist, by the names that logs use."""
        return {
            f"ap50.{name}": value
            for name, value in self.ap.means("ap50").items()
            if value is not None
        }


def evaluate(
    detector: Detector,
    tree: WordTree,
    source: Source,
    *,
    nodes_boxed: NDArray[np.int64],
    image_size: int,
    device: torch.device,
    threshold: float,
    objectness: float,
    progress: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Evaluation | None:
    """Average precision and the quality of backed-off labels on a boxed source.

    nodes_boxed: the nodes that boxes carried in training. progress, ranks: as for `validate`; rank
    0 gets the figures, the others None.
    """
    validation = validate(
        detector,
        tree,
        source,
        image_size=image_size,
        device=device,
        threshold=threshold,
        objectness=objectness,
        progress=progress,
        ranks=ranks,
    )
    if validation is None:
        return None
    return Evaluation(
        ap=average_precision(tree, validation.truths, validation.scored, nodes_boxed=nodes_boxed),
        back_off=back_off_quality(tree, validation.truths, validation.detections),
        validation=validation,
    )


def write_pictures(folder: Path, evaluation: Evaluation, tree: WordTree) -> None:
    """`val_batch*.jpg`, the first photos with truth beside prediction, and `pr_curve.png`."""
    pairs = [
        (sample, found)
        for sample, found in zip(
            evaluation.validation.samples, evaluation.validation.detections, strict=True
        )
        if sample.image.size  # only the first photos keep their pixels
    ]
    for number, start in enumerate(range(0, min(len(pairs), 16), 8)):
        tiles = []
        for sample, found in pairs[start : start + 8]:
            enlarge = max(1, round(PICTURE_SIDE / max(sample.image.shape[:2])))
            truths = [
                "ignored" if ignored else tree.names[node] if node >= 0 else "object"
                for node, ignored in zip(sample.nodes, sample.ignore, strict=True)
            ]
            texts = [
                f"{name} {score:.2f}" for name, score in zip(found.names, found.scores, strict=True)
            ]
            colours = [node_colour(int(node)) for node in sample.nodes]
            tiles.append(draw_boxes(sample.image, sample.boxes, truths, colours, enlarge=enlarge))
            colours = [node_colour(int(node)) for node in found.nodes]
            tiles.append(draw_boxes(sample.image, found.boxes, texts, colours, enlarge=enlarge))
        write_jpeg(folder / f"val_batch{number}.jpg", contact_sheet(tiles, columns=4))
    plot_pr_curve(folder / "pr_curve.png", evaluation.ap)
