"""Batches without a boxed photo, without a label-only photo, with neither boxes nor labels.

Losses are defined and gradients finite for every weak rule, policy, assignment and classifier.
"""

from __future__ import annotations

from benchmarks.faults.suite import run_tests


def run(*, seconds: int) -> str:
    """Tests; `seconds` does not matter."""
    del seconds
    return f"{run_tests('tests/detector/test_bad_batches.py', '-k', 'batch')} batches"
