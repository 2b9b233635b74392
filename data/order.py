"""Whole numbers for shares, and an endless shuffled order that takes no memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 4  # the fewest Feistel rounds that pass for a random permutation (Luby and Rackoff)


def whole(shares: Sequence[float | Fraction]) -> list[int]:
    """Whole numbers in proportion to `shares`; each one's part of their sum is read as a fraction
    with a denominator of at most a million."""
    total = sum(Fraction(share) for share in shares) or 1
    fractions = [(Fraction(share) / total).limit_denominator(1_000_000) for share in shares]
    common = math.lcm(*(f.denominator for f in fractions))
    return [int(f * common) for f in fractions]


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to `weights` that sum to `total` (all 0 without a weight).

    No count ever falls as the total rises, so the difference of two totals' counts is a count
    too. Among n > 1 weights a count is at most (n - 1) / 2 off its exact share, and it is exact
    where all shares are whole.
    """
    counts, left, rest = [], total, sum(weights)
    for weight in weights:
        # A share of what is left, rounded half up: shares of the total rounded one by one would
        # not sum to it, and differences of rounded running sums may fall.
        count = (2 * left * weight + rest) // (2 * rest) if rest else 0
        counts.append(count)
        left, rest = left - count, rest - weight
    return counts


def parts(weights: Sequence[int]) -> NDArray[np.float64]:
    """Each weight's part of their sum (all 0 without a weight)."""
    total = max(sum(weights), 1)
    return np.array([weight / total for weight in weights])


def shuffled(draws: NDArray[np.int64], size: int, *, key: Sequence[int]) -> NDArray[np.int64]:
    """The photos at places `draws` of an endless order of `size` photos: epoch after epoch, each
    a permutation of its own, which `key` (whole numbers, 0 or more) determines.

    A Feistel network over a square of places, walked until it lands inside `size` again: no epoch
    is ever held in memory, so a source may have 2**31 photos and any place is found at once.
    """
    side = np.uint64(math.isqrt(size - 1) + 1)
    epoch, place = (part.astype(np.uint64) for part in np.divmod(draws, size))
    keys = mixed_hash(*key, epoch)
    keys_of_rounds = [_step(keys, np.uint64(number)) for number in range(_ROUNDS)]
    walking = np.arange(len(draws))
    while len(walking):
        left, right = np.divmod(place[walking], side)
        for round_keys in keys_of_rounds:
            left, right = right, (left + _step(round_keys[walking], right) % side) % side
        place[walking] = left * side + right
        walking = walking[place[walking] >= size]
    return place.astype(np.int64)


def mixed_hash(*numbers: int | NDArray[np.int64] | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A well-mixed 64-bit number of the given ones, 0 or more (broadcast; at least one-
    dimensional)."""
    state = np.zeros(1, np.uint64)
    for number in numbers:
        state = _step(state, np.asarray(number, np.uint64))
    return state


def _step(state: NDArray[np.uint64], number: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """splitmix64's step, from `state` changed by `number`."""
    state = (state ^ number) + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
