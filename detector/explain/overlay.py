"""Grad-CAM maps laid over the photo they explain."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from data.draw import draw_boxes
from data.letterbox import Letterbox
from detector.explain.grad_cam import grad_cam
from detector.inference.detections import Detections
from detector.inference.predictor import Predictor


@dataclass(frozen=True)
class Explanation:
    """One explained detection: the picture, the node, its text, and the map in the photo's pixels
    (float32 in [0, 1])."""

    overlay: NDArray[np.uint8]
    node: int
    text: str
    heat: NDArray[np.float32]


def explain(
    predictor: Predictor,
    image: NDArray[np.uint8],
    detections: Detections,
    *,
    node: int | None = None,
    layer: str = "neck",
    most: int = 8,
    enlarge: int = 1,
) -> list[Explanation]:
    """A Grad-CAM overlay for each of the best `most` detections of a photo.

    image: uint8 (H, W, 3) RGB. node: explain this node instead of the one that was returned.
    enlarge: the overlay is so many times as large as the photo; the map is not.
    """
    pixels, box = predictor.input(image)
    batch = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    batch = batch.to(predictor.device)
    found = []
    for index in range(min(most, len(detections))):
        wanted = int(detections.nodes[index]) if node is None else node
        heat = grad_cam(predictor.detector, batch, int(detections.rows[index]), wanted, layer=layer)
        heat_photo = to_photo(heat.cpu().numpy(), box)
        text = predictor.tree.names[wanted]
        if node is None:
            text = f"{text} {detections.scores[index]:.2f}"
        overlay = draw_boxes(
            blend(image, heat_photo),
            detections.boxes[index : index + 1],
            [text],
            enlarge=enlarge,
        )
        found.append(Explanation(overlay, wanted, text, heat_photo))
    return found


def to_photo(heat: NDArray[np.float32], box: Letterbox) -> NDArray[np.float32]:
    """A map over the network's input -> a map over the photo, its greatest value 1 (or all 0)."""
    height, width = box.size
    whole = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    left, top, right, bottom = (round(float(v)) for v in box.region)
    inside = whole[top : max(bottom, top + 1), left : max(right, left + 1)]
    rows, columns = box.original_size
    photo = np.asarray(
        cv2.resize(inside, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32
    )
    peak = float(photo.max())
    return photo / peak if peak > 0 else photo


def blend(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The photo, darkened, with the map in colour; where the map is 0 only the photo shows."""
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    weight = 0.6 * heat[..., None]
    mixed = image * (0.75 * (1 - weight)) + colours * weight
    return np.clip(mixed, 0, 255).astype(np.uint8)
