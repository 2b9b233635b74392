"""Logits of +-1e4 in float32, bfloat16 and float16: finite losses and gradients, exact sums.

The classifiers' tests of it are run, and the whole criterion is asked with every logit that a
network gives set to +-1e4: every weak rule, policy, assignment, box loss and classifier.
"""

from __future__ import annotations

from benchmarks.faults.suite import run_tests


def run(*, seconds: int) -> str:
    """Tests; `seconds` does not matter."""
    del seconds
    classifiers = run_tests("tests/wordtree_probability", "-k", "huge or sum_to_their_parent")
    criterion = run_tests("tests/detector/test_bad_batches.py", "-k", "huge")
    return f"{classifiers} tests of classifiers, {criterion} of the whole criterion"
