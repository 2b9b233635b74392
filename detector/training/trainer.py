"""The training loop. It knows steps, losses and callbacks; not reports, files or pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from data.loader import Loader
from data.sample import Batch
from detector.losses import PARTS, Criterion
from detector.network.detector import Detector
from detector.training.ema import WeightAverage
from wordtree.errors import UserError


class NonFiniteLoss(Exception):
    """A loss or gradient that is not a number; the weights were not touched.

    batch: the last one that was seen, so that it can be looked at.
    """

    def __init__(self, message: str, batch: Batch) -> None:
        super().__init__(message)
        self.batch = batch


class TooManyBroken(UserError):
    """More photos than max_broken could not be read; the step that met them is whole."""


class Callback(Protocol):
    """What listens to a run. Callbacks are called in their order."""

    def start(self, trainer: Trainer) -> None:
        """Before the first step."""

    def batch(self, trainer: Trainer, batch: Batch) -> None:
        """With every batch, before it is used; it may be on a device."""

    def step(self, trainer: Trainer, losses: dict[str, float]) -> None:
        """After an optimiser step; `trainer.step` counts it already."""

    def end(self, trainer: Trainer) -> None:
        """After the last step, or when a run was asked to stop."""

    def close(self) -> None:
        """Last of all, also where the run failed: what `start` took is given back."""


class TrainStep(nn.Module):
    """Network and criterion as one module, so that whatever wraps a step sees the whole of it."""

    def __init__(self, detector: Detector, criterion: Criterion) -> None:
        super().__init__()
        self.detector, self.criterion = detector, criterion

    def forward(self, batch: Batch, seen: int) -> dict[str, Tensor]:
        """The named losses of one batch."""
        return self.criterion(self.detector(batch.images), batch, seen)


class Trainer:
    """Runs optimiser steps from `step` to `steps`.

    loader: from a position of the stream to its batches of batch_size / accumulate inputs.
    learning_rate: from a step (0 first) to the rate. clip: the gradient's greatest norm.
    dtype: of autocast, None for float32. `position`, the stream's, is step x batch_size; `seen`
    counts network inputs and is the same number in one uninterrupted run.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        criterion: Criterion,
        optimizer: torch.optim.Optimizer,
        learning_rate: Callable[[int], float],
        loader: Callable[[int], Loader],
        steps: int,
        batch_size: int,
        accumulate: int = 1,
        average: WeightAverage,
        clip: float = 10.0,
        device: torch.device,
        dtype: torch.dtype | None = None,
        callbacks: Sequence[Callback] = (),
        max_broken: int = 100,
    ) -> None:
        self.detector = detector.to(device).to(memory_format=torch.channels_last)
        self.model = TrainStep(self.detector, criterion).to(device)
        self.optimizer, self.learning_rate, self.loader = optimizer, learning_rate, loader
        self.steps, self.batch_size, self.accumulate = steps, batch_size, accumulate
        self.average, self.clip, self.device, self.dtype = average, clip, device, dtype
        self.callbacks, self.max_broken = list(callbacks), max_broken
        self.step = 0
        self.seen = 0
        self.broken: list[tuple[str, str]] = []
        self.stop_reason: str | None = None

    @property
    def position(self) -> int:
        """The stream's position of the next input."""
        return self.step * self.batch_size

    def stop(self, reason: str) -> None:
        """Asks the run to end after the step under way."""
        self.stop_reason = reason

    def fit(self) -> None:
        """Trains up to the last step; raises NonFiniteLoss and TooManyBroken."""
        with ExitStack() as opened:
            for callback in self.callbacks:
                opened.callback(callback.close)
                callback.start(self)
            if self.step < self.steps:
                self._steps()
            for callback in self.callbacks:
                callback.end(self)

    def _steps(self) -> None:
        with self.loader(self.position) as loader:
            batches = iter(loader)
            while self.step < self.steps and self.stop_reason is None:
                losses = self._optimiser_step([next(batches) for _ in range(self.accumulate)])
                for callback in self.callbacks:
                    callback.step(self, losses)
                self._check_broken()

    def _optimiser_step(self, batches: Sequence[Batch]) -> dict[str, float]:
        self.model.train()
        self._set_learning_rate()
        self.seen += self.batch_size
        sums = torch.zeros(len(PARTS) + 1)
        for batch in batches:
            self.broken += batch.broken
            batch = batch.to(self.device)
            for callback in self.callbacks:
                callback.batch(self, batch)
            with self._autocast():
                losses = self.model(batch, self.seen)
            values = torch.stack([losses[name].detach() for name in ("total", *PARTS)]).cpu()
            self._check_finite(values, batch)
            losses["total"].backward()
            sums += values
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        if not torch.isfinite(norm):
            raise NonFiniteLoss(
                f"the gradient's norm is {float(norm)} at step {self.step + 1}; photos of the "
                f"batch: {', '.join(batches[-1].photo_path)}.",
                batches[-1],
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.detector)
        self.step += 1
        return dict(zip(("total", *PARTS), sums.tolist(), strict=True))

    def _set_learning_rate(self) -> None:
        rate = self.learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def _check_broken(self) -> None:
        if len(self.broken) > self.max_broken:
            path, reason = self.broken[-1]
            raise TooManyBroken(
                f"{len(self.broken)} photos could not be read (the last: {path}: {reason}), more "
                f"than max_broken={self.max_broken}; mend them, or resume with a higher max_broken"
            )

    def _check_finite(self, values: Tensor, batch: Batch) -> None:
        bad = [
            f"{name} = {value}"
            for name, value in zip(("total", *PARTS), values.tolist(), strict=True)
            if not torch.isfinite(torch.tensor(value))
        ]
        if bad:
            raise NonFiniteLoss(
                f"the loss is not finite at step {self.step + 1} ({', '.join(bad)}); photos of "
                f"the batch: {', '.join(batch.photo_path)}.",
                batch,
            )
