"""Truths smaller than a cell, of the whole image, several in one cell, 500 in one photo.

Each is assigned by a stated rule or counted, and the count reaches the run's log.
"""

from __future__ import annotations

from benchmarks.faults.suite import run_tests


def run(*, seconds: int) -> str:
    """Tests; `seconds` does not matter."""
    del seconds
    served = run_tests("tests/detector/test_assignment.py")
    counted = run_tests("tests/detector/test_bad_batches.py", "-k", "truth")
    return f"{served} tests of assignments, {counted} of what is counted"
