"""Rows, and class logits on demand."""

from __future__ import annotations

import pytest
import torch

SHAPES = [(1, 1, 4, 4), (2, 3, 3, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_numbered_image_anchor_y_x(make_predictions, shape):
    predictions = make_predictions(shape)
    rows = torch.arange(len(predictions))
    expected = [
        (b, a, y, x)
        for b in range(shape[0])
        for a in range(shape[1])
        for y in range(shape[2])
        for x in range(shape[3])
    ]
    found = torch.stack(predictions.locate(rows), 1).tolist()
    assert [tuple(row) for row in found] == expected
    assert torch.equal(predictions.row(*predictions.locate(rows)), rows)


def slow_logit(predictions, row: int, node: int) -> torch.Tensor:
    """One logit, from the definition: weights of the row's anchor times features of its cell."""
    image, anchor, y, x = (int(v) for v in predictions.locate(torch.tensor([row])))
    which = anchor if len(predictions.class_weight) > 1 else 0
    features = predictions.class_features[image, :, y, x]
    return features @ predictions.class_weight[which][node] + predictions.class_bias[which][node]


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_class_logits_of_any_rows_and_nodes_equal_the_dense_definition(
    make_predictions, shape, share
):
    predictions = make_predictions(shape, share=share)
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(len(predictions), (9,), generator=generator)
    nodes = torch.tensor([7, 0, 3])
    found = predictions.class_logits(rows, nodes)
    for i, row in enumerate(rows.tolist()):
        for j, node in enumerate(nodes.tolist()):
            torch.testing.assert_close(found[i, j], slow_logit(predictions, row, node))
    torch.testing.assert_close(found, predictions.class_logits(rows)[:, nodes])


def test_class_logits_of_no_rows_are_empty(make_predictions):
    predictions = make_predictions((2, 3, 3, 5))
    assert predictions.class_logits(torch.zeros(0, dtype=torch.int64)).shape == (0, 10)


@pytest.mark.parametrize("classifier", ["siblings", "flat"])
@pytest.mark.parametrize("block", [1, 4_000_000])
def test_pair_log_probability_equals_log_p_of_all_nodes(
    make_predictions, monkeypatch, classifier, block
):
    monkeypatch.setattr("detector.predictions.BLOCK", block)
    predictions = make_predictions((2, 3, 3, 5), classifier=classifier)
    generator = torch.Generator().manual_seed(2)
    rows = torch.randint(len(predictions), (20,), generator=generator)
    nodes = torch.randint(10, (20,), generator=generator)
    dense = predictions.classifier.log_p(predictions.class_logits(rows))
    expected = dense[torch.arange(20), nodes]
    torch.testing.assert_close(predictions.pair_log_probability(rows, nodes), expected)
