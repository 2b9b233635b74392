"""Where the network looked: Grad-CAM at a detection's own row."""

from detector.explain.grad_cam import grad_cam, row_score
from detector.explain.overlay import Explanation, explain

__all__ = ["Explanation", "explain", "grad_cam", "row_score"]
