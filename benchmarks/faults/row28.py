"""A soak: memory of the trainer and its workers stays flat, no handle and no process is left.

20,000 steps are wanted; the budget ends the run before, and the count says how many were done.
Growth is measured from the 1,000th step on, or from a quarter of the steps where they are few.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from pathlib import Path

from benchmarks.faults.tiny_run import NETWORK, Job, assert_nothing_left, group_of

STEPS, SETTLED = 20_000, 1000
GROWTH = 0.02
# Shared memory and sockets of batches on their way: their number was seen to go from 23 to 31 and
# back within 300 steps. A handle left at each step or checkpoint goes beyond that in 20,000.
BATCHES_HANDLES = 16
# The smallest network and input: what is looked for is what a step leaves behind.
SOAK = (
    "experiment=emoji",
    *NETWORK,
    "image_size=64",
    "batch_size=1",
    "threads=1",
    "precision=float32",
    "data.validation.length=6",
    "evaluate_every=0",
    "checkpoint_every=500",
    "log_every=10",
    "ema=0.9",
    "workers=1",
    "mixture.grids=[{rows: 1, columns: 1}]",
)


def run(*, seconds: int, steps: int = STEPS, settled: int = SETTLED) -> str:
    """Up to `steps` within the budget, growth counted after `settled` of them."""
    marks: list[tuple[int, int, int, int]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        job = Job([*SOAK, f"steps={steps}", f"run_dir={folder}"], Path(place) / "log")
        limit = time.monotonic() + seconds
        while job.running and time.monotonic() < limit:
            time.sleep(0.25)
            step = step_of(folder)
            if step and len(group_of(job.pid)) == 2:
                with contextlib.suppress(OSError):
                    worker = next(pid for pid in group_of(job.pid) if pid != job.pid)
                    marks.append((step, memory(job.pid), memory(worker), handles(job.pid)))
        job.send(signal.SIGTERM)
        code = job.end(120)
        assert code in (0, 143), f"exit code {code}: {job.said()[-1500:]}"
        assert_nothing_left(job.pid)
        done = step_of(folder)
    settled = min(settled, done // 4)
    grown = [growth([(mark[0], mark[which]) for mark in marks], settled) for which in (1, 2)]
    for name, share in zip(("trainer", "worker"), grown, strict=True):
        assert share < GROWTH, f"the {name} grew by {share:.1%} from step {settled} to {done}"
    open_files = [mark[3] for mark in marks if mark[0] >= settled]
    fifth = len(open_files) // 5
    first, last = min(open_files[:fifth]), min(open_files[-fifth:])
    left = f"{first} file handles from step {settled} on, {last} at {done}"
    assert last < first + BATCHES_HANDLES, left
    return (
        f"{done:,} steps of {steps:,} in the time given; from step {settled:,} on the trainer grew "
        f"by {grown[0]:.2%}, its worker by {grown[1]:.2%}, {last} file handles, no process "
        f"left"
    )


def step_of(folder: Path) -> int:
    """The last step in metrics.csv, 0 before the first."""
    try:
        last = (folder / "metrics.csv").read_bytes().rpartition(b"\n")[0].splitlines()[-1]
        return int(last.split(b",")[0])
    except (OSError, IndexError, ValueError):
        return 0


def memory(pid: int) -> int:
    """Bytes that are no file's, shared ones too: what a fork shares becomes private whenever one of
    the two ends, which is no growth."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    words = next(line.split() for line in rollup.splitlines() if line.startswith("Anonymous:"))
    return int(words[1]) * 1024


def handles(pid: int) -> int:
    """Open files and sockets."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def growth(marks: list[tuple[int, int]], settled: int) -> float:
    """How much more the last fifth of the marks has than the first fifth after `settled`."""
    after = [bytes_ for step, bytes_ in marks if step >= settled]
    assert len(after) >= 10, f"too few measurements: {len(after)}"
    fifth = len(after) // 5
    # The median: a checkpoint under way takes memory for a moment.
    first, last = sorted(after[:fifth])[fifth // 2], sorted(after[-fifth:])[fifth // 2]
    return last / first - 1
