"""The training loop. It knows steps, losses and callbacks; not reports, files or pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from data.loader import Loader
from data.sample import Batch
from detector.losses import PARTS, Criterion
from detector.network.detector import Detector
from detector.training.distributed import ALONE, Ranks
from detector.training.ema import WeightAverage
from wordtree.errors import UserError


class NonFiniteLoss(Exception):
    """A loss or gradient that is not a number; the weights were not touched.

    batch: the one it came from, on the CPU, so that it can be looked at. Every rank raises it, with
    the same message and batch.
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

    loader: from a position of the stream to this rank's batches, each of batch_size / (ranks x
    accumulate) inputs. learning_rate: from a step (0 first) to the rate. clip: the gradient's
    greatest norm. dtype: of autocast, None for float32. freeze_norm: batch norms keep their
    statistics and normalise by them. ranks: the processes that share each step.

    `position`, the stream's, is step x batch_size; `seen` counts network inputs over all ranks and
    is the same number in one uninterrupted run. `broken` lists the photos of all ranks.
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
        freeze_norm: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        self.detector = detector.to(device).to(memory_format=torch.channels_last)
        self.model = TrainStep(self.detector, criterion).to(device)
        idle = not ranks.alone and _has_idle_layers(self.detector)
        self.wrapped = ranks.wrapped(self.model, unused=idle)
        self.optimizer, self.learning_rate, self.loader = optimizer, learning_rate, loader
        self.steps, self.batch_size, self.accumulate = steps, batch_size, accumulate
        self.average, self.clip, self.device, self.dtype = average, clip, device, dtype
        self.callbacks, self.max_broken = list(callbacks), max_broken
        self.freeze_norm, self.ranks = freeze_norm, ranks
        self.step = 0
        self.seen = 0
        self.broken: list[tuple[str, str]] = []
        self.stop_reason: str | None = None
        self._asked: list[str] = []

    @property
    def position(self) -> int:
        """The stream's position of the next input."""
        return self.step * self.batch_size

    def stop(self, reason: str) -> None:
        """Asks the run, on all ranks, to end after the step under way; reason: a signal's name."""
        self._asked.append(reason)
        if self.ranks.alone:
            self.stop_reason = reason

    def agree_to_stop(self) -> None:
        """What one rank was asked for, all do; all call this at the same place."""
        if not self.ranks.alone:
            self.stop_reason = self.ranks.stop_reason(self._asked)

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
            # Whoever was asked during the end's own work had nobody to tell before.
            self.agree_to_stop()

    def _steps(self) -> None:
        with self.loader(self.position) as loader:
            batches = iter(loader)
            while self.step < self.steps and self.stop_reason is None:
                losses = self._optimiser_step([next(batches) for _ in range(self.accumulate)])
                self.agree_to_stop()
                for callback in self.callbacks:
                    callback.step(self, losses)
                self._check_broken()

    def _optimiser_step(self, batches: Sequence[Batch]) -> dict[str, float]:
        self._training_mode()
        self._set_learning_rate()
        self.seen += self.batch_size
        sums = torch.zeros(len(PARTS) + 1)
        spoilt: tuple[Batch, str] | None = None
        for number, batch in enumerate(batches):
            batch = batch.to(self.device)
            for callback in self.callbacks:
                callback.batch(self, batch)
            values = self._backward(batch, exchange=number == len(batches) - 1)
            if spoilt is None and not torch.isfinite(values).all():
                spoilt = batch, _not_finite(values)
            sums += values
        broken = [photo for batch in batches for photo in batch.broken]
        counts = torch.tensor([float(spoilt is not None), float(len(broken))])
        told = self.ranks.sum(torch.cat([sums, counts]))
        if told[-1]:
            self.broken += [photo for part in self.ranks.gather_all(broken) for photo in part]
        if told[-2]:
            raise self._non_finite("the loss is not finite", spoilt)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        if not torch.isfinite(norm):
            raise self._non_finite(f"the gradient's norm is {float(norm)}", self._culprit(batches))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        _share_norm_statistics(self.detector, self.ranks)
        self.average.update(self.detector)
        self.step += 1
        return dict(zip(("total", *PARTS), told[:-2].tolist(), strict=True))

    def _backward(self, batch: Batch, *, exchange: bool) -> Tensor:
        """Adds a batch's gradients to those that are there; (1 + len(PARTS),) loss values.

        exchange: with the gradients of the other ranks, once all of this rank's are there.
        """
        with self._without_exchange() if not exchange else nullcontext():
            with self._autocast():
                losses = self.wrapped(batch, self.seen)
            # Ranks average gradients; of sums over the step's inputs the sum is wanted.
            (losses["total"] * self.ranks.world).backward()
        return torch.stack([losses[name].detach() for name in ("total", *PARTS)]).cpu()

    def _training_mode(self) -> None:
        self.wrapped.train()
        if self.freeze_norm:
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def _set_learning_rate(self) -> None:
        rate = self.learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def _without_exchange(self) -> AbstractContextManager[Any]:
        if isinstance(self.wrapped, DistributedDataParallel):
            return self.wrapped.no_sync()
        return nullcontext()

    def _check_broken(self) -> None:
        if len(self.broken) > self.max_broken:
            path, reason = self.broken[-1]
            raise TooManyBroken(
                f"{len(self.broken)} photos could not be read (the last: {path}: {reason}), more "
                f"than max_broken={self.max_broken}; mend them, or resume with a higher max_broken"
            )

    def _culprit(self, batches: Sequence[Batch]) -> tuple[Batch, str]:
        """The first of this rank's batches whose own gradient is not finite, else its last one."""
        for batch in batches:
            self.optimizer.zero_grad(set_to_none=True)
            batch = batch.to(self.device)
            self._backward(batch, exchange=False)
            norm = nn.utils.get_total_norm(
                [p.grad for p in self.model.parameters() if p.grad is not None]
            )
            if not torch.isfinite(norm):
                return batch, f"its own is {float(norm)}"
        return batches[-1], ""

    def _non_finite(self, what: str, found: tuple[Batch, str] | None) -> NonFiniteLoss:
        """The same error on all ranks: of the first rank that knows why, else of the first."""
        mine = None if found is None else (found[0].to("cpu"), found[1])
        told = [(rank, one) for rank, one in enumerate(self.ranks.gather_all(mine)) if one]
        rank, (batch, why) = next(((r, one) for r, one in told if one[1]), told[0])
        where = "" if self.ranks.alone else f"on rank {rank}"
        reason = f" ({', '.join(part for part in (where, why) if part)})" if where or why else ""
        return NonFiniteLoss(
            f"{what} at step {self.step + 1}{reason}; photos of the batch: "
            f"{', '.join(batch.photo_path)}.",
            batch,
        )


