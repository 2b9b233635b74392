"""Weights & Biases (extra `wandb`). WANDB_MODE=offline keeps everything below the run folder."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class WandbLogger:
    """A resumed run goes on in the same W&B run, whose id stands in `wandb_id.txt`."""

    def __init__(self, folder: Path, *, title: str, config: Mapping[str, Any]) -> None:
        import wandb

        kept = folder / "wandb_id.txt"
        if not kept.is_file():
            kept.write_text(uuid.uuid4().hex[:12] + "\n")
        self._picture = wandb.Image
        start = {"name": title, "id": kept.read_text().strip(), "config": dict(config)}
        self._run = wandb.init(
            project="wordtree-detector", dir=str(folder), resume="allow", **start
        )
        # Its own count of steps never goes back, and ours does where a run resumes.
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def image(self, step: int, name: str, array: NDArray[np.uint8]) -> None:
        self._run.log({"step": step, name: self._picture(array)})

    def close(self) -> None:
        self._run.finish()
