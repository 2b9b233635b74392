"""Back-off, against darknet's observed answers and a loop for one row."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wordtree.errors import UserError
from wordtree.probability import CLASSIFIERS, TreeTables, back_off, make_classifier
from wordtree.tree import WordTree

CONDITIONALS = torch.tensor([[0.9, 0.1, 0.9, 0.05, 0.05, 0.5, 0.5, 0.9, 0.1, 1.0]])


def slow_back_off(tree, p, threshold, rule):
    """Facts a5.3 with the rule about groups of one node, for one row of P(node)."""
    group = [n for n in range(len(tree)) if tree.parent[n] < 0]
    answer, product = None, 1.0
    while group:
        best = max(group, key=lambda n: (p[n], -n))
        if answer is None:
            answer = best
        product *= p[best]
        if not (product if rule == "darknet" else p[best]) > threshold:
            break
        if len(group) > 1 or tree.labelled[best] or rule == "darknet":
            answer = best
        group = tree.children(best).tolist()
    return answer


def random_log_p(data, tree, name, rows):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    logits = 4 * torch.randn(rows, len(tree), generator=generator)
    return make_classifier(name, TreeTables.from_tree(tree)).log_p(logits)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(sorted(CLASSIFIERS)),
    rule=st.sampled_from(["path", "darknet"]),
    threshold=st.floats(0.02, 0.98),
)
def test_back_off_equals_the_loop(trees, data, name, rule, threshold):
    tree = data.draw(trees)
    log_p = random_log_p(data, tree, name, 5)
    node, log_probability = back_off(log_p, tree, threshold, rule=rule)
    expected = [slow_back_off(tree, row.exp().tolist(), threshold, rule) for row in log_p]
    assert node.tolist() == expected
    assert torch.equal(log_probability, log_p[torch.arange(5), node])


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(sorted(CLASSIFIERS)),
    rule=st.sampled_from(["path", "darknet"]),
    thresholds=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_back_off_never_gets_deeper_as_the_threshold_rises(trees, data, name, rule, thresholds):
    tree = data.draw(trees)
    log_p = random_log_p(data, tree, name, 5)
    deep, shallow = (back_off(log_p, tree, t, rule=rule)[0] for t in thresholds)
    assert tree.is_ancestor(shallow.numpy(), deep.numpy()).all()


@pytest.mark.parametrize(
    ("threshold", "node"), [(0.5, 7), (0.6, 7), (0.81, 0), (0.9, 0), (0.95, 0)]
)
def test_darknets_top_prediction_on_conditionals(small_tree, small_tables, threshold, node):
    log_p = make_classifier("siblings", small_tables).log_p(CONDITIONALS.log())
    assert back_off(log_p, small_tree, threshold)[0].tolist() == [node]


@pytest.mark.parametrize(("threshold", "node"), [(0.5, 7), (0.53, 7), (0.6, 2), (0.81, 0)])
def test_darknets_double_product(small_tables, threshold, node):
    log_p = make_classifier("siblings", small_tables).log_p(CONDITIONALS.log())
    found, log_probability = back_off(log_p, small_tables, threshold, rule="darknet")
    assert found.tolist() == [node]
    assert log_probability.item() == log_p[0, node].item()


def test_nothing_but_nan_gives_the_first_top_node(small_tables):
    node, _ = back_off(torch.full((2, 10), math.nan), small_tables, 0.5)
    assert node.tolist() == [0, 0]


def test_exactly_the_threshold_does_not_pass():
    tree = WordTree(["a", "b", "c", "d", "e"], [-1, 0, 0, 0, 0])
    # Two ways to one half whose logarithms round differently: 1/2 + 1/2, and 3/6 + 1/6 * 3.
    logits = torch.tensor([[0, 0, 0, -99, -99], [0, math.log(3), 0, 0, 0]])
    log_p = make_classifier("siblings", TreeTables.from_tree(tree)).log_p(logits)
    torch.testing.assert_close(log_p[:, 1].exp(), torch.tensor([0.5, 0.5]))
    assert back_off(log_p, tree, 0.5)[0].tolist() == [0, 0]
    assert back_off(log_p, tree, 0.4999)[0].tolist() == [1, 1]


def test_threshold_zero_goes_down_to_a_leaf_and_one_stays_at_the_top(small_tables):
    log_p = torch.full((1, 10), -300.0)
    assert back_off(log_p, small_tables, 0)[0].tolist() == [7]
    assert back_off(torch.zeros(1, 10), small_tables, 1)[0].tolist() == [0]


@pytest.mark.parametrize(
    ("labelled", "node"),
    [
        ([True, False, False, False], 0),
        ([True, False, True, False], 2),
        ([True, True, False, False], 1),
        ([True, False, False, True], 3),
    ],
)
def test_a_chain_of_single_children_is_followed_only_to_a_labelled_node(labelled, node):
    tree = WordTree(["a", "b", "c", "d"], [-1, 0, 1, 2], labelled=labelled)
    assert back_off(torch.zeros(1, 4), tree, 0.5)[0].tolist() == [node]


def test_a_real_choice_below_a_single_child_is_still_reached():
    tree = WordTree(["a", "x", "b", "c", "d"], [-1, -1, 0, 2, 2], labelled=[False] * 5)
    p = torch.tensor([[0.9, 0.1, 0.9, 0.8, 0.1], [0.9, 0.1, 0.9, 0.46, 0.44]])
    assert back_off(p.log(), tree, 0.5)[0].tolist() == [3, 0]


def test_ties_go_to_the_lower_index(small_tables):
    log_p = make_classifier("siblings", small_tables).log_p(torch.zeros(1, 10))
    assert back_off(log_p, small_tables, 0.01)[0].tolist() == [7]


def test_no_rows_give_no_rows(small_tables):
    node, log_probability = back_off(torch.zeros(0, 10), small_tables, 0.5)
    assert node.shape == log_probability.shape == (0,)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, math.nan])
def test_a_threshold_that_is_no_probability_is_refused(small_tables, threshold):
    with pytest.raises(UserError, match="threshold"):
        back_off(torch.zeros(1, 10), small_tables, threshold)


def test_an_unknown_rule_is_refused(small_tables):
    with pytest.raises(UserError, match="rule=paper"):
        back_off(torch.zeros(1, 10), small_tables, 0.5, rule="paper")
