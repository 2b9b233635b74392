"""CorLoc against a slow twin, and on cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.evaluation.corloc import corloc_hits
from detector.evaluation.truth import Scored, Truths


def truths(rows: list[tuple[int, int, tuple[float, ...], bool]], photos: int = 3) -> Truths:
    return Truths(
        image=np.array([r[0] for r in rows], np.int64),
        node=np.array([r[1] for r in rows], np.int64),
        box=np.array([r[2] for r in rows], np.float32).reshape(-1, 4),
        ignore=np.array([r[3] for r in rows], bool),
        sizes=np.full((photos, 2), 100, np.int64),
        exhaustive=[None] * photos,
    )


def scored(rows: list[tuple[int, int, float, tuple[float, ...]]]) -> Scored:
    return Scored(
        image=np.array([r[0] for r in rows], np.int64),
        node=np.array([r[1] for r in rows], np.int64),
        score=np.array([r[2] for r in rows], np.float32),
        box=np.array([r[3] for r in rows], np.float32).reshape(-1, 4),
    )


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_corloc(true: Truths, found: Scored) -> dict[int, list[bool]]:
    """Photo by photo, class by class, from the definition."""
    hits: dict[int, list[bool]] = {}
    for photo in range(len(true)):
        for node in sorted(set(true.node.tolist())):
            boxes = [
                true.box[t]
                for t in range(len(true.node))
                if true.image[t] == photo and true.node[t] == node and not true.ignore[t]
            ]
            if node < 0 or not boxes:
                continue
            best = None
            for d in range(len(found)):
                mine = found.image[d] == photo and found.node[d] == node
                if mine and (best is None or found.score[d] > found.score[best]):
                    best = d
            hit = best is not None and any(overlap(found.box[best], b) >= 0.5 for b in boxes)
            hits.setdefault(node, []).append(hit)
    return hits


corner = st.integers(0, 4)
side = st.integers(1, 3)
box = st.tuples(corner, corner, side, side).map(
    lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2), box, st.booleans()), max_size=8),
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from([0.1, 0.5, 0.9]), box),
        max_size=12,
    ),
)
def test_corloc_is_what_its_definition_counts(true_rows: list, found_rows: list) -> None:
    true, found = truths(true_rows), scored(found_rows)
    slow = [(node, hit) for node, hits in slow_corloc(true, found).items() for hit in hits]
    nodes, hits = corloc_hits(true, found)
    assert sorted(zip(nodes.tolist(), hits.tolist(), strict=True)) == sorted(slow)


def share(true: Truths, found: Scored) -> float:
    return float(corloc_hits(true, found)[1].mean())


def test_only_the_best_box_of_the_class_counts() -> None:
    true = truths([(0, 1, (10, 10, 30, 30), False)])
    right, wrong = (10, 10, 30, 32), (50, 50, 90, 90)
    assert share(true, scored([(0, 1, 0.4, right), (0, 1, 0.6, wrong)])) == 0.0
    assert share(true, scored([(0, 1, 0.7, right), (0, 1, 0.6, wrong)])) == 1.0
    # Whatever another class says of the place.
    assert share(true, scored([(0, 1, 0.7, right), (0, 2, 0.9, wrong)])) == 1.0


def test_any_object_of_the_class_may_be_the_one_that_is_found() -> None:
    true = truths([(0, 1, (0, 0, 10, 10), False), (0, 1, (50, 50, 80, 80), False)])
    assert share(true, scored([(0, 1, 0.2, (50, 50, 80, 80))])) == 1.0


def test_a_photo_where_nothing_is_found_is_a_miss() -> None:
    true = truths([(0, 1, (0, 0, 10, 10), False), (1, 1, (0, 0, 10, 10), False)])
    assert share(true, scored([(0, 1, 0.2, (0, 0, 10, 10))])) == 0.5
