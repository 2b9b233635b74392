"""Leaves, terminals and nodes by name, as distributions."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wordtree.errors import UserError
from wordtree.probability import (
    CLASSIFIERS,
    TreeTables,
    leaf_probability,
    make_classifier,
    node_probability,
    terminal_probability,
)


def random_logits(data, tree, rows=3):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    return 4 * torch.randn(rows, len(tree), generator=generator)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(CLASSIFIERS)))
def test_terminals_are_a_distribution_and_add_up_to_every_node(trees, data, name):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    log_p = make_classifier(name, tables).log_p(random_logits(data, tree))
    terminals = terminal_probability(log_p, tables)
    assert torch.all(terminals >= 0)
    torch.testing.assert_close(terminals.sum(1), torch.ones(3))
    for node in range(len(tree)):
        below = terminals[:, tables.subtree_start[node] : tables.subtree_stop[node]].sum(1)
        torch.testing.assert_close(below, log_p[:, node].exp(), atol=1e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_terminals_of_the_flat_classifier_are_its_softmax(trees, data):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    logits = random_logits(data, tree)
    terminals = terminal_probability(make_classifier("flat", tables).log_p(logits), tables)
    expected = F.softmax(logits[:, tables.terminals], 1)
    torch.testing.assert_close(terminals, expected, atol=1e-5, rtol=0)


def test_rounding_makes_no_terminal_negative(small_tables):
    logits = torch.randn(2000, 10, generator=torch.Generator().manual_seed(7))
    log_p = make_classifier("siblings", small_tables).log_p(logits)
    assert torch.all(terminal_probability(log_p, small_tables) >= 0)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_leaves_of_the_sibling_softmax_are_a_distribution(trees, data):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    log_p = make_classifier("siblings", tables).log_p(random_logits(data, tree))
    leaves = leaf_probability(log_p, tables)
    torch.testing.assert_close(leaves.sum(1), torch.ones(3))
    assert torch.equal(leaves > 0, (log_p.exp() > 0) & torch.from_numpy(tree.is_leaf))


def test_other_nodes_can_be_taken_for_the_leaves(small_tables):
    log_p = make_classifier("siblings", small_tables).log_p(torch.zeros(1, 10))
    p = leaf_probability(log_p, small_tables, torch.tensor([2, 1]))[0]
    assert p.nonzero().squeeze(1).tolist() == [1, 2]
    torch.testing.assert_close(p[[1, 2]], torch.tensor([1 / 2, 1 / 6]))


def test_nodes_are_found_by_key(small_tree, small_tables):
    log_p = make_classifier("siblings", small_tables).log_p(torch.zeros(2, 10))
    found = node_probability(log_p, small_tree, ["c0", "r1"])
    torch.testing.assert_close(found, torch.tensor([[1 / 12, 1 / 2]] * 2))
    torch.testing.assert_close(node_probability(log_p, small_tree, "r1"), torch.full((2,), 0.5))


def test_a_key_that_is_not_in_the_tree_is_refused(small_tree):
    with pytest.raises(UserError, match="r9"):
        node_probability(torch.zeros(1, 10), small_tree, ["r9"])


def test_no_rows_give_no_rows(small_tree, small_tables):
    none = torch.zeros(0, 10)
    assert node_probability(none, small_tree, ["a0"]).shape == (0, 1)
    assert leaf_probability(none, small_tables).shape == (0, 10)
    assert terminal_probability(none, small_tables).shape == (0, 10)
