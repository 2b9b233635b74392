"""What a predictor says about one photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wordtree import UserError, WordTree

if TYPE_CHECKING:
    import pandas
    import supervision


@dataclass(frozen=True, kw_only=True)
class Detections:
    """The n detections of one photo, best score first.

    tree: the detector's tree, which `nodes` and `paths` index.
    boxes: float32 (n, 4), xyxy in pixels of the original photo.
    nodes: int64 (n,), the backed-off node of each detection.
    scores: float32 (n,), P(object) x P(node | object).
    paths: for each detection its path, top first, as (node, P(node | object)); it ends in its
        node.
    rows: int64 (n,), the rows they come from, as numbered for this photo alone at `input_size`
        (height, width) of the network's input.
    file_name: as the user gave it, empty for an array; original_size: (height, width) in pixels.
    masks: reserved.
    """

    tree: WordTree
    boxes: NDArray[np.float32]
    nodes: NDArray[np.int64]
    scores: NDArray[np.float32]
    paths: Sequence[Sequence[tuple[int, float]]]
    rows: NDArray[np.int64]
    input_size: tuple[int, int]
    original_size: tuple[int, int]
    file_name: str = ""
    masks: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        lengths = {
            name: len(getattr(self, name)) for name in ("boxes", "nodes", "scores", "paths", "rows")
        }
        if len(set(lengths.values())) > 1:
            raise ValueError(f"Detections: columns of different lengths: {lengths}")

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def keys(self) -> list[str]:
        """The keys of `nodes`."""
        return [self.tree.keys[node] for node in self.nodes]

    @property
    def names(self) -> list[str]:
        """The names of `nodes`."""
        return [self.tree.names[node] for node in self.nodes]

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """The records of predictions.json: COCO's results, with the label's key and path.

        `bbox` is x, y, width, height in pixels of the original photo; `category_id` is the node's
        index in the detector's tree.
        """
        corner, size = self.boxes[:, :2], self.boxes[:, 2:] - self.boxes[:, :2]
        return [
            {
                "image_id": image_id,
                "file_name": self.file_name,
                "category_id": int(node),
                "bbox": [float(number) for number in bbox],
                "score": float(score),
                "key": key,
                "path": [[self.tree.keys[step], float(p)] for step, p in path],
            }
            for node, bbox, score, key, path in zip(
                self.nodes,
                np.concatenate([corner, size], 1),
                self.scores,
                self.keys,
                self.paths,
                strict=True,
            )
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """One line a detection: file_name, x1, y1, x2, y2, score, node, key, name, path (the
        names from the top down, joined by " > "). Needs pandas."""
        try:
            import pandas
        except ImportError:
            raise UserError(
                "to_pandas() needs pandas, which is not installed; pip install pandas"
            ) from None
        table = pandas.DataFrame(self.boxes, columns=["x1", "y1", "x2", "y2"])
        table.insert(0, "file_name", self.file_name)
        return table.assign(
            score=self.scores,
            node=self.nodes,
            key=self.keys,
            name=self.names,
            path=[" > ".join(self.tree.names[step] for step, _ in path) for path in self.paths],
        )

    def to_supervision(self) -> supervision.Detections:
        """As supervision's Detections: `class_id` is the node, `data` holds `class_name` and
        `key`. Needs supervision."""
        try:
            import supervision
        except ImportError:
            raise UserError(
                "to_supervision() needs supervision, which is not installed; "
                'pip install "wordtree-detector[supervision]"'
            ) from None
        return supervision.Detections(
            xyxy=self.boxes.astype(np.float32),
            confidence=self.scores.astype(np.float32),
            class_id=self.nodes.astype(np.int64),
            data={"class_name": np.array(self.names, str), "key": np.array(self.keys, str)},
        )

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The original photo, uint8 (H, W, 3) RGB, with boxes, names and scores drawn on a copy."""
        if image.shape[:2] != self.original_size:
            raise UserError(
                f"these detections belong to a photo of {self.original_size[1]} x "
                f"{self.original_size[0]} pixels ({self.file_name or 'an array'}), but the image "
                f"to draw on has {image.shape[1]} x {image.shape[0]}; give the original photo"
            )
        # OpenCV is loaded by who draws, not by who evaluates.
        from data.draw import draw_boxes, node_colour

        texts = [f"{name} {score:.2f}" for name, score in zip(self.names, self.scores, strict=True)]
        return draw_boxes(image, self.boxes, texts, [node_colour(int(n)) for n in self.nodes])
