"""Faults that take too long for the test suite; one line a row, exit code 1 where one fails.

  python benchmarks/faults/run.py --row 27 --seconds 600

27: every reader of the tree room is fuzzed for so many seconds (pip install atheris). The suite
has a small copy of it (tests/wordtree/test_formats.py and its neighbours).
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

FUZZ = Path(__file__).with_name("fuzz_reader.py")


def readers() -> list[str]:
    """The keys of READERS, read from the source: importing it needs atheris."""
    for node in ast.parse(FUZZ.read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "READERS":
            assert isinstance(node.value, ast.Dict)
            return [str(ast.literal_eval(key)) for key in node.value.keys if key]
    raise AssertionError("fuzz_reader.py has no READERS")


def fuzz_readers(seconds: int) -> bool:
    """Row 27, the tree room's part: whether nothing but results and UserErrors came out."""
    good = True
    for reader in readers():
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, str(FUZZ), reader, f"{folder}/corpus",
                 f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048",
                 "-max_len=2000", f"-artifact_prefix={folder}/"],
                capture_output=True, text=True,
            )  # fmt: skip
        tail = [line for line in done.stderr.splitlines() if line.strip()]
        counted = [line for line in tail if "DONE" in line or line.startswith("Done ")]
        good &= done.returncode == 0
        state = "ok" if done.returncode == 0 else "FAILED"
        print(f"27 {reader}: {state}; {counted[-1] if counted else ''}", flush=True)
        if done.returncode:
            print("\n".join([*done.stdout.splitlines()[-30:], *tail[-30:]]))
    return good


ROWS: dict[int, Callable[[int], bool]] = {27: fuzz_readers}


def main() -> int:
    """Runs the rows that were asked for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--row", type=int, choices=ROWS, action="append")
    options.add_argument("--seconds", type=int, default=600, help="for each reader (600)")
    given = options.parse_args()
    results = [ROWS[row](given.seconds) for row in given.row or ROWS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
