"""kill -9 at a random moment, while checkpoints are written every other step.

Each run is killed and resumed again and again, with another number of loader processes every
time, until it ends; then its losses and weights are those of a run that nobody touched. The next
run has the next seed.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.faults.tiny_run import TINY, Job, assert_nothing_left, assert_same_end, losses
from detector.weights import find_checkpoint, read_checkpoint

KILLS = 50
STEPS = 80


def run(*, seconds: int) -> str:
    """50 kills; `seconds` does not matter."""
    del seconds
    rng = random.Random(0)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        while counts["kills"] < KILLS:
            seed = counts["runs"]
            folder, whole = Path(place) / f"run{seed}", Path(place) / f"whole{seed}"
            counts += hurt(folder, rng, KILLS - counts["kills"], seed=seed)
            job = Job(arguments(whole, seed), Path(place) / "log")
            assert job.end(300) == 0, job.said()
            assert_same_end(folder, whole)
            assert len(losses(folder)) == STEPS
            counts["runs"] += 1
    kills = counts["kills"]
    assert counts["resumed"] >= kills / 2, f"of {kills} kills only {counts['resumed']} count"
    return (
        f"{kills} kills ({counts['writing']} in the middle of writing a checkpoint), "
        f"{counts['resumed']} resumed from a whole checkpoint, {counts['nothing']} died before the "
        f"first was written; all {counts['runs']} runs ended with the losses and weights of an "
        f"uninterrupted one, to the bit"
    )


def arguments(folder: Path, seed: int) -> list[str]:
    """The command line of a run."""
    given = (f"steps={STEPS}", "checkpoint_every=2", f"seed={seed}", f"run_dir={folder}")
    return [*TINY, *given]


def hurt(folder: Path, rng: random.Random, most: int, *, seed: int) -> Counter[str]:
    """Runs to the end with up to `most` kills on the way, and says how many of which kind."""
    log, weights = folder.with_suffix(".log"), folder / "weights"
    counts: Counter[str] = Counter()
    started: list[int] = []
    while True:
        given = [f"workers={counts['kills'] % 2}"]
        if (weights / "last").exists():
            read_checkpoint(find_checkpoint(folder, prefer=("last",)))
            counts["resumed"] += counts["kills"] > 0
            given += [f"resume={folder}"]
        else:
            if folder.exists():
                counts["nothing"] += 1
                folder.rename(folder.with_name(f"{folder.name}-dead{counts['kills']}"))
            given += arguments(folder, seed)
        job = Job(given, log)
        started.append(job.pid)
        if counts["kills"] < most:
            wait_for_a_moment(job, weights, rng)
        if counts["kills"] == most or not job.running:
            assert job.end(300) == 0, job.said()
            break
        job.send(signal.SIGKILL)
        assert job.end() == -signal.SIGKILL
        counts["kills"] += 1
        counts["writing"] += any(weights.glob(".tmp-*"))
    for pid in started:
        assert_nothing_left(pid)
    return counts


def wait_for_a_moment(job: Job, weights: Path, rng: random.Random) -> None:
    """One kill in six strikes while the run starts, the others within steps of it: half of these
    after a new checkpoint, so that the run gets on."""
    kind = rng.randrange(6)
    if kind == 0:
        time.sleep(rng.uniform(0, 2.5))
        return
    last = weights / "last"
    before = os.readlink(last) if last.is_symlink() else ""

    def moved() -> bool:
        return last.is_symlink() and os.readlink(last) != before

    def stepped() -> bool:
        # Not metrics.csv: the killed process left rows there that are cut off only now.
        return "\nstep " in job.said()

    reached = moved if kind % 2 or not before else stepped
    job.wait_until(lambda: not job.running or reached(), "first step")
    time.sleep(rng.uniform(0, 0.25))
