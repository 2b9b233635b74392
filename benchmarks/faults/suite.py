"""Tests of the suite that do a whole row, run and counted."""

from __future__ import annotations

import re
import subprocess
import sys

from benchmarks.faults.tiny_run import ROOT


def run_tests(*which: str) -> int:
    """How many tests passed; AssertionError where one fails or none is found."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *which],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert passed, f"no tests ran: {done.stdout[-500:]}"
    return int(passed[1])
