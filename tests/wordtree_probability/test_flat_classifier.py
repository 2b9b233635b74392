"""One softmax over the terminals, sums over subtrees, against loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wordtree.errors import UserError
from wordtree.probability import CLASSIFIERS, TreeTables, make_classifier
from wordtree.tree import WordTree


def is_terminal(tree, node):
    return bool(tree.labelled[node]) or len(tree.children(node)) == 0


def probabilities(tree, logits):
    """P(node) of one row, from the definition, in double."""
    terminals = [n for n in range(len(tree)) if is_terminal(tree, n)]
    peak = max(logits[n] for n in terminals)
    weight = {n: math.exp(logits[n] - peak) for n in terminals}
    total = sum(weight.values())
    return [
        sum(w for n, w in weight.items() if tree.is_ancestor(node, n)) / total
        for node in range(len(tree))
    ]


def random_logits(data, rows, columns):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    return 4 * torch.randn(rows, columns, generator=generator)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_log_p_and_loss_equal_the_loops(trees, data):
    tree = data.draw(trees)
    classifier = make_classifier("flat", TreeTables.from_tree(tree))
    nodes = torch.tensor(data.draw(st.lists(st.integers(0, len(tree) - 1), max_size=4)), dtype=int)
    logits = random_logits(data, len(nodes), len(tree))
    log_p = classifier.log_p(logits)
    columns = classifier.columns(nodes)
    loss = classifier.loss(logits[:, columns.nodes], columns, nodes)
    assert log_p.shape == logits.shape
    for row, node in enumerate(nodes.tolist()):
        expected = probabilities(tree, logits[row].tolist())
        assert log_p[row].exp().tolist() == pytest.approx(expected, abs=1e-6)
        assert loss[row].item() == pytest.approx(-math.log(expected[node]), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_both_gradients_equal_autograd_through_a_masked_logsumexp(trees, data):
    tree = data.draw(trees)
    classifier = make_classifier("flat", TreeTables.from_tree(tree))
    nodes = torch.arange(len(tree))
    logits = random_logits(data, len(tree), len(tree)).double().requires_grad_()
    columns = classifier.columns(nodes)
    z = logits[:, columns.nodes]
    below = torch.tensor([[tree.is_ancestor(n, t) for t in columns.nodes] for n in nodes.tolist()])
    slow = z.logsumexp(1) - z.masked_fill(~below, -math.inf).logsumexp(1)
    weight = torch.arange(1.0, len(tree) + 1)
    expected = torch.autograd.grad((slow * weight).sum(), logits, retain_graph=True)[0]
    by_loss = (classifier.loss(z, columns, nodes) * weight).sum()
    by_log_p = -(classifier.log_p(logits).diagonal() * weight).sum()
    for scalar in (by_loss, by_log_p):
        found = torch.autograd.grad(scalar, logits, retain_graph=True)[0]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
def test_huge_logits_stay_finite_and_children_and_own_terminal_sum_to_the_node(trees, data, dtype):
    tree = data.draw(trees)
    classifier = make_classifier("flat", TreeTables.from_tree(tree))
    signs = data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=len(tree), max_size=len(tree)))
    logits = (1e4 * torch.tensor([signs])).to(dtype)
    log_p = classifier.log_p(logits)
    assert torch.isfinite(log_p).all()
    p = log_p.exp()[0]
    nodes = torch.arange(len(tree))
    columns = classifier.columns(nodes)
    own = torch.zeros(len(tree))
    own[columns.nodes] = F.softmax(logits[0, columns.nodes].float(), 0)
    for node in range(len(tree)):
        children = tree.children(node)
        assert (p[children].sum() + own[node]).item() == pytest.approx(p[node].item(), abs=1e-5)
    top = tree.group == 0
    assert p[top].sum().item() == pytest.approx(1, abs=1e-5)
    wide = logits[:, columns.nodes].expand(len(tree), -1).clone().requires_grad_()
    loss = classifier.loss(wide, columns, nodes)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(wide.grad).all()
    assert torch.all(loss >= 0)
    assert wide.grad.dtype == dtype


def test_only_leaves_is_plain_cross_entropy():
    tree = WordTree(list("abcde"), [-1] * 5)
    classifier = make_classifier("flat", TreeTables.from_tree(tree))
    logits = torch.randn(5, 5, requires_grad=True)
    nodes = torch.tensor([4, 3, 2, 1, 0])
    columns = classifier.columns(nodes)
    ours = classifier.loss(logits[:, columns.nodes], columns, nodes)
    flat = F.cross_entropy(logits, nodes, reduction="none")
    torch.testing.assert_close(ours, flat)
    torch.testing.assert_close(
        torch.autograd.grad(ours.sum(), logits)[0], torch.autograd.grad(flat.sum(), logits)[0]
    )
    torch.testing.assert_close(classifier.log_p(logits), F.log_softmax(logits, 1))


def test_a_label_says_nothing_about_what_is_below_it(small_tables):
    # Raising a whole subtree moves its terminals in proportion: their mutual shares stay.
    classifier = make_classifier("flat", small_tables)
    nodes = torch.tensor([2])
    columns = classifier.columns(nodes)
    logits = torch.randn(1, 10, generator=torch.Generator().manual_seed(3)).requires_grad_()
    classifier.loss(logits, columns, nodes).sum().backward()
    below = torch.isin(columns.nodes, torch.tensor([2, 7, 8]))
    pull = -logits.grad[0, below]
    assert torch.all(pull > 0)
    torch.testing.assert_close(pull / pull.sum(), F.softmax(logits[0, below].detach(), 0))


def test_a_node_above_everything_costs_exactly_nothing():
    tree = WordTree(["a", "b", "c"], [-1, 0, 0])
    classifier = make_classifier("flat", TreeTables.from_tree(tree))
    nodes = torch.tensor([0])
    columns = classifier.columns(nodes)
    logits = torch.tensor([[5.0, -3.0, 2.0]], requires_grad=True)
    loss = classifier.loss(logits, columns, nodes)
    loss.sum().backward()
    assert loss.item() == 0
    assert torch.all(logits.grad == 0)


def test_logits_of_unlabelled_inner_nodes_are_never_read():
    tree = WordTree(["a", "b", "c", "d"], [-1, -1, 0, 0], labelled=[False, True, True, True])
    classifier = make_classifier("flat", TreeTables.from_tree(tree))
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    other = torch.tensor([[99.0, 1.0, 2.0, 3.0]])
    assert classifier.columns(torch.tensor([0])).nodes.tolist() == [2, 3, 1]
    assert torch.equal(classifier.log_p(logits), classifier.log_p(other))


@pytest.mark.parametrize("name", sorted(CLASSIFIERS))
def test_log_p_of_given_nodes_is_those_columns(small_tables, name):
    classifier = make_classifier(name, small_tables)
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(4))
    nodes = torch.tensor([9, 0, 3])
    assert torch.equal(classifier.log_p(logits, nodes), classifier.log_p(logits)[:, nodes])


@pytest.mark.parametrize("name", sorted(CLASSIFIERS))
def test_no_rows_give_no_rows(small_tables, name):
    classifier = make_classifier(name, small_tables)
    none = torch.zeros(0, dtype=torch.long)
    columns = classifier.columns(none)
    logits = torch.zeros(0, len(columns.nodes), requires_grad=True)
    loss = classifier.loss(logits, columns, none)
    loss.sum().backward()
    assert loss.shape == (0,)
    assert logits.grad.shape == logits.shape
    assert classifier.log_p(torch.zeros(0, 10)).shape == (0, 10)


def test_an_unknown_classifier_is_refused_with_the_known_ones(small_tables):
    with pytest.raises(UserError, match=r"classifier=flatt .* siblings, flat"):
        make_classifier("flatt", small_tables)
