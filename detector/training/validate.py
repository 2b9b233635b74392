"""Runs a network over a validation source: node scores, truths and labelled detections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from data.images import BrokenPhoto
from data.letterbox import letterbox
from data.sample import Sample
from data.sources import Source
from detector.evaluation.truth import Scored, Truths, evaluated_nodes, truths_of
from detector.inference.candidates import label_candidates, score_nodes
from detector.inference.detections import Detections
from detector.inference.predictor import to_detections
from detector.network.detector import Detector
from wordtree import UserError, WordTree


@dataclass(frozen=True)
class Validation:
    """What a network said of a source: node scores for AP, truths, and a Detections a photo.

    broken: path and reason of photos that could not be read; they are in none of the others.
    """

    samples: list[Sample]
    scored: Scored
    truths: Truths
    detections: list[Detections]
    broken: list[tuple[str, str]]


@torch.inference_mode()
def validate(
    detector: Detector,
    tree: WordTree,
    source: Source,
    *,
    image_size: int,
    device: torch.device,
    threshold: float,
    objectness: float,
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Every photo of `source` letterboxed to `image_size`; boxes come back in its own pixels.

    Broken photos are skipped and listed. Raises UserError where no photo can be read.
    """
    samples, broken = readable(source)
    truths = truths_of(samples)
    nodes = torch.from_numpy(evaluated_nodes(truths)).to(device)
    tables = detector.tables(device)
    scored: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []
    detections: list[Detections] = []
    with _evaluating(detector):
        for start in range(0, len(samples), batch_size):
            placed = [letterbox(s, (image_size, image_size)) for s in samples[start:][:batch_size]]
            pixels = np.stack([one.image for one, _ in placed]).transpose(0, 3, 1, 2)
            predictions = detector(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))
            for offset, found in enumerate(score_nodes(predictions, nodes)):
                node, score, box = (part.cpu().numpy() for part in found)
                scored.append((start + offset, node, score, placed[offset][1].backward(box)))
            labelled = label_candidates(
                predictions, tables, threshold=threshold, objectness=objectness
            )
            for one, (sample, place) in zip(labelled, placed, strict=True):
                detections.append(to_detections(one, place, tree, sample.path))
            if progress is not None:
                progress(min(start + batch_size, len(samples)), len(samples))
    return Validation(samples, _join(scored), truths, detections, broken)


@contextmanager
def _evaluating(detector: Detector) -> Iterator[None]:
    """Evaluation mode for a while; then the mode that was, also where something failed."""
    before = detector.training
    detector.eval()
    try:
        yield
    finally:
        detector.train(before)


def readable(source: Source, most: int | None = None) -> tuple[list[Sample], list[tuple[str, str]]]:
    """The photos of a source that can be read, the first `most` of them, and the broken ones met
    on the way. Raises UserError where none can be read."""
    samples: list[Sample] = []
    broken: list[tuple[str, str]] = []
    for index in range(len(source)):
        if len(samples) == most:
            break
        try:
            samples.append(source.read(index))
        except BrokenPhoto as error:
            broken.append((error.path, error.reason))
    if broken and not samples:
        path, reason = broken[0]
        raise UserError(
            f"{source.name}: none of the {len(broken)} validation photos can be read (the first: "
            f"{path}: {reason}); check the source's folder"
        )
    return samples, broken


def _join(found: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]) -> Scored:
    return Scored(
        image=np.concatenate(
            [np.zeros(0, np.int64), *[np.full(len(n), i) for i, n, _, _ in found]]
        ),
        node=np.concatenate([np.zeros(0, np.int64), *[n for _, n, _, _ in found]]),
        score=np.concatenate([np.zeros(0, np.float32), *[s for _, _, s, _ in found]]),
        box=np.concatenate([np.zeros((0, 4), np.float32), *[b for _, _, _, b in found]]),
    )
