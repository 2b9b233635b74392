"""A loader worker is killed (kill -9, as the kernel does where memory ends), ten times.

One sentence within a minute, exit code 2, no stack trace, nothing left, and the run goes on from
its checkpoint.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from pathlib import Path

from benchmarks.faults.tiny_run import TINY, Job, assert_nothing_left, group_of

DEATHS = 10


def run(*, seconds: int) -> str:
    """Ten deaths in one run; `seconds` does not matter."""
    del seconds
    rng = random.Random(0)
    slowest = 0.0
    with tempfile.TemporaryDirectory() as place:
        folder, log = Path(place) / "run", Path(place) / "log"
        start = [*TINY, "steps=5000", "checkpoint_every=2", f"run_dir={folder}"]
        for death in range(DEATHS):
            given = [f"resume={folder}"] if death else start
            job = Job([*given, f"workers={1 + death % 2}"], log)
            job.wait_until(lambda here=job: "\nstep " in here.said(), "first step")
            if not death:
                job.wait_until(lambda: (folder / "weights/last").exists(), "checkpoint")
            time.sleep(rng.uniform(0, 0.3))
            workers = [pid for pid in group_of(job.pid) if pid != job.pid]
            assert workers, "there is no worker"
            os.kill(rng.choice(workers), signal.SIGKILL)
            began = time.monotonic()
            code = job.end(60)
            slowest = max(slowest, time.monotonic() - began)
            said = job.said()
            assert code == 2, f"exit code {code}: {said[-1500:]}"
            assert "Traceback" not in said, said[-3000:]
            assert "error: a loader worker died" in said, said[-1500:]
            assert_nothing_left(job.pid)
    return f"{DEATHS} workers killed, {DEATHS} clear errors, the slowest after {slowest:.1f} s"
