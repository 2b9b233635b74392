"""Bits that a label says, and the decision that expects most of them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wordtree.errors import UserError
from wordtree.probability import (
    CLASSIFIERS,
    TreeTables,
    expected_information,
    information,
    make_classifier,
    most_informative,
)
from wordtree.tree import WordTree


def bits(tree):
    """log2 of the terminals there are over those in the subtree, from the definition."""
    terminals = [n for n in range(len(tree)) if tree.labelled[n] or not len(tree.children(n))]
    below = [sum(tree.is_ancestor(node, t) for t in terminals) for node in range(len(tree))]
    return [math.log2(len(terminals) / count) for count in below]


def random_log_p(data, tree, name):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    logits = 3 * torch.randn(4, len(tree), generator=generator)
    return make_classifier(name, TreeTables.from_tree(tree)).log_p(logits)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_information_equals_its_definition_and_grows_down_the_tree(trees, data):
    tree = data.draw(trees)
    found = information(TreeTables.from_tree(tree))
    assert found.tolist() == pytest.approx(bits(tree), abs=1e-5)
    below = torch.arange(int(tree.group_size[0]), len(tree))
    assert torch.all(found[below] >= found[torch.from_numpy(tree.parent.copy())[below]])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(CLASSIFIERS)), bonus=st.floats(0, 20))
def test_the_most_informative_node_is_the_loops(trees, data, name, bonus):
    tree = data.draw(trees)
    log_p = random_log_p(data, tree, name)
    node, log_probability = most_informative(log_p, tree, bonus=bonus)
    said = bits(tree)
    for row, p in enumerate(log_p.exp().tolist()):
        worth = [p[n] * (said[n] + bonus) for n in range(len(tree))]
        assert worth[node[row]] == pytest.approx(max(worth), abs=1e-4)
    assert torch.equal(log_probability, log_p[torch.arange(4), node])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), bonuses=st.tuples(st.floats(0, 9), st.floats(0, 9)).map(sorted))
def test_a_greater_bonus_gives_a_surer_node(trees, data, bonuses):
    tree = data.draw(trees)
    log_p = random_log_p(data, tree, "siblings")
    bold, careful = (most_informative(log_p, tree, bonus=b)[1].exp() for b in bonuses)
    assert torch.all(careful >= bold - 1e-4)


def test_a_choice_among_equals_says_log2_of_their_number():
    tables = TreeTables.from_tree(WordTree([f"k{i}" for i in range(8)], [-1] * 8))
    assert information(tables).tolist() == [3.0] * 8
    log_p = torch.full((1, 8), 1 / 8).log()
    expected = expected_information(log_p, tables)
    torch.testing.assert_close(expected, torch.full((1, 8), 3 / 8))


def test_a_node_above_everything_says_nothing_and_is_named_by_a_great_bonus():
    tree = WordTree(["all", "a", "b"], [-1, 0, 0], labelled=[False, True, True])
    assert information(TreeTables.from_tree(tree)).tolist() == [0, 1, 1]
    log_p = torch.tensor([[1.0, 0.4, 0.6]]).log()
    assert most_informative(log_p, tree)[0].tolist() == [2]
    # .6 x (1 + bonus) against 1 x bonus: equal at 1.5.
    assert most_informative(log_p, tree, bonus=1.4)[0].tolist() == [2]
    assert most_informative(log_p, tree, bonus=1.6)[0].tolist() == [0]


def test_half_precision_is_taken_and_float32_given(small_tables):
    log_p = torch.full((2, 10), -1.0, dtype=torch.bfloat16)
    assert expected_information(log_p, small_tables).dtype == torch.float32
    assert most_informative(log_p, small_tables)[1].dtype == torch.float32


@pytest.mark.parametrize("bonus", [-1.0, math.inf, math.nan])
def test_a_bonus_that_is_no_number_of_bits_is_refused(small_tables, bonus):
    with pytest.raises(UserError, match="bonus"):
        most_informative(torch.zeros(1, 10), small_tables, bonus=bonus)


def test_no_rows_give_no_rows(small_tables):
    node, log_probability = most_informative(torch.zeros(0, 10), small_tables)
    assert node.shape == log_probability.shape == (0,)
