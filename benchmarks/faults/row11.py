"""Resume on another number of ranks.

A run is stopped after every few steps and goes on with another number of processes each time. It
takes the same inputs in the same order as a run by one process, and, with batch norm frozen, comes
to its losses and weights up to rounding; the log says each time how many went on.
"""

from __future__ import annotations

import json
import signal
import tempfile
from pathlib import Path

import safetensors.torch

from benchmarks.faults.row09 import Ranks
from benchmarks.faults.tiny_run import TINY, Job, losses
from detector.weights import find_checkpoint

STEPS = 400
FROZEN = ("freeze_norm=true", "optimizer=sgd", "optimizer.rate=1.0e-4")
NUMBERS = (1, 2, 1, 2)


def run(*, seconds: int) -> str:
    """Three changes; `seconds` does not matter."""
    del seconds
    with tempfile.TemporaryDirectory() as place:
        folder, whole = Path(place) / "run", Path(place) / "whole"
        given = [*TINY, *FROZEN, "batch_size=4", "workers=0", "checkpoint_every=10"]
        before = 0
        changed: list[str] = []
        for turn, count in enumerate(NUMBERS):
            log = Path(place) / f"log{turn}"
            arguments = (
                [f"resume={folder}"] if turn else [*given, f"steps={STEPS}", f"run_dir={folder}"]
            )
            ranks = Ranks(arguments, log, count=count)
            if turn < len(NUMBERS) - 1:
                ranks.wait_for_steps(folder, before + 5)
                # torchrun hands the signal on to all.
                ranks.processes[0].send_signal(signal.SIGTERM)
                codes = ranks.end(120)
                assert codes != [0], log.read_text()[-2000:]
            else:
                codes = ranks.end(600)
                assert codes == [0], log.read_text()[-2000:]
            said = log.read_text()
            if turn:
                line = f"{NUMBERS[turn - 1]} processes trained this run up to step {before}"
                assert line in " ".join(said.split()), said[-2000:]
                changed.append(f"{NUMBERS[turn - 1]} to {count}")
            state = _state(folder)
            assert state["position"] == state["seen"] == 4 * state["step"], state
            assert state["ranks"] == count, state
            before = state["step"]
        job = Job([*given, f"steps={STEPS}", f"run_dir={whole}"], Path(place) / "whole.log")
        assert job.end(600) == 0, job.said()[-2000:]
        worst = compare(folder, whole)
    return (
        f"{len(changed)} changes ({', '.join(changed)}), each from its own position and told; "
        f"after {STEPS} steps the losses differ from one process's by {worst:.1e} at most"
    )


def _state(folder: Path) -> dict[str, object]:
    checkpoint = find_checkpoint(folder, prefer=("last",))
    return json.loads((checkpoint / "state.json").read_text())


def compare(found: Path, whole: Path) -> float:
    """The largest relative difference of a step's loss; weights must be near."""
    rows, expected = losses(found), losses(whole)
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    worst = 0.0
    for row, other in zip(rows, expected, strict=True):
        one, two = float(row["total"]), float(other["total"])
        worst = max(worst, abs(one - two) / abs(two))
    assert worst < 1e-3, f"losses differ by {worst:.1e}"
    weights = [
        safetensors.torch.load_file(run / "weights/last/model.safetensors")
        for run in (found, whole)
    ]
    for name, value in weights[0].items():
        difference = (value - weights[1][name]).abs().max() if value.numel() else 0
        assert difference < 1e-3, f"{name} differs by {difference}"
    return worst
