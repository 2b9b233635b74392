"""From a trained network to labelled boxes in a photo's own pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detector.inference.detections import Detections
    from detector.inference.predictor import Predictor

__all__ = ["Detections", "Predictor"]


def __getattr__(name: str) -> Any:
    # Looked up when asked for: evaluation reads Detections without a network.
    if name == "Detections":
        from detector.inference.detections import Detections

        return Detections
    if name == "Predictor":
        from detector.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module 'detector.inference' has no attribute {name!r}")
