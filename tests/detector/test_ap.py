"""Average precision: against pycocotools, against a slow twin, and by rules one can check."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detector.evaluation import ap as ap_module
from detector.evaluation.ap import _detections, _expand, average_precision, coco_dataset
from detector.evaluation.truth import Scored, Truths, evaluated_nodes, scored_pairs, truths_of
from wordtree import UserError, WordTree

#           0 animal            1 tool
#       2 dog      3 cat        6 saw
#   4 poodle 5 terrier
TREE = WordTree(
    ["animal", "tool", "dog", "cat", "saw", "poodle", "terrier"], [-1, -1, 0, 0, 1, 2, 2]
)
ANIMAL, TOOL, DOG, CAT, SAW, POODLE, TERRIER = range(7)


def make_truths(rows, photos=2, exhaustive=None):
    """rows: (photo, node, box, ignore)."""
    return Truths(
        image=np.array([row[0] for row in rows], np.int64),
        box=np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        node=np.array([row[1] for row in rows], np.int64),
        ignore=np.array([row[3] for row in rows], bool),
        sizes=np.full((photos, 2), 100),
        exhaustive=exhaustive or [None] * photos,
    )


def make_scored(rows):
    """rows: (photo, node, score, box)."""
    return Scored(
        image=np.array([row[0] for row in rows], np.int64),
        node=np.array([row[1] for row in rows], np.int64),
        score=np.array([row[2] for row in rows], np.float32),
        box=np.array([row[3] for row in rows], np.float32).reshape(-1, 4),
    )


A, B, FAR = [0, 0, 20, 20], [40, 40, 70, 80], [80, 0, 99, 9]


def random_case(seed, *, photos=4, truths=14, boxes=60, partly=True):
    """Truths with crowds, unknown labels and photos not exhaustive; boxes with equal scores."""
    rng = np.random.default_rng(seed)

    def some_boxes(count):
        corner = rng.integers(0, 30, (count, 2)) * 2
        return np.concatenate([corner, corner + rng.integers(3, 25, (count, 2)) * 2], 1)

    true = some_boxes(truths)
    near = true[rng.integers(0, truths, boxes)] + rng.integers(-4, 5, (boxes, 4))
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    exhaustive = [
        rng.choice(len(TREE), 4, replace=False) if partly and rng.random() < 0.4 else None
        for _ in range(photos)
    ]
    return (
        Truths(
            image=rng.integers(0, photos, truths),
            box=true.astype(np.float32),
            node=rng.integers(-1, len(TREE), truths),
            ignore=rng.random(truths) < 0.2,
            sizes=np.full((photos, 2), 120),
            exhaustive=exhaustive,
        ),
        Scored(
            image=rng.integers(0, photos, boxes),
            node=rng.integers(0, len(TREE), boxes),
            score=(rng.integers(1, 12, boxes) / 12).astype(np.float32),
            box=near.astype(np.float32),
        ),
    )


def slow_average_precision(truths, scored, expanded):
    """From the definitions: {node: (AP, AP50)}, loops over everything, no library."""

    def iou(a, b, crowd):
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        shared = max(width, 0) * max(height, 0)
        area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
        return shared / (area_a if crowd else area_a + area_b - shared)

    figures = {}
    photos = range(len(truths.sizes))
    total = len(truths.image)

    def is_scored(photo, node):
        return truths.exhaustive[photo] is None or node in truths.exhaustive[photo]

    carried = {
        int(truths.node[t])
        for t in range(total)
        if truths.node[t] >= 0
        and not truths.ignore[t]
        and is_scored(truths.image[t], truths.node[t])
    }
    for node in sorted(carried):
        at_threshold = []
        for threshold in np.linspace(0.5, 0.95, 10):
            verdicts, positives = [], 0  # (score, right or wrong), photo after photo
            for photo in photos:
                if not is_scored(photo, node):
                    continue
                plain, crowds = [], []
                for t in range(total):
                    label = int(truths.node[t])
                    counts = label == node or (
                        expanded and label >= 0 and node in TREE.path(label).tolist()
                    )
                    if truths.image[t] != photo or not (counts or label == -1):
                        continue
                    (crowds if truths.ignore[t] or label == -1 else plain).append(t)
                positives += len(plain)
                mine = [
                    d
                    for d in range(len(scored.image))
                    if scored.image[d] == photo and scored.node[d] == node
                ]
                free = set(plain)
                for d in sorted(mine, key=lambda d: -scored.score[d])[:100]:
                    box = scored.box[d].tolist()
                    good = [
                        (iou(box, truths.box[t].tolist(), False), t)
                        for t in sorted(free)
                        if iou(box, truths.box[t].tolist(), False) >= threshold
                    ]
                    if good:
                        free.remove(max(good)[1])
                        verdicts.append((scored.score[d], True))
                    elif not any(
                        iou(box, truths.box[t].tolist(), True) >= threshold for t in crowds
                    ):
                        verdicts.append((scored.score[d], False))
            verdicts.sort(key=lambda verdict: -verdict[0])
            right, points = 0, []
            for rank, (_, is_right) in enumerate(verdicts, start=1):
                right += is_right
                points.append((right / positives, right / rank))
            precisions = [
                max((p for r, p in points if r >= recall), default=0.0)
                for recall in np.linspace(0, 1, 101)
            ]
            at_threshold.append(sum(precisions) / 101)
        figures[node] = (sum(at_threshold) / 10, at_threshold[0])
    return figures


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6))
def test_ap_equals_the_slow_twin(seed):
    truths, scored = random_case(seed)
    result = average_precision(TREE, truths, scored, nodes_boxed=[])
    for expanded, ap, ap50 in (
        (True, result.ap, result.ap50),
        (False, result.plain_ap, result.plain_ap50),
    ):
        slow = slow_average_precision(truths, scored, expanded)
        assert list(slow) == result.nodes.tolist()
        np.testing.assert_allclose(ap, [pair[0] for pair in slow.values()], atol=1e-9)
        np.testing.assert_allclose(ap50, [pair[1] for pair in slow.values()], atol=1e-9)


def reference(truths, scored, nodes, truth_tree):
    """pycocotools on the same data sets: precision (IoU, recall, node)."""
    pairs = scored_pairs(truths, nodes)
    data = []
    for columns in (
        _expand(truth_tree, truths, nodes, pairs),
        _detections(scored, nodes, pairs)[0],
    ):
        coco = COCO()
        coco.dataset = coco_dataset(truths, columns, range(len(nodes)))
        data.append(coco)
    with contextlib.redirect_stdout(io.StringIO()):
        for coco in data:
            coco.createIndex()
        evaluator = COCOeval(*data, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
    assert evaluator.params.areaRngLbl[0] == "all"
    assert evaluator.params.maxDets[-1] == 100
    return evaluator.eval["precision"][:, :, :, 0, -1]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6))
def test_every_figure_equals_pycocotools(seed):
    truths, scored = random_case(seed, boxes=400)
    result = average_precision(TREE, truths, scored, nodes_boxed=[])
    table = reference(truths, scored, result.nodes, TREE)
    np.testing.assert_allclose(result.ap, table.mean((0, 1)), atol=1e-9)
    np.testing.assert_allclose(result.ap50, table[0].mean(0), atol=1e-9)
    np.testing.assert_allclose(result.precision, table[0].T, atol=1e-9)
    table = reference(truths, scored, result.nodes, None)
    np.testing.assert_allclose(result.plain_ap, table.mean((0, 1)), atol=1e-9)
    np.testing.assert_allclose(result.plain_ap50, table[0].mean(0), atol=1e-9)


def test_nodes_taken_in_several_goes_give_the_same_figures(monkeypatch):
    truths, scored = random_case(5)
    whole = average_precision(TREE, truths, scored, nodes_boxed=[])
    monkeypatch.setattr(ap_module, "PAIRS_AT_ONCE", 2 * len(truths))
    parts = average_precision(TREE, truths, scored, nodes_boxed=[])
    assert len(whole.nodes) > 2
    np.testing.assert_array_equal(whole.precision, parts.precision)
    np.testing.assert_array_equal(whole.ap, parts.ap)


def test_a_dog_found_on_a_poodle_is_right_when_expanded_and_wrong_when_plain():
    truths = make_truths([(0, POODLE, A, False), (1, DOG, B, False)])
    scored = make_scored([(0, DOG, 0.9, A), (1, DOG, 0.8, B), (0, POODLE, 0.7, A)])
    result = average_precision(TREE, truths, scored, nodes_boxed=[])
    assert result.nodes.tolist() == [DOG, POODLE]
    assert result.truths.tolist() == [2, 1]
    np.testing.assert_allclose(result.ap50, [1, 1])
    np.testing.assert_allclose(result.plain_ap50, [0.5, 1])


def test_ancestors_that_no_truth_carries_are_not_evaluated():
    truths = make_truths([(0, POODLE, A, False)])
    scored = make_scored([(0, POODLE, 0.9, A), (0, ANIMAL, 0.9, FAR)])
    result = average_precision(TREE, truths, scored, nodes_boxed=[])
    assert result.nodes.tolist() == [POODLE]
    assert result.left_out["node without a truth"] == 1
    assert result.detections == 1


def test_means_split_nodes_by_boxes_of_their_own_or_of_a_descendant():
    truths = make_truths([(0, DOG, A, False), (0, CAT, B, False), (1, SAW, A, False)])
    scored = make_scored([(0, DOG, 0.9, A), (1, SAW, 0.9, A)])
    result = average_precision(TREE, truths, scored, nodes_boxed=[POODLE])
    assert result.boxed.tolist() == [True, False, False]
    means = result.means("ap50")
    assert means == pytest.approx({"all": 2 / 3, "boxed": 1.0, "label_only": 0.5})


def test_a_half_without_nodes_has_no_mean():
    truths = make_truths([(0, DOG, A, False)])
    result = average_precision(TREE, truths, make_scored([]), nodes_boxed=[DOG])
    assert result.means("ap") == {"all": 0.0, "boxed": 0.0, "label_only": None}


def test_no_truth_at_all_gives_no_figure():
    result = average_precision(
        TREE, make_truths([]), make_scored([(0, DOG, 0.9, A)]), nodes_boxed=[]
    )
    assert len(result.nodes) == 0
    assert result.means("ap50") == {"all": None, "boxed": None, "label_only": None}


def test_no_detection_gives_zero():
    truths = make_truths([(0, DOG, A, False), (1, CAT, A, False)])
    result = average_precision(TREE, truths, make_scored([]), nodes_boxed=[])
    assert result.ap50.tolist() == [0.0, 0.0]


def test_boxes_inside_an_ignored_region_are_neither_right_nor_wrong():
    seen = [(0, DOG, B, False), (0, CAT, B, False)]
    scored = make_scored([(0, DOG, 0.9, A), (0, DOG, 0.8, B), (0, CAT, 0.9, A), (0, CAT, 0.8, B)])

    def ap50(*more):
        return average_precision(
            TREE, make_truths([*seen, *more]), scored, nodes_boxed=[]
        ).ap50.tolist()

    assert ap50() == pytest.approx([0.5, 0.5])
    assert ap50((0, POODLE, A, True)) == pytest.approx([1, 0.5]), "a crowd of poodles"
    assert ap50((0, -1, A, False)) == pytest.approx([1, 1]), "an object of unknown label"
    assert ap50((0, -1, A, True)) == pytest.approx([1, 1]), "a category that is left out"


def test_a_photo_is_scored_only_in_nodes_it_is_exhaustive_for():
    truths = make_truths(
        [(0, DOG, A, False), (1, POODLE, B, False), (0, POODLE, A, False)],
        exhaustive=[np.array([DOG]), np.array([POODLE])],
    )
    scored = make_scored(
        [(0, DOG, 0.5, A), (1, DOG, 0.9, FAR), (1, POODLE, 0.5, B), (0, POODLE, 0.9, FAR)]
    )
    result = average_precision(TREE, truths, scored, nodes_boxed=[])
    assert result.ap50.tolist() == [pytest.approx(51 / 101), 1.0], "photo 0 has two dogs"
    assert result.truths.tolist() == [2, 1]
    assert result.left_out["photo not exhaustive for the node"] == 2


def test_a_node_whose_truths_are_never_scored_is_not_evaluated():
    truths = make_truths([(0, DOG, A, False)], exhaustive=[np.array([CAT]), None])
    assert evaluated_nodes(truths).tolist() == []


def test_a_duplicate_is_a_false_positive():
    truths = make_truths([(0, DOG, A, False), (1, DOG, A, False)])
    scored = make_scored([(0, DOG, 0.9, A), (0, DOG, 0.9, A), (1, DOG, 0.8, A)])
    result = average_precision(TREE, truths, scored, nodes_boxed=[])
    assert result.ap50[0] == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_a_box_without_area_is_a_false_positive_even_inside_a_crowd():
    truths = make_truths([(0, DOG, B, False), (0, DOG, A, True)])
    scored = make_scored([(0, DOG, 0.9, [5, 5, 5, 9]), (0, DOG, 0.8, B)])
    result = average_precision(TREE, truths, scored, nodes_boxed=[])
    assert result.ap50[0] == pytest.approx(0.5)


def test_a_huge_box_is_a_false_positive():
    truths = make_truths([(0, DOG, B, False)])
    scored = make_scored([(0, DOG, 0.9, [-1e9, -1e9, 1e9, 1e9]), (0, DOG, 0.8, B)])
    result = average_precision(TREE, truths, scored, nodes_boxed=[])
    assert result.ap50[0] == pytest.approx(0.5)


def test_scores_below_a_thousandth_are_left_out_and_counted():
    truths = make_truths([(0, DOG, A, False)])
    scored = make_scored([(0, DOG, 0.0009, A), (0, DOG, 0.001, FAR)])
    result = average_precision(TREE, truths, scored, nodes_boxed=[])
    assert result.ap50[0] == 0
    assert result.left_out["score below 0.001"] == 1


def test_only_the_best_hundred_of_a_photo_and_node_count():
    truths = make_truths([(0, DOG, A, False)])
    below = [(0, DOG, 0.5, FAR)] * 100
    last = average_precision(TREE, truths, make_scored([*below, (0, DOG, 0.4, A)]), nodes_boxed=[])
    within = average_precision(
        TREE, truths, make_scored([*below[1:], (0, DOG, 0.4, A)]), nodes_boxed=[]
    )
    assert last.ap50[0] == 0
    assert within.ap50[0] == pytest.approx(1 / 100)


def test_precision_curve_has_ap50_as_its_mean():
    truths, scored = random_case(3)
    result = average_precision(TREE, truths, scored, nodes_boxed=[])
    np.testing.assert_allclose(result.precision.mean(1), result.ap50)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((0, DOG, math.nan, A), "scored box 1.*photo 0.*score nan"),
        ((0, DOG, math.inf, A), "scored box 1.*score inf"),
        ((2, DOG, 0.5, A), "scored box 1 is in photo 2, but there are 2 photos"),
        ((-1, DOG, 0.5, A), "scored box 1 is in photo -1"),
        ((0, 7, 0.5, A), "scored box 1 is for node 7, but the tree has 7 nodes"),
        ((0, -1, 0.5, A), "scored box 1 is for node -1"),
        ((0, DOG, 0.5, [0, 0, math.nan, 4]), r"scored box 1.*\[0.0, 0.0, nan, 4.0\]"),
        ((0, DOG, 0.5, [9, 0, 3, 4]), "scored box 1.*x1 <= x2"),
    ],
)
def test_scored_boxes_that_cannot_be_are_refused_by_number(row, words):
    truths = make_truths([(0, DOG, A, False)])
    with pytest.raises(UserError, match=words):
        average_precision(TREE, truths, make_scored([(0, DOG, 0.9, A), row]), nodes_boxed=[])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((2, DOG, A, False), "truth 1 is in photo 2"),
        ((0, DOG, [4, 4, 4, 8], False), "truth 1.*no area"),
        ((0, DOG, [4, 4, math.inf, 8], False), "truth 1.*finite"),
    ],
)
def test_truths_that_cannot_be_are_refused_by_number(row, words):
    with pytest.raises(UserError, match=words):
        make_truths([(0, DOG, A, False), row])


def test_evaluation_prints_nothing(capsys):
    truths, scored = random_case(1)
    average_precision(TREE, truths, scored, nodes_boxed=[])
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_truths_of_samples_keep_their_order_and_add_absent_nodes():
    from data.sample import Sample

    image = np.zeros((30, 40, 3), np.uint8)
    truths = truths_of(
        [
            Sample(image, "background"),
            Sample(
                image,
                "boxed",
                boxes=np.array([A, B], np.float32),
                nodes=np.array([DOG, -1]),
                ignore=np.array([False, True]),
                exhaustive=np.array([DOG]),
                absent=np.array([CAT]),
            ),
        ]
    )
    assert truths.image.tolist() == [1, 1]
    assert truths.node.tolist() == [DOG, -1]
    assert truths.ignore.tolist() == [False, True]
    assert truths.sizes.tolist() == [[30, 40], [30, 40]]
    assert truths.exhaustive[0] is None
    assert truths.exhaustive[1].tolist() == [DOG, CAT]


def test_a_label_only_photo_has_no_truths_and_is_refused():
    from data.sample import Sample

    with pytest.raises(UserError, match=r"photo 0 \(a\.jpg\) is label-only"):
        truths_of([Sample(np.zeros((8, 8, 3), np.uint8), "label_only", path="a.jpg")])
