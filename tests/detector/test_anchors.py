"""K-means priors: against brute force on tiny inputs, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.anchors import average_iou, kmeans_anchors, shape_iou
from wordtree.errors import UserError

Floats = NDArray[np.float64]


def sizes_of(seed: int, count: int) -> Floats:
    return np.exp(np.random.default_rng(seed).normal(3, 0.8, (count, 2)))


def brute_force(sizes: Floats, grid: int = 36) -> float:
    """The best average IoU of two anchors among a grid over the range, and the sizes."""
    steps = np.exp(np.linspace(np.log(sizes.min()), np.log(sizes.max()), grid))
    tried = np.concatenate([np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2), sizes])
    overlap = shape_iou(sizes, tried)
    pairs = (np.maximum(overlap, one[:, None]).mean(0).max() for one in overlap.T)
    return float(max(pairs))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 4))
def test_average_iou_equals_the_loop(seed: int, count: int, anchors: int) -> None:
    sizes, priors = sizes_of(seed, count), sizes_of(seed + 1, anchors)
    total = 0.0
    for width, height in sizes:
        best = 0.0
        for anchor_width, anchor_height in priors:
            shared = min(width, anchor_width) * min(height, anchor_height)
            union = width * height + anchor_width * anchor_height - shared
            best = max(best, shared / union)
        total += best
    assert average_iou(sizes, priors) == pytest.approx(total / count)


@pytest.mark.parametrize("seed", range(5))
def test_two_anchors_of_a_few_boxes_are_within_a_hundredth_of_brute_force(seed: int) -> None:
    sizes = sizes_of(seed, 6)
    found, best_of_grid = average_iou(sizes, kmeans_anchors(sizes, 2, seed=0)), brute_force(sizes)
    assert found == pytest.approx(best_of_grid, abs=0.01)


def test_more_anchors_never_lower_the_average_iou() -> None:
    sizes = sizes_of(7, 300)
    scores = [average_iou(sizes, kmeans_anchors(sizes, k, seed=0)) for k in range(1, 8)]
    assert scores == sorted(scores)


def test_several_starts_are_better_than_a_single_one() -> None:
    sizes = sizes_of(3, 300)
    single = [average_iou(sizes, kmeans_anchors(sizes, 6, seed=s, starts=1)) for s in range(6)]
    several = average_iou(sizes, kmeans_anchors(sizes, 6, seed=0))
    assert several > np.mean(single)


def test_as_many_anchors_as_distinct_sizes_fit_them_exactly() -> None:
    sizes = np.array([[10.0, 20], [30, 30], [5, 60], [30, 30]])
    anchors = kmeans_anchors(sizes, 3, seed=1)
    assert average_iou(sizes, anchors) == pytest.approx(1)
    assert anchors.tolist() == [[10, 20], [5, 60], [30, 30]]


def test_the_result_is_sorted_by_area_and_follows_the_seed() -> None:
    sizes = sizes_of(1, 100)
    anchors = kmeans_anchors(sizes, 5, seed=4)
    assert anchors.shape == (5, 2)
    assert (np.diff(anchors.prod(1)) >= 0).all()
    assert np.array_equal(anchors, kmeans_anchors(sizes, 5, seed=4))


def test_the_unit_of_the_sizes_is_the_unit_of_the_anchors() -> None:
    sizes = sizes_of(2, 60)
    np.testing.assert_allclose(
        kmeans_anchors(sizes / 32, 3, seed=0) * 32, kmeans_anchors(sizes, 3, seed=0)
    )


def test_impossible_requests_name_the_number_and_the_remedy() -> None:
    with pytest.raises(UserError, match=r"3 anchors were asked of 2 distinct box sizes"):
        kmeans_anchors([[4, 5], [4, 5], [6, 7]], 3, seed=0)
    with pytest.raises(UserError, match=r"box size 1 is \[0.0, 5.0\]"):
        kmeans_anchors([[4, 5], [0, 5]], 1, seed=0)
