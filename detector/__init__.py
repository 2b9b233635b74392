"""The detector: network, losses, training, inference, evaluation, explanation.

`detector.load(RUN)` is the short way to a Predictor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detector.inference.detections import Detections
    from detector.inference.predictor import Predictor

__all__ = ["Detections", "Predictor", "load"]


def __getattr__(name: str) -> Any:
    # Looked up when asked for: evaluation and the losses are used without a predictor.
    if name == "Detections":
        from detector.inference.detections import Detections

        return Detections
    if name in ("Predictor", "load"):
        from detector.inference.predictor import Predictor

        return Predictor if name == "Predictor" else Predictor.from_pretrained
    raise AttributeError(f"module 'detector' has no attribute {name!r}")
