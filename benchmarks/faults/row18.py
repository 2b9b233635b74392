"""Mistakes in a config: keys, types, ranges, names, what stands in lists, paths that are missing.

Each is typed to train.py: one sentence with exit code 2, before a photo is read, and nothing left.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = {
    "tests/test_config.py": "test_a_mistake_is_refused_and_nothing_is_made",
    "tests/test_sweep.py": "test_a_mistake_in_any_run_is_told_before_the_first",
}


def run(*, seconds: int) -> str:
    """Runs the suite's mistakes; `seconds` is not needed."""
    del seconds
    counts = []
    for file, test in TESTS.items():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vv", f"{file}::{test}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        assert done.returncode == 0, "\n".join(lines[-30:])
        counts.append(sum(f"::{test}[" in line and "PASSED" in line for line in lines))
    single, swept = counts
    assert min(counts) > 0, f"{single} and {swept} mistakes were found in {', '.join(TESTS)}"
    return (
        f"{single} mistakes of one run and {swept} of a sweep, each one sentence with exit code 2 "
        "before a photo was read or a folder made"
    )
