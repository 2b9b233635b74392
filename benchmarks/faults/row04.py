"""One bit flipped, or the tail cut, in any file of a checkpoint of a real run.

Each file at 20 places each: refused by its checksum, the file named, the other checkpoint offered;
by the reader, and once a file by `resume=`.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from benchmarks.faults.tiny_run import TINY, Job
from detector.weights import read_checkpoint
from detector.weights.manifest import FILES, MANIFEST
from wordtree import UserError

PLACES = 20


def run(*, seconds: int) -> str:
    """5 files, 2 kinds of damage, 20 places; `seconds` does not matter."""
    del seconds
    rng = random.Random(0)
    refused = by_resume = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        arguments = [*TINY, "workers=0", "steps=4", "checkpoint_every=2", f"run_dir={folder}"]
        job = Job(arguments, Path(place) / "log")
        assert job.end(120) == 0, job.said()
        last = (folder / "weights/last").resolve()
        for name in (*FILES, MANIFEST):
            whole = (last / name).read_bytes()
            for hurt in [*flipped(whole, rng), *cut(whole, rng)]:
                (last / name).write_bytes(hurt)
                try:
                    read_checkpoint(last)
                except UserError as error:
                    check(str(error), last, name)
                    refused += 1
                else:
                    raise AssertionError(f"{name} was taken, damaged as it is")
            job = Job([f"resume={folder}", "steps=9", "extend=true"], Path(place) / "log")
            assert job.end(120) == 2, job.said()
            check(job.said(), last, name)
            by_resume += 1
            (last / name).write_bytes(whole)
        read_checkpoint(last)
    return f"{refused} damaged files refused by name, {by_resume} of them by resume= too"


def check(said: str, last: Path, name: str) -> None:
    """The file is named, and the whole checkpoint beside it."""
    assert f"{last / name} is damaged" in said, said
    assert f"{last.parent / 'step-2'} is whole: use it" in said, said


def flipped(whole: bytes, rng: random.Random) -> list[bytes]:
    """The file with one bit changed, at random places."""
    found = []
    for _ in range(PLACES):
        hurt = bytearray(whole)
        hurt[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        found.append(bytes(hurt))
    return found


def cut(whole: bytes, rng: random.Random) -> list[bytes]:
    """The file without its tail: nothing left, one byte lost, and anything between."""
    lengths = [0, len(whole) - 1, *(rng.randrange(1, len(whole) - 1) for _ in range(PLACES - 2))]
    return [whole[:length] for length in lengths]
