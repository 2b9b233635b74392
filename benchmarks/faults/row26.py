"""The same seed twice, in two processes: bit-equal losses and weights on the CPU.

With one and with two loader processes, in float32 and in bfloat16, with accumulation.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.faults.tiny_run import TINY, Job, losses

STEPS = 20


def run(*, seconds: int) -> str:
    """Four kinds of run, each twice; `seconds` does not matter."""
    del seconds
    rows = 0
    with tempfile.TemporaryDirectory() as place:
        for number, given in enumerate(KINDS):
            found = []
            for workers in (1, 2):
                folder = Path(place) / f"run{number}-{workers}"
                arguments = [*TINY, f"steps={STEPS}", *given, f"workers={workers}"]
                job = Job([*arguments, f"run_dir={folder}"], Path(place) / "log")
                assert job.end(300) == 0, job.said()[-1500:]
                weights = folder / "weights/last/model.safetensors"
                found.append((losses(folder), weights.read_bytes()))
            first, second = found
            assert first[0] == second[0], f"{given}: losses differ"
            assert first[1] == second[1], f"{given}: weights differ"
            rows += len(first[0])
    return f"{len(KINDS)} kinds of run, each twice: {rows} steps equal to the bit, and the weights"


KINDS = (
    [],
    ["precision=bfloat16"],
    ["batch_size=4", "accumulate=2"],
    ["seed=7", "classifier=siblings", "loss=photos", "optimizer=sgd"],
)
