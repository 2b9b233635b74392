"""Batches without a boxed photo, without a label-only photo, with neither boxes nor labels.

Losses are defined and gradients finite for every weak rule, policy, assignment and classifier.
"""

from __future__ import annotations

from benchmarks.faults.suite import run_tests


def run(*, seconds: int) -> str:
    """Tests; `seconds` does not matter."""
    del seconds
    # By whole names: `-k batch` would take every test, since the file's own name has the word.
    which = [f"tests/detector/test_bad_batches.py::{name}" for name in TESTS]
    return f"{run_tests(*which)} batches"


TESTS = (
    "test_a_batch_that_lacks_something_has_finite_losses_and_gradients",
    "test_a_batch_of_several_inputs_may_hold_a_photo_in_one_alone",
)
