"""One of two torchrun ranks dies or hangs.

Killed with -9 at a random moment of the training, rank 0 and rank 1, each with torchrun and
without it to end the survivor; and stopped once, so that only the time-out can tell. Each time the
others end with an exit code of their own, the last checkpoint is whole, and resumed by two ranks it
comes to the weights of a run that nobody touched, to the bit.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.faults.tiny_run import ROOT, TINY, assert_same_end, losses
from detector.weights import find_checkpoint, read_checkpoint

# Victim and whether torchrun is there to end the survivor. Without it a death of rank 0 takes the
# store away as well.
KILLS = ((0, True), (1, True), (1, False), (0, False))
STEPS = 40
TIMEOUT = 20  # seconds, the run's `timeout`
# The other rank notices a death at once and a hang after the time-out; torchrun gives a process
# that does not obey 30 seconds.
IN_TIME = {signal.SIGKILL: 20.0, signal.SIGSTOP: TIMEOUT + 50.0}


class Ranks:
    """Processes that train together, started by torchrun or, as Slurm would, one by one."""

    def __init__(
        self, arguments: Sequence[str], log: Path, *, torchrun: bool = True, count: int = 2
    ) -> None:
        script = [str(ROOT / "train.py"), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.log = log
        self.started = time.monotonic()
        with log.open("w") as said:
            if torchrun:
                launcher = ["torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
                self.processes = [
                    subprocess.Popen(
                        [sys.executable, "-m", *launcher, *script], env=environment, stderr=said
                    )
                ]
                return
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
            self.processes = [
                subprocess.Popen(
                    [sys.executable, *script],
                    env={**environment, **place, "WORLD_SIZE": str(count), "RANK": str(rank)},
                    stderr=said,
                )
                for rank in range(count)
            ]

    def pids(self) -> list[int]:
        """The process of each rank."""
        if len(self.processes) > 1:
            return [process.pid for process in self.processes]
        parent, found = self.processes[0].pid, {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, KeyError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                    words = (stat.parent / "environ").read_bytes().decode().split("\0")
                    places = dict(word.split("=", 1) for word in words if "=" in word)
                    found[int(places["RANK"])] = int(stat.parent.name)
        return [found[rank] for rank in sorted(found)]

    def end(self, seconds: float) -> list[int]:
        """Waits for all; their exit codes."""
        limit = time.monotonic() + seconds
        for process in self.processes:
            try:
                process.wait(max(0.1, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                for pid in [*self.pids(), process.pid]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                said = self.log.read_text()[-2000:]
                raise AssertionError(f"still running after {seconds:.0f} s:\n{said}") from None
        return [process.returncode for process in self.processes]

    def wait_for_steps(self, folder: Path, count: int) -> None:
        """Until so many steps stand in metrics.csv and a checkpoint is there."""
        while True:
            for process in self.processes:
                assert process.poll() is None, f"it ended early:\n{self.log.read_text()[-2000:]}"
            assert time.monotonic() - self.started < 180, "no step in three minutes"
            there = (folder / "weights/last").exists() and (folder / "metrics.csv").exists()
            if there and len(losses(folder)) >= count:
                return
            time.sleep(0.02)


def run(*, seconds: int) -> str:
    """4 kills and a stop; `seconds` does not matter."""
    del seconds
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "whole"
        alone = Ranks(arguments(whole), Path(place) / "whole.log")
        assert alone.end(600) == [0], alone.log.read_text()[-2000:]
        slowest = 0.0
        for number, (victim, torchrun) in enumerate(KILLS):
            folder = Path(place) / f"killed{number}"
            after = rng.randrange(3, 25)
            took = hurt(folder, signal.SIGKILL, victim=victim, after=after, torchrun=torchrun)
            slowest = max(slowest, took)
            assert_same_end(folder, whole)
        folder = Path(place) / "stopped"
        hung = hurt(folder, signal.SIGSTOP, victim=1, after=5)
        assert_same_end(folder, whole)
    return (
        f"{len(KILLS)} kills, the rest ended within {slowest:.1f} s; one rank that hangs, ended "
        f"after {hung:.0f} s (time-out {TIMEOUT} s); every checkpoint whole, all resumed to the bit"
    )


def arguments(folder: Path) -> list[str]:
    """The command line of a run."""
    given = (f"steps={STEPS}", "checkpoint_every=2", "workers=0", f"timeout={TIMEOUT}")
    return [*TINY, *given, f"run_dir={folder}"]


def hurt(
    folder: Path, number: signal.Signals, *, victim: int, after: int, torchrun: bool = True
) -> float:
    """Sends a signal to one rank after so many steps; the seconds until the others have ended.

    The run is then resumed to its end.
    """
    ranks = Ranks(arguments(folder), folder.with_suffix(".log"), torchrun=torchrun)
    ranks.wait_for_steps(folder, after)
    pid = ranks.pids()[victim]
    os.kill(pid, number)
    began = time.monotonic()
    codes = ranks.end(IN_TIME[number])
    took = time.monotonic() - began
    said = ranks.log.read_text()
    assert all(code != 0 for code in codes), f"exit codes {codes}:\n{said[-2000:]}"
    if not torchrun:
        assert codes[1 - victim] == 2, f"exit codes {codes}:\n{said[-2000:]}"
        assert said.count("waited in vain for another of the 2 processes") == 1, said[-2000:]
        assert "frame #" not in said, f"a stack trace:\n{said[-2000:]}"
    read_checkpoint(find_checkpoint(folder, prefer=("last",)))
    again = Ranks([f"resume={folder}"], folder.with_suffix(".again"))
    assert again.end(600) == [0], again.log.read_text()[-2000:]
    return took
