"""SIGTERM and Ctrl-C, to the process or to its whole group, at every stage of a run.

The step under way is finished, `weights/last` written, the way to go on printed; no loader worker
is left, and the run that is resumed takes its next step.
"""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.faults.tiny_run import BEGUN, TINY, Job, assert_nothing_left, losses
from detector.weights import read_checkpoint

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
# The signal, loader workers, whether the whole group gets it, as from a scheduler or a terminal.
WAYS = (
    (signal.SIGTERM, 1, True),
    (signal.SIGINT, 1, True),
    (signal.SIGTERM, 1, False),
    (signal.SIGINT, 0, False),
)


def run(*, seconds: int) -> str:
    """Every stage with both signals; `seconds` does not matter."""
    del seconds
    cases = 0
    with tempfile.TemporaryDirectory() as place:
        for stage, (given, first, ready) in STAGES.items():
            for number, workers, group in WAYS if stage == "steps" else WAYS[:2]:
                folder = Path(place) / f"run{cases}"
                arguments = [*TINY, "steps=5000", *given, f"workers={workers}"]
                log = folder.with_suffix(".log")
                job = Job([*arguments, f"run_dir={folder}"], log, first=first)
                job.wait_until(partial(ready, job, folder), stage)
                # Anywhere in a step, or in what it waits for.
                time.sleep(0.011 * (cases % 7))
                job.send(number, group=group)
                try:
                    check(job, folder, CODES[number])
                    go_on(folder)
                except AssertionError as error:
                    raise AssertionError(
                        f"{number.name} {'to the group ' if group else ''}at stage '{stage}', "
                        f"{workers} workers: {error}"
                    ) from error
                cases += 1
        for case in range(EARLY):
            number = (signal.SIGTERM, signal.SIGINT)[case % 2]
            too_early(Path(place) / f"early{case}", number, 0.6 * case)
    return (
        f"{cases} signals at {len(STAGES)} stages ({', '.join(STAGES)}), {cases} runs resumed; "
        f"{EARLY} before the first step, where there is nothing to save yet"
    )


def too_early(folder: Path, number: int, seconds: float) -> None:
    """A run that is stopped while it is built leaves nothing that resume= takes for a run."""
    log = folder.with_suffix(".log")
    job = Job([*TINY, "steps=1000000", "workers=1", f"run_dir={folder}"], log)
    job.wait_until(lambda: BEGUN in job.said(), "start")
    time.sleep(seconds)
    job.send(number, group=True)
    found = job.end(30)
    # -15: nobody listens yet, and the signal itself ends the process.
    assert found in (130, 143, -signal.SIGTERM), f"exit code {found}: {job.said()[-1500:]}"
    assert "Traceback" not in job.said(), job.said()
    assert_nothing_left(job.pid)
    if not (folder / "weights/last").exists():
        job = Job([f"resume={folder}"], log)
        assert job.end(60) == 2, job.said()
        assert "error: " in job.said(), job.said()
        assert "Traceback" not in job.said(), job.said()


def check(job: Job, folder: Path, code: int) -> None:
    """The run has ended as it should."""
    found = job.end(30)
    assert found == code, f"exit code {found}:\n{job.said()[-1500:]}"
    assert f"go on with: python train.py resume={folder}" in job.said(), job.said()[-1500:]
    assert "Traceback" not in job.said(), job.said()
    checkpoint = read_checkpoint((folder / "weights/last").resolve())
    steps = checkpoint.state["step"]
    assert steps == len(losses(folder)), f"step {steps}, {len(losses(folder))} rows"
    assert_nothing_left(job.pid)


def go_on(folder: Path) -> None:
    """The run takes a step more, and is stopped again."""
    state = json.loads((folder / "weights/last/state.json").read_text())
    if state["step"] == LAST:
        return
    job = Job([f"resume={folder}", "evaluate_every=0"], folder.with_suffix(".log"))
    job.wait_until(lambda: f"\nstep {state['step'] + 1}/" in job.said(), "next step")
    job.send(signal.SIGTERM)
    check(job, folder, 143)


LAST, EARLY = 6, 6


def slow_disk() -> None:
    """A checkpoint takes a fifth of a second to write."""
    import os

    sync = os.fsync
    os.fsync = lambda handle: (time.sleep(0.04), sync(handle))[1]


def slow_start() -> None:
    """The loader says when it starts, and takes its time."""
    import data.loader as module

    started = module._started

    def slow(loader: object) -> object:
        print("the loader starts", flush=True)
        for _ in range(20):
            time.sleep(0.01)
        return started(loader)

    module._started = slow


def slow_evaluation() -> None:
    """An evaluation says when it begins, and takes a second."""
    import tools.run_callbacks as callbacks

    evaluate = callbacks.evaluate

    def slow(*given: object, **options: object) -> object:
        print("evaluating", flush=True)
        for _ in range(100):
            time.sleep(0.01)
        return evaluate(*given, **options)

    callbacks.evaluate = slow


def said(text: str, job: Job, folder: Path) -> bool:
    """The run has printed this."""
    del folder
    return text in job.said()


def writing(job: Job, folder: Path) -> bool:
    """A checkpoint is being written."""
    del job
    return any((folder / "weights").glob(".tmp-step-*"))


Stage = tuple[list[str], Callable[[], None] | None, Callable[[Job, Path], bool]]
STAGES: dict[str, Stage] = {
    "the loader's start": ([], slow_start, partial(said, "the loader starts")),
    "steps": ([], None, partial(said, "\nstep ")),
    "a checkpoint": (["checkpoint_every=1"], slow_disk, writing),
    "an evaluation": (["evaluate_every=3"], slow_evaluation, partial(said, "evaluating")),
    "the last checkpoint": ([f"steps={LAST}"], slow_disk, writing),
    "the last evaluation": (
        [f"steps={LAST}", "evaluate_every=100"],
        slow_evaluation,
        partial(said, "evaluating"),
    ),
}
