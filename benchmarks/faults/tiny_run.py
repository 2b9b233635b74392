"""Training runs of seconds, each in a process of its own, for the rows that hurt one."""

from __future__ import annotations

import contextlib
import csv
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

NETWORK = (
    "network=narrow",
    "+network.backbone_options={widths: [8, 8, 16, 16, 16], blocks: [0, 0, 0, 0, 0]}",
    "network.neck_width=16",
    "network.head.class_tower=16",
    "network.head.box_tower=8",
)
TINY = (
    "experiment=emoji",
    *NETWORK,
    "image_size=64",
    "batch_size=2",
    "log_every=1",
    "threads=1",
    "precision=float32",
    "data.validation.length=6",
    "evaluate_every=0",
    "ema=0.9",
    "mixture.grids=[{rows: 1, columns: 1, kinds: [boxed], source: scenes}, "
    "{rows: 2, columns: 2, source: tiles}]",
)


BEGUN = "the command begins"


class Job:
    """`python train.py ARGUMENTS` in a process and a process group of its own.

    log: takes what it says. first: is called in that process before anything else, and what it
    does (limits, another user, a patch) hurts that process alone; it must be importable.
    """

    def __init__(
        self, arguments: list[str], log: Path, *, first: Callable[[], None] | None = None
    ) -> None:
        # Forked from a server that has imported torch: a start costs a second instead of eight.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tools.training_run"])
        self.log = log
        log.touch()
        self._before = log.stat().st_size
        self.process: BaseProcess = context.Process(target=_train, args=(arguments, log, first))
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.exitcode is None

    def send(self, number: int, *, group: bool = False) -> None:
        """A signal to the process, or to all of its group, as a terminal or a scheduler does."""
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    def end(self, seconds: float = 60) -> int:
        """Waits for it; its exit code, minus the signal's number where one killed it."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.send(signal.SIGKILL, group=True)
            raise AssertionError(f"still running after {seconds:.0f} s:\n{self.said()[-2000:]}")
        return self.process.exitcode

    def said(self) -> str:
        """What this process has printed."""
        return self.log.read_bytes()[self._before :].decode(errors="replace")

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Until it holds; AssertionError where the process ends first, or the time is over."""
        limit = time.monotonic() + seconds
        while not holds():
            assert self.running, f"the run ended before {what}:\n{self.said()[-2000:]}"
            assert time.monotonic() < limit, f"no {what} within {seconds:.0f} s"
            time.sleep(0.003)


def _train(arguments: list[str], log: Path, first: Callable[[], None] | None) -> None:
    os.setsid()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(handle, number)
    # Jobs in the background of a shell begin with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, str(ROOT))
    import train
    from tools.command import run_command

    if first is not None:
        first()
    print(BEGUN, flush=True)
    sys.exit(run_command(lambda: train.main(arguments)))


def losses(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv that hold losses, as they are written, to the last digit."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["total"]]


def assert_same_end(found: Path, expected: Path) -> None:
    """Losses, weights and averaged weights of two runs are the same to the last bit."""
    ours, theirs = losses(found), losses(expected)
    assert len(ours) == len(theirs), f"{len(ours)} rows, {len(theirs)} expected"
    for one, other in zip(ours, theirs, strict=True):
        assert one == other, f"step {one['step']}: {one} instead of {other}"
    for name in ("model.safetensors", "ema.safetensors"):
        file = f"weights/last/{name}"
        assert (found / file).read_bytes() == (expected / file).read_bytes(), file


def group_of(pid: int) -> list[int]:
    """The processes that are alive in the process group `pid` (Linux)."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name, which may hold blanks: state, parent, group.
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(group) == pid and state != "Z":
                alive.append(int(stat.parent.name))
    return alive


def assert_nothing_left(pid: int, seconds: float = 15) -> None:
    """No process of the job's group lives on; loader workers look for their trainer every 5 s."""
    limit = time.monotonic() + seconds
    while group_of(pid):
        assert time.monotonic() < limit, f"processes {group_of(pid)} are left of job {pid}"
        time.sleep(0.05)
