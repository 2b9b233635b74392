"""A run's weights: checkpoint folders and what is rebuilt from them.

RUN/weights/step-N/   model.safetensors ema.safetensors optimizer.pt state.json MANIFEST.sha256
RUN/weights/last, best   relative symbolic links to such folders
"""

from detector.weights.layout import find_checkpoint, verify
from detector.weights.reading import Checkpoint, read_checkpoint
from detector.weights.rebuilding import check_fit, load_detector, load_tensors
from detector.weights.writing import point, prune, write_checkpoint

__all__ = [
    "Checkpoint",
    "check_fit",
    "find_checkpoint",
    "load_detector",
    "load_tensors",
    "point",
    "prune",
    "read_checkpoint",
    "verify",
    "write_checkpoint",
]
