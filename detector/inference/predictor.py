"""Photos in, Detections out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.images import read_image
from data.letterbox import Letterbox, letterbox
from data.sample import Sample
from detector.inference.candidates import Labelled, label_candidates
from detector.inference.detections import Detections
from detector.network.detector import Detector
from detector.weights import load_detector
from wordtree import WordTree

Image = str | Path | NDArray[np.uint8]


class Predictor:
    """A trained detector with its tree, ready for photos.

    image_size: the side of the network's square input, pixels. threshold: back-off compares
    P(node | object) with it. objectness: rows at or below it are not candidates.
    """

    def __init__(
        self,
        detector: Detector,
        tree: WordTree,
        *,
        image_size: int,
        threshold: float = 0.5,
        objectness: float = 0.3,
        device: torch.device | str = "cpu",
        batch_size: int = 8,
    ) -> None:
        self.device = torch.device(device)
        self.detector = detector.to(self.device).eval()
        # Made here: tables that are made in inference mode would refuse Grad-CAM's backward pass.
        self.detector.classifier(self.device)
        self.tree, self.image_size, self.batch_size = tree, image_size, batch_size
        self.threshold, self.objectness = threshold, objectness

    @classmethod
    def from_pretrained(
        cls,
        run: str | Path,
        *,
        device: torch.device | str = "cpu",
        threshold: float | None = None,
        objectness: float | None = None,
    ) -> Predictor:
        """From a run folder (its `best` checkpoint, `last` where nothing was evaluated), or from
        RUN/weights/X; thresholds default to those of the run."""
        detector, tree, state = load_detector(run, device=device)
        thresholds = state["thresholds"]
        return cls(
            detector,
            tree,
            image_size=state["image_size"],
            threshold=thresholds["back_off"] if threshold is None else threshold,
            objectness=thresholds["objectness"] if objectness is None else objectness,
            device=device,
        )

    def predict(self, images: Image | Iterable[Image]) -> list[Detections]:
        """Detections of each image: a path, or uint8 (H, W, 3) RGB; one image or several."""
        if isinstance(images, str | Path | np.ndarray):
            images = [images]
        return list(self.stream(images))

    def stream(self, images: Iterable[Image]) -> Iterator[Detections]:
        """As `predict`, one by one, holding no more than a batch of photos."""
        waiting: list[Image] = []
        for image in images:
            waiting.append(image)
            if len(waiting) == self.batch_size:
                yield from self._batch(waiting)
                waiting = []
        if waiting:
            yield from self._batch(waiting)

    def input(self, image: Image) -> tuple[NDArray[np.uint8], Letterbox]:
        """The network's input (S, S, 3) for a photo, and the way back."""
        pixels = image if isinstance(image, np.ndarray) else read_image(image)
        size = (self.image_size, self.image_size)
        placed, box = letterbox(Sample(pixels, "background"), size)
        return placed.image, box

    def best_candidate(self, image: Image) -> Detections:
        """The single row with the greatest objectness, whatever the thresholds say."""
        return self._batch([image], objectness=-1.0, max_candidates=1)[0]

    def _batch(
        self,
        images: Sequence[Image],
        *,
        objectness: float | None = None,
        max_candidates: int = 300,
    ) -> list[Detections]:
        placed = [self.input(image) for image in images]
        pixels = np.stack([one for one, _ in placed]).transpose(0, 3, 1, 2)
        batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
        with torch.inference_mode():
            found = label_candidates(
                self.detector(batch),
                self.detector.tables(self.device),
                threshold=self.threshold,
                objectness=self.objectness if objectness is None else objectness,
                max_candidates=max_candidates,
            )
        return [
            to_detections(one, box, self.tree, "" if isinstance(image, np.ndarray) else str(image))
            for one, (_, box), image in zip(found, placed, images, strict=True)
        ]


def to_detections(found: Labelled, box: Letterbox, tree: WordTree, file_name: str) -> Detections:
    """Candidates in the input's pixels -> Detections in the photo's own."""
    nodes = found.node.cpu().numpy()
    probabilities = found.log_p.exp().cpu().numpy()
    return Detections(
        tree=tree,
        boxes=box.backward(found.box.cpu().numpy()),
        nodes=nodes,
        scores=found.score.cpu().numpy(),
        paths=[
            [(int(n), float(p[n])) for n in tree.path(int(node))]
            for node, p in zip(nodes, probabilities, strict=True)
        ],
        rows=found.row.cpu().numpy(),
        input_size=box.size,
        file_name=file_name,
        original_size=box.original_size,
    )
