"""Exact resume: what comes after a restored checkpoint equals the uninterrupted run."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from detector.training.checkpoint import (
    random_states,
    restore_checkpoint,
    save_checkpoint,
    set_random_states,
)
from detector.training.ema import WeightAverage
from detector.training.optimizer import make_optimizer
from detector.training.schedule import learning_rate
from detector.weights.manifest import FILES
from wordtree import UserError

STEPS = 20


class Run:
    """A tiny training that asks torch, numpy and Python for random numbers at every step."""

    def __init__(self, name: str, *, seed: int = 0, decay: float = 0.9) -> None:
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        self.model = nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(144, 2),
        ).to(memory_format=torch.channels_last)
        self.average = WeightAverage(self.model, decay=decay)
        self.optimizer = make_optimizer(self.model, name=name, weight_decay=0.01)
        self.step = 0
        self.losses: list[float] = []

    def train(self, until: int) -> None:
        while self.step < until:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.step, STEPS, rate=0.05, warmup=5)
            shift = random.gauss(0, 1) + np.random.standard_normal()
            loss = (self.model(torch.randn(4, 3, 8, 8) + shift) ** 2).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.average.update(self.model)
            self.losses.append(loss.item())
            self.step += 1

    def save(self, weights: Path) -> Path:
        return save_checkpoint(
            weights,
            self.step,
            seen=self.step * 4,
            position=self.step * 4,
            model=self.model,
            average=self.average,
            optimizer=self.optimizer,
            state={"precision": "float32"},
        )

    def restore(self, folder: Path) -> dict:
        state = restore_checkpoint(
            folder, model=self.model, average=self.average, optimizer=self.optimizer
        )
        self.step = state["step"]
        return state


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("stop", [1, 10, 13])
def test_a_resumed_run_equals_the_uninterrupted_one_to_the_last_bit(
    tmp_path: Path, name: str, stop: int
) -> None:
    whole = Run(name)
    whole.train(STEPS)
    expected = whole.save(tmp_path / "whole")

    first = Run(name)
    first.train(stop)
    folder = first.save(tmp_path / "weights")
    second = Run(name, seed=99)
    state = second.restore(folder)
    assert state == {
        "step": stop,
        "seen": stop * 4,
        "position": stop * 4,
        "precision": "float32",
    }
    second.train(STEPS)
    assert second.losses == whole.losses[stop:]
    found = second.save(tmp_path / "weights")
    for file in FILES:
        assert (found / file).read_bytes() == (expected / file).read_bytes(), file


def test_writing_a_checkpoint_changes_nothing_of_what_follows(tmp_path: Path) -> None:
    plain, saving = Run("adamw"), Run("adamw")
    plain.train(8)
    saving = Run("adamw")
    for step in range(1, 9):
        saving.train(step)
        saving.save(tmp_path)
    assert saving.losses == plain.losses
    assert {p.name for p in tmp_path.iterdir()} == {"step-7", "step-8", "last"}


def test_a_run_without_average_resumes_too(tmp_path: Path) -> None:
    whole = Run("sgd", decay=0)
    whole.train(4)
    folder = whole.save(tmp_path)
    whole.train(8)
    second = Run("sgd", seed=5, decay=0)
    second.restore(folder)
    second.train(8)
    assert second.losses == whole.losses[4:]
    assert second.average.updates == 8


def test_another_optimiser_or_network_is_refused(tmp_path: Path) -> None:
    run = Run("adamw")
    run.train(1)
    folder = run.save(tmp_path)
    other = Run("adamw")
    other.optimizer = torch.optim.SGD(other.model.parameters(), lr=0.1)
    with pytest.raises(UserError, match=r"optimizer\.pt does not fit this run"):
        other.restore(folder)
    other.model = nn.Sequential(nn.Conv2d(3, 5, 3))
    with pytest.raises(UserError, match=r"model\.safetensors are of another network"):
        other.restore(folder)


def test_random_states_come_back_for_torch_numpy_and_python() -> None:
    def draws() -> list[float]:
        return [
            torch.rand(()).item(),
            np.random.standard_normal(),
            random.gauss(0, 1),
            random.random(),
        ]

    draws()  # leaves a second gaussian waiting in numpy and in Python
    states = random_states()
    expected = draws() + draws()
    set_random_states(states)
    assert draws() + draws() == expected