@torch.no_grad()
def _share_norm_statistics(module: nn.Module, ranks: Ranks) -> None:
    """Batch norms' running means and variances become their means over the ranks.

    Each rank normalises by the statistics of its own inputs; what is kept for evaluation is the
    mean, so that after every step all ranks hold the same network.
    """
    if ranks.alone:
        return
    kept = [
        buffer
        for norm in module.modules()
        if isinstance(norm, _BatchNorm) and norm.training
        for buffer in (norm.running_mean, norm.running_var)
        if buffer is not None
    ]
    if not kept:
        return
    flat = ranks.sum(torch.cat([buffer.flatten() for buffer in kept])) / ranks.world
    parts = flat.split([buffer.numel() for buffer in kept])
    for buffer, mean in zip(kept, parts, strict=True):
        buffer.copy_(mean.view_as(buffer))


def _has_idle_layers(detector: Detector) -> bool:
    """Whether a layer's output goes nowhere: below a neck's level, where `deepest` cuts nothing."""
    both = (*detector.backbone.parameters(), *detector.neck.parameters())
    weights = [one for one in both if one.requires_grad]
    side, training = 2 * max(32, detector.stride), detector.training
    detector.eval()  # batch norms count nothing
    photo = torch.zeros(1, 3, side, side, device=both[0].device)
    features = detector.neck(detector.backbone(photo))
    detector.train(training)
    found = weights and torch.autograd.grad(features.sum(), weights, allow_unused=True)
    return any(gradient is None for gradient in found)


def _not_finite(values: Tensor) -> str:
    return ", ".join(
        f"{name} = {value}"
        for name, value in zip(("total", *PARTS), values.tolist(), strict=True)
        if not torch.isfinite(torch.tensor(value))
    )
