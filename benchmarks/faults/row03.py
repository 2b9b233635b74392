"""A disk that is full while a run writes: checkpoints, metrics.csv, TensorBoard, pictures, report.

A small tmpfs where the row may mount one (root), else a limit on the size of a process's files.
The older checkpoint stays whole, the error is one sentence, and the run goes on when there is
room again.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.tiny_run import TINY, Job, assert_nothing_left
from detector.weights import read_checkpoint
from detector.weights.layout import steps_in

MEGABYTES = 12


def run(*, seconds: int) -> str:
    """What is left of the disk differs from case to case; `seconds` does not matter."""
    del seconds
    with tempfile.TemporaryDirectory() as place, small_disk(Path(place)) as disk:
        if disk is None:
            counted = limited(Path(place))
            return f"{counted} (no tmpfs could be mounted: it needs root)"
        counted = filled(disk)
    with tempfile.TemporaryDirectory() as place:
        return f"{counted}; {limited(Path(place))}"


@contextmanager
def small_disk(place: Path) -> Iterator[Path | None]:
    """A file system of a few MB, None where none can be mounted."""
    disk = place / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path, leave: int) -> None:
    """Takes all that is free but `leave` bytes."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with (disk / "filler").open("wb") as file:
        file.write(b"x" * max(0, free - leave))


def filled(disk: Path) -> str:
    """A run meets a full disk with so many bytes left, and goes on when they are back."""
    kinds: dict[str, int] = {}
    for number, (leave, given) in enumerate(CASES):
        folder, log = disk / f"run{number}", disk.parent / f"log{number}"
        job = Job([*TINY, "workers=1", "steps=400", *given, f"run_dir={folder}"], log)
        if "checkpoint_every=2" in given:
            job.wait_until(lambda here=folder: len(steps_in(here / "weights")) == 2, "checkpoints")
        else:
            job.wait_until(lambda here=folder: (here / "train_batch2.jpg").exists(), "pictures")
        older = max(steps_in(folder / "weights"), default=0)
        fill(disk, leave)
        code, said = job.end(120), job.said()
        what = clear_error(code, said)
        kinds[what] = kinds.get(what, 0) + 1
        assert not any(folder.rglob(".tmp-step*")), f"half a checkpoint is left: {said[-500:]}"
        assert not any(folder.rglob("*.part")), f"half a file is left: {said[-500:]}"
        assert_nothing_left(job.pid)
        (disk / "filler").unlink()
        if older:
            last = read_checkpoint((folder / "weights/last").resolve())
            assert last.state["step"] >= older
            job = Job([f"resume={folder}", "workers=1"], disk.parent / f"again{number}")
            job.wait_until(lambda again=job: "\nstep " in again.said(), "next step")
            job.process.kill()
            job.end()
        subprocess.run(["rm", "-r", str(folder)], check=True)
    told = ", ".join(f"{count} at {what}" for what, count in sorted(kinds.items()))
    return f"a full tmpfs {len(CASES)} times ({told}), the older checkpoint whole and resumed"


# Bytes that are left, and what the run is asked for: a checkpoint needs 300 kB.
CASES: list[tuple[int, list[str]]] = [
    *[(leave, ["checkpoint_every=2"]) for leave in (0, 4096, 100_000, 200_000, 280_000)],
    (0, []),  # TensorBoard or metrics.csv
    (0, ["log_every=400", "steps=40"]),  # the last row and the last checkpoint
    (700_000, ["steps=40", "evaluate_every=100"]),  # a checkpoint, then pictures and the report
    (1_000_000, ["steps=40", "evaluate_every=100"]),
    (1_300_000, ["steps=40", "evaluate_every=100"]),
]


def clear_error(code: int, said: str) -> str:
    """What could not be written; AssertionError where the error is not one clear sentence."""
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 2, f"exit code {code}: {said[-1500:]}"
    assert "Traceback" not in said, said[-3000:]
    assert len(lines) == 1, said[-1500:]
    assert "no space left" in lines[0].lower() or "too large" in lines[0].lower(), lines[0]
    for what in ("/weights/step", "/metrics.csv", "/tb ", ".jpg", ".png", "/report", "/events."):
        if what in lines[0]:
            return what.strip("/. ")
    raise AssertionError(f"no file is named: {lines[0]}")


def file_limit() -> None:
    """No file of this process may have more than 100 kB: a model.safetensors has 80, optimizer.pt
    147."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def limited(place: Path) -> str:
    """The same without root: the limit strikes in the first checkpoint."""
    folder = place / "limited"
    # Four steps: the pictures of the first three go to TensorBoard, and are longer than the limit.
    arguments = [*TINY, "workers=0", "steps=50", "checkpoint_every=2", f"run_dir={folder}"]
    whole = Job([*arguments[:-3], "steps=4", f"run_dir={folder}"], place / "log")
    assert whole.end(60) == 0, whole.said()
    job = Job(
        [f"resume={folder}", "steps=50", "extend=true", "checkpoint_every=2"],
        place / "log",
        first=file_limit,
    )
    what = clear_error(job.end(60), job.said())
    assert what == "weights/step", job.said()
    assert read_checkpoint((folder / "weights/last").resolve()).state["step"] == 4
    return "once a limit on files in the second checkpoint, the first one whole"
