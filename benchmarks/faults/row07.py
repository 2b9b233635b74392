"""A loss or a gradient that is not finite, in any part, also in one of several accumulations.

Exit code 3, the part and the photos named, weights and checkpoints untouched, the batch left for
wordtree-show-data; and the run goes on from its last checkpoint.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.faults.tiny_run import TINY, Job, losses
from detector.losses import PARTS
from detector.weights import read_checkpoint
from tools.left_batch import read_left_batch

# The third step of runs of 2 inputs; with accumulate=2 its first and its second half.
SEEN = 6


def run(*, seconds: int) -> str:
    """Every part once, gradients thrice; `seconds` does not matter."""
    del seconds
    cases = 0
    with tempfile.TemporaryDirectory() as place:
        for spoil, given, words, positions in CASES:
            folder = Path(place) / f"run{cases}"
            arguments = [*TINY, "steps=4", "checkpoint_every=2", "workers=0", *given]
            job = Job([*arguments, f"run_dir={folder}"], Path(place) / "log", first=spoil)
            code, said = job.end(120), job.said()
            assert code == 3, f"exit code {code}: {said[-1500:]}"
            assert "Traceback" not in said, said[-3000:]
            errors = [line for line in said.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1, said[-1500:]
            for word in [*words, "at step 3", "emoji:"]:
                assert word in errors[0], f"'{word}' is not in: {errors[0]}"
            batch, reason = read_left_batch(folder / "non_finite_batch.pt")
            assert batch.position.tolist() == positions, batch.position
            assert all(path in errors[0] for path in batch.photo_path), errors[0]
            assert reason in errors[0], f"{reason} is not what was said"
            last = read_checkpoint((folder / "weights/last").resolve())
            assert last.state["step"] == 2 == len(losses(folder))
            assert all(
                torch.isfinite(w).all() for w in last.model.values() if w.is_floating_point()
            )
            if cases == 0:
                again = Job([f"resume={folder}"], Path(place) / "log")
                assert again.end(120) == 0, again.said()
            cases += 1
    return f"{cases} spoilt steps ({len(PARTS)} parts of the loss, {cases - len(PARTS)} gradients)"


class Spoilt(torch.autograd.Function):
    """The loss itself, whose gradient is infinite."""

    @staticmethod
    def forward(_: Any, loss: torch.Tensor) -> torch.Tensor:
        return loss.clone()

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * math.inf


def spoil_part(part: str, value: float) -> None:
    """Criterion.forward gives `value` for one part at the third step."""
    from detector.losses import Criterion

    forward = Criterion.forward

    def spoilt(self: Any, predictions: Any, batch: Any, seen: int) -> Any:
        losses = forward(self, predictions, batch, seen)
        if seen != SEEN:
            return losses
        return {**losses, part: losses[part] * value, "total": losses["total"] * value}

    Criterion.forward = spoilt


def spoil_gradient(position: int) -> None:
    """The batch that begins at this position has finite losses and an infinite gradient."""
    from detector.losses import Criterion

    forward = Criterion.forward

    def spoilt(self: Any, predictions: Any, batch: Any, seen: int) -> Any:
        losses = forward(self, predictions, batch, seen)
        if batch.position[0] != position:
            return losses
        return {**losses, "total": Spoilt.apply(losses["total"])}

    Criterion.forward = spoilt


Case = tuple[Callable[[], None], list[str], list[str], list[int]]
CASES: list[Case] = [
    *[
        (
            partial(spoil_part, part, (math.nan, math.inf, -math.inf)[number % 3]),
            [],
            [f"{part} = ", "the loss is not finite"],
            [4, 5],
        )
        for number, part in enumerate(PARTS)
    ],
    (partial(spoil_gradient, 4), [], ["gradient's norm is"], [4, 5]),
    (partial(spoil_gradient, 4), ["accumulate=2"], ["gradient's norm is"], [4]),
    (partial(spoil_gradient, 5), ["accumulate=2"], ["gradient's norm is"], [5]),
]
