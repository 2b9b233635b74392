"""A run folder that exists, or cannot be made: refused before anything is loaded.

An existing folder and file, a dangling link, a file where a folder should be, a folder that is not
writable, a read-only file system (where it may mount one), and `runs/latest` being a real folder.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.faults.tiny_run import TINY, Job


def run(*, seconds: int) -> str:
    """Every kind once; `seconds` does not matter."""
    del seconds
    done = []
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        (place / "kept").mkdir()
        (place / "kept/config.yaml").write_text("a user's")
        refused(place / "kept", place, "exists already; give another run_dir, or resume=")
        assert (place / "kept/config.yaml").read_text() == "a user's"
        done.append("a folder that exists")
        (place / "file").write_text("a user's")
        refused(place / "file", place, "exists already")
        refused(place / "file/run", place, "cannot be made")
        assert (place / "file").read_text() == "a user's"
        done.append("a file in its place")
        (place / "dangling").symlink_to(place / "nowhere")
        refused(place / "dangling", place, "exists already")
        done.append("a dangling link")
        (place / "closed").mkdir(mode=0o555)
        rights = without_roots_rights if os.getuid() == 0 else None
        refused(place / "closed/run", place, "cannot be made", first=rights)
        done.append("a folder without leave to write")
        if read_only(place / "disc"):
            try:
                refused(place / "disc/run", place, "cannot be made")
            finally:
                subprocess.run(["umount", "--lazy", str(place / "disc")], check=True)
            done.append("a read-only file system")
        done += latest(place / "work")
    return f"{len(done)} refused in one sentence, nothing loaded and nothing changed: " + ", ".join(
        done
    )


def refused(
    folder: Path, place: Path, words: str, *, first: Callable[[], None] | None = None
) -> None:
    """Exit code 2, one sentence, and before the tree or a photo was asked for."""
    log = place / "log"
    log.unlink(missing_ok=True)
    job = Job([*TINY, "steps=1", "workers=0", f"run_dir={folder}"], log,
              first=partial(nothing_loaded, first))  # fmt: skip
    code, said = job.end(60), job.said()
    assert code == 2, f"{folder}: exit code {code}: {said[-1500:]}"
    error = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(error) == 1, said
    assert words in error[0], error
    assert str(folder) in error[0], error
    assert "Traceback" not in said, said
    assert "too early" not in said, said


def nothing_loaded(first: Callable[[], None] | None) -> None:
    """Whoever asks for the tree ends the process."""
    from tools import assemble

    def refuse(*_: object) -> None:
        raise RuntimeError("too early: the tree was asked for")

    assemble.make_tree = refuse
    if first is not None:
        first()


def without_roots_rights() -> None:
    """The process keeps its user, and loses root's right to write everywhere (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, twice
    assert libc.capget(header, sets) == 0
    for one in range(3):
        sets[one] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


def read_only(place: Path) -> bool:
    """Mounts a tmpfs that cannot be written; whether that worked."""
    place.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(place)]
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def latest(place: Path) -> list[str]:
    """`runs/latest` is a folder of the user's: the run says so and leaves it alone."""
    (place / "runs/latest").mkdir(parents=True)
    (place / "runs/latest/mine").write_text("a user's")
    log = place / "log"
    given = [*TINY, "steps=1", "workers=0"]
    job = Job(given, log, first=partial(nothing_loaded, partial(os.chdir, place)))
    code, said = job.end(60), job.said()
    assert code == 2, f"runs/latest is a folder: exit code {code}: {said[-1500:]}"
    assert "runs/latest" in said, said
    assert "Traceback" not in said, said
    assert (place / "runs/latest/mine").read_text() == "a user's"
    assert [path.name for path in (place / "runs").iterdir()] == ["latest"], "a run was begun"
    return ["a folder at runs/latest"]
