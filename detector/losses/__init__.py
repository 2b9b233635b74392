"""Assignment, the loss of boxed photos, the loss of label-only photos."""

from detector.losses.criterion import PARTS, Criterion

__all__ = ["PARTS", "Criterion"]
