"""A running average of the weights, which is what a finished run is judged and used by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from detector.weights import load_tensors

Tensors = tuple[Tensor, ...] | list[Tensor]


class WeightAverage:
    """Exponential moving average of a model's parameters and buffers, in their own type (float32:
    autocast leaves parameters as they are).

    decay: of one update; 0 switches the average off, and `module` is the model itself then.
    module: what to evaluate. updates: how many there were.

    Update n (0 first) keeps min(decay, (1 + n) / (10 + n)) of the average, so that a short run
    is not an average of its random start. Integer buffers (batch norm's counters) are copied.
    """

    def __init__(self, model: nn.Module, *, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; it must be at least 0 and below 1")
        self.decay, self.updates = decay, 0
        self._averaged: AveragedModel | None = None
        self.module = model
        if decay:
            self._averaged = AveragedModel(model, multi_avg_fn=self._blend, use_buffers=True)
            self._averaged.requires_grad_(False).eval()
            # AveragedModel copies at its first update where it has seen none; ours blends.
            self._averaged.n_averaged.fill_(1)
            self.module = self._averaged.module

    def update(self, model: nn.Module) -> None:
        """Takes in the weights after an optimiser step."""
        if self._averaged is not None:
            self._averaged.update_parameters(model)
        self.updates += 1

    @torch.no_grad()
    def _blend(self, average: Tensors, current: Tensors, _: Tensor | int) -> None:
        # Called once for the tensors of each type; torch's own count may live on a GPU.
        if average[0].is_floating_point():
            keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
            torch._foreach_lerp_(average, current, 1 - keep)
        else:
            torch._foreach_copy_(average, current)

    def state_dict(self) -> dict[str, Tensor]:
        """name -> tensor, with the names of the model's own `state_dict`."""
        return self.module.state_dict()

    def load_state_dict(
        self, tensors: Mapping[str, Tensor], updates: int, path: str | Path = "the checkpoint"
    ) -> None:
        """Goes on from a saved average. path: for the message where names or shapes differ."""
        if self._averaged is not None:
            load_tensors(self.module, tensors, path)
        self.updates = updates
