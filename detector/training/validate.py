"""Runs a network over a validation source: node scores, truths and labelled detections.

Photos are read a batch at a time and let go, so that memory does not grow with their pixels. With
several ranks, each takes every so many batches; rank 0 puts them in order again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from data.images import BrokenPhoto
from data.letterbox import letterbox
from data.sample import Sample
from data.sources import Source
from detector.evaluation.truth import Scored, Truths, evaluated_nodes, truths_of
from detector.inference.candidates import label_candidates, score_nodes
from detector.inference.detections import Detections
from detector.inference.predictor import to_detections
from detector.network.detector import Detector
from detector.training.distributed import ALONE, Interrupted, Ranks
from wordtree import UserError, WordTree

T = TypeVar("T")
ROUND = 8  # batches that a rank works through before it hands them to rank 0


@dataclass(frozen=True)
class Validation:
    """What a network said of a source: node scores for AP, truths, and a Detections a photo.

    samples: the photos that could be read; only the first few of the source have their pixels, the
    image of any other is (H, W, 0). broken: path and reason of those that could not be read; they
    are in none of the others.
    """

    samples: list[Sample]
    scored: Scored
    truths: Truths
    detections: list[Detections]
    broken: list[tuple[str, str]]


@dataclass(frozen=True)
class _Block:
    """What is kept of a batch of photos once the network has seen it.

    scored: of all its photos, whose numbers begin with 0 here; broken: those that were not read.
    """

    samples: list[Sample]
    scored: Scored
    found: list[Detections]
    broken: list[tuple[str, str]]


KNOWN = ("image", "boxes", "nodes", "ignore", "labels", "absent", "exhaustive")
FOUND = ("boxes", "nodes", "scores", "rows")


def _copied(one: T, names: tuple[str, ...]) -> T:
    """A dataclass with the named arrays in memory of their own."""
    arrays = {name: getattr(one, name) for name in names}
    own = {name: array.copy() for name, array in arrays.items() if array is not None}
    return cast(T, replace(cast(Any, one), **own))


class _Kept:
    """What is kept of all blocks, in the order in which they come.

    Small arrays that were made beside the network's large ones lie scattered among them, and what
    is freed round them is not used again: 2.6 MB a photo were measured. So everything is copied
    once the network's arrays are gone, and scores go into a few buffers that grow.
    """

    COLUMNS: ClassVar = {
        "image": np.int64,
        "node": np.int64,
        "score": np.float32,
        "box": np.float32,
    }

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.found: list[Detections] = []
        self.broken: list[tuple[str, str]] = []
        self.buffers = {name: bytearray() for name in self.COLUMNS}

    def add(self, block: _Block, tree: WordTree) -> None:
        """tree: what the detections refer to, also those of another rank, which had its own."""
        scored = replace(block.scored, image=block.scored.image + len(self.samples))
        for name, buffer in self.buffers.items():
            buffer += getattr(scored, name).tobytes()
        self.samples += [_copied(sample, KNOWN) for sample in block.samples]
        self.broken += block.broken
        self.found += [replace(_copied(found, FOUND), tree=tree) for found in block.found]

    def scored(self, nodes: NDArray[np.int64]) -> Scored:
        """The scores of these nodes."""
        image, node, score, box = (
            np.frombuffer(self.buffers[name], kind) for name, kind in self.COLUMNS.items()
        )
        kept = np.isin(node, nodes)
        return Scored(image[kept], node[kept], score[kept], box.reshape(-1, 4)[kept])


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
    pictures: int = 16,
    progress: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Validation | None:
    """Every photo of `source` letterboxed to `image_size`; boxes come back in its own pixels.

    Broken photos are skipped and listed. pictures: so many photos at the beginning of the source
    keep their pixels. progress: called with the number of photos done and that of all.
    ranks: all call this with the same network and source; rank 0 gets the result, the same to the
    bit as one process does, and the others None. Raises UserError where no photo can be read, and
    Interrupted on all ranks where one was asked to stop after the last checkpoint.
    """
    detector.classifier(device)  # made outside of inference mode
    nodes = torch.from_numpy(_nodes_to_score(source, tree)).to(device)

    def see(block: range) -> _Block:
        read, broken = _read(source, block)
        if not read:
            return _Block([], _scored([], [], []), [], broken)
        placed = [letterbox(sample, (image_size, image_size)) for _, sample in read]
        pixels = np.stack([one.image for one, _ in placed]).transpose(0, 3, 1, 2)
        with torch.inference_mode():
            predictions = detector(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))
            scored = [
                [part.cpu().numpy() for part in parts] for parts in score_nodes(predictions, nodes)
            ]
            labelled = label_candidates(
                predictions, detector.tables(device), threshold=threshold, objectness=objectness
            )
        places = [place for _, place in placed]
        return _Block(
            [sample if at < pictures else _without_pixels(sample) for at, sample in read],
            _scored(
                [node for node, _, _ in scored],
                [score for _, score, _ in scored],
                [place.backward(box) for place, (_, _, box) in zip(places, scored, strict=True)],
            ),
            [
                to_detections(one, place, tree, sample.path)
                for one, place, (_, sample) in zip(labelled, places, read, strict=True)
            ],
            broken,
        )

    count = len(source)
    blocks = [range(at, min(at + batch_size, count)) for at in range(0, count, batch_size)]
    kept = _Kept()
    with _evaluating(detector):
        length = 1 if ranks.alone else ROUND * ranks.world
        for start in range(0, len(blocks), length):
            turn = blocks[start : start + length]
            mine: list[_Block] = []
            with ranks.agreeing():
                for block in turn[ranks.rank :: ranks.world]:
                    if ranks.asked:  # all give up below
                        break
                    mine.append(see(block))
                    if progress is not None:
                        progress(block.stop, count)
            if reason := ranks.stop_reason():
                raise Interrupted(reason)
            everyone, mine = ranks.gather(mine), []
            for one in _in_turn(everyone):
                kept.add(one, tree)
    result = None
    with ranks.agreeing():
        if ranks.first:
            result = _joined(kept, source)
    return result


@contextmanager
def _evaluating(detector: Detector) -> Iterator[None]:
    """Evaluation mode for a while; then the mode that was, also where something failed."""
    before = detector.training
    detector.eval()
    try:
        yield
    finally:
        detector.train(before)


def readable(source: Source, most: int) -> list[Sample]:
    """The first `most` photos of a source that can be read."""
    samples: list[Sample] = []
    for index in range(len(source)):
        if len(samples) == most:
            break
        samples += [sample for _, sample in _read(source, [index])[0]]
    return samples


def _read(
    source: Source, indices: Iterable[int]
) -> tuple[list[tuple[int, Sample]], list[tuple[str, str]]]:
    """Photos of a source with their numbers, and path and reason of the broken ones."""
    samples: list[tuple[int, Sample]] = []
    broken: list[tuple[str, str]] = []
    for index in indices:
        try:
            samples.append((index, source.read(index)))
        except BrokenPhoto as error:
            broken.append((error.path, error.reason))
    return samples, broken


def _without_pixels(sample: Sample) -> Sample:
    """The sample with an image of its size and no channel, which takes no memory."""
    return sample.replace(image=np.zeros((*sample.image.shape[:2], 0), np.uint8), masks=None)


def _nodes_to_score(source: Source, tree: WordTree) -> NDArray[np.int64]:
    """Nodes among which all that the source's truths carry are: those it says it has, else all.

    Which of them a truth does carry is known only when every photo was read.
    """
    for name in ("labelled_nodes", "nodes"):
        if hasattr(source, name):
            return np.asarray(getattr(source, name), np.int64)
    return np.arange(len(tree))


def _in_turn(parts: list[list[_Block]]) -> list[_Block]:
    """The ranks' blocks in the order of the photos: rank 0's first, rank 1's first, ..."""
    return [block for turn in zip_longest(*parts) for block in turn if block is not None]


def _scored(nodes: list[Any], scores: list[Any], boxes: list[Any]) -> Scored:
    """Arrays of each photo as those of all, photos numbered in their order."""
    no_boxes = np.zeros((0, 4), np.float32)
    return Scored(
        image=np.repeat(np.arange(len(nodes)), [len(node) for node in nodes]),
        node=np.concatenate([np.zeros(0, np.int64), *nodes]),
        score=np.concatenate([no_boxes[:, 0], *scores]),
        box=np.concatenate([no_boxes, *boxes]),
    )


def _joined(kept: _Kept, source: Source) -> Validation:
    if kept.broken and not kept.samples:
        path, reason = kept.broken[0]
        raise UserError(
            f"{source.name}: none of the {len(kept.broken)} validation photos can be read (the "
            f"first: {path}: {reason}); check the source's folder"
        )
    truths = truths_of(kept.samples)
    scored = kept.scored(evaluated_nodes(truths))
    return Validation(kept.samples, scored, truths, kept.found, kept.broken)
