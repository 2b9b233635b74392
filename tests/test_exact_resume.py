"""A run that is stopped and goes on with another number of workers is the run never stopped.

All that might depend on who makes a batch is on: mosaics of several grids, several input sizes,
two forwards a step, an averaged copy of the weights, photos that cannot be read.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.row10 import DRAWN, PHOTOS, make_photos
from detector.training.trainer import Trainer
from tools.config import compose_config
from tools.run_folder import resumed_config
from tools.training_run import train

STEPS = 7


def losses(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["total"]]


def sizes_of_steps(patch: pytest.MonkeyPatch) -> dict[int, set[int]]:
    """Takes down the sides of the inputs of every step from now on."""
    seen: dict[int, set[int]] = {}
    step = Trainer._optimiser_step

    def noted(trainer: Trainer, batches: Any) -> dict[str, float]:
        sides = {side for batch in batches for side in batch.images.shape[2:]}
        seen.setdefault(trainer.step, set()).update(sides)
        return step(trainer, batches)

    patch.setattr(Trainer, "_optimiser_step", noted)
    return seen


@pytest.mark.parametrize("kind", [pytest.param("drawn", marks=pytest.mark.slow), "photos"])
def test_a_run_stopped_twice_and_resumed_with_other_workers_has_the_same_bits(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: Callable[..., None],
) -> None:
    given = list(DRAWN)
    if kind == "photos":
        make_photos(tmp_path)
        given = [*PHOTOS, f"data_root={tmp_path}"]
    config = compose_config([*given, f"steps={STEPS}", "workers=0"])
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    with monkeypatch.context() as patch:
        sizes = sizes_of_steps(patch)
        assert train({**config, "run_dir": str(whole)}, command="test") == 0
    # two steps of each size, all inputs of a step of one
    assert [len(step) for step in sizes.values()] == [1] * STEPS
    assert sizes[0] == sizes[1] != sizes[2] == sizes[3] != sizes[4]
    assert set().union(*sizes.values()) == {64, 96, 128}

    with monkeypatch.context() as patch:
        stop_after(2, patch)
        given = {**config, "run_dir": str(stopped), "workers": 2}
        assert train(given, command="test") == 143
    with monkeypatch.context() as patch:
        stop_after(5, patch)  # in the middle of two steps of one size
        assert train(resumed_config(stopped, {"workers": 0}), command="test") == 143
    assert len(losses(stopped)) == 5
    assert train(resumed_config(stopped, {"workers": 1}), command="test") == 0

    assert losses(stopped) == losses(whole)
    for name in ("model.safetensors", "ema.safetensors"):
        file = f"weights/last/{name}"
        assert (stopped / file).read_bytes() == (whole / file).read_bytes(), name
    states = [json.loads((run / "weights/last/state.json").read_text()) for run in (stopped, whole)]
    assert states[0]["broken"] == states[1]["broken"]
    assert bool(states[0]["broken"]) == (kind == "photos")
