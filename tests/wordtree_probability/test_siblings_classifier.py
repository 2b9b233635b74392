"""One softmax a group, against loops written from darknet's formulas (facts a5, c7)."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wordtree.errors import UserError
from wordtree.probability import TreeTables, make_classifier, path_sums, sibling_log_softmax
from wordtree.tree import WordTree


def conditionals(tree, logits):
    """P(node | parent) of one row, from the definition, in double."""
    result = []
    for node in range(len(tree)):
        siblings = [n for n in range(len(tree)) if tree.parent[n] == tree.parent[node]]
        peak = max(logits[n] for n in siblings)
        total = sum(math.exp(logits[n] - peak) for n in siblings)
        result.append(math.exp(logits[node] - peak) / total)
    return result


def class_delta(tree, logits, node):
    """darknet's delta (minus the gradient): 1[path node] - p on every group of the path."""
    delta = [0.0] * len(tree)
    p = conditionals(tree, logits)
    while node >= 0:
        for sibling in range(len(tree)):
            if tree.parent[sibling] == tree.parent[node]:
                delta[sibling] = (sibling == node) - p[sibling]
        node = tree.parent[node]
    return delta


def random_logits(data, rows, columns, scale=4.0):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    return scale * torch.randn(rows, columns, generator=generator)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_full_form_equals_the_loops(trees, data):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    logits = random_logits(data, 3, len(tree))
    log_conditional = sibling_log_softmax(logits, tables)
    log_p = make_classifier("siblings", tables).log_p(logits)
    for row in range(3):
        p = conditionals(tree, logits[row].tolist())
        assert log_conditional[row].exp().tolist() == pytest.approx(p, abs=1e-6)
        for node in range(len(tree)):
            product = math.prod(p[n] for n in tree.path(node))
            assert log_p[row, node].exp().item() == pytest.approx(product, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_loss_and_gradient_on_path_columns_equal_the_loops(trees, data):
    tree = data.draw(trees)
    classifier = make_classifier("siblings", TreeTables.from_tree(tree))
    nodes = torch.tensor(data.draw(st.lists(st.integers(0, len(tree) - 1), max_size=5)), dtype=int)
    dense = random_logits(data, len(nodes), len(tree))
    columns = classifier.columns(nodes)
    logits = dense[:, columns.nodes].requires_grad_()
    loss = classifier.loss(logits, columns, nodes)
    weight = torch.arange(1.0, len(nodes) + 1)
    (loss * weight).sum().backward()
    expected = classifier.log_p(dense)[torch.arange(len(nodes)), nodes]
    torch.testing.assert_close(loss, -expected, atol=1e-5, rtol=1e-5)
    for row, node in enumerate(nodes.tolist()):
        delta = torch.tensor(class_delta(tree, dense[row].tolist(), node), dtype=torch.float32)
        torch.testing.assert_close(
            logits.grad[row], -weight[row] * delta[columns.nodes], atol=1e-5, rtol=1e-5
        )
        # Exactly 0, not small, outside the groups of the row's own path.
        assert torch.all(logits.grad[row][delta[columns.nodes] == 0] == 0)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_columns_are_the_union_of_the_groups_on_the_paths(trees, data):
    tree = data.draw(trees)
    nodes = data.draw(st.lists(st.integers(0, len(tree) - 1), max_size=4))
    columns = make_classifier("siblings", TreeTables.from_tree(tree)).columns(
        torch.tensor(nodes, dtype=int)
    )
    groups = {int(tree.group[n]) for node in nodes for n in tree.path(node)}
    expected = [n for n in range(len(tree)) if int(tree.group[n]) in groups]
    assert columns.nodes.tolist() == expected
    assert columns.place[columns.nodes].tolist() == list(range(len(expected)))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_softmax_of_given_columns_equals_those_of_the_full_one(trees, data):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    nodes = torch.tensor(data.draw(st.lists(st.integers(0, len(tree) - 1), max_size=3)), dtype=int)
    chosen = make_classifier("siblings", tables).columns(nodes).nodes
    logits = random_logits(data, 2, len(tree))
    full = sibling_log_softmax(logits, tables)[:, chosen]
    given = sibling_log_softmax(logits[:, chosen], tables, chosen)
    torch.testing.assert_close(given, full, atol=1e-5, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
def test_huge_logits_stay_finite_and_children_sum_to_their_parent(trees, data, dtype):
    tree = data.draw(trees)
    classifier = make_classifier("siblings", TreeTables.from_tree(tree))
    signs = data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=len(tree), max_size=len(tree)))
    logits = (1e4 * torch.tensor([signs])).to(dtype)
    log_p = classifier.log_p(logits)
    assert log_p.dtype == torch.float32
    assert torch.isfinite(log_p).all()
    p = log_p.exp()[0]
    for node in range(len(tree)):
        children = tree.children(node)
        if len(children):
            assert p[children].sum().item() == pytest.approx(p[node].item(), abs=1e-5)
    assert p[tree.is_leaf].sum().item() == pytest.approx(1, abs=1e-5)
    nodes = torch.arange(len(tree))
    columns = classifier.columns(nodes)
    wide = logits.expand(len(tree), -1).clone().requires_grad_()
    loss = classifier.loss(wide, columns, nodes)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(wide.grad).all()
    assert wide.grad.dtype == dtype
    again = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.log_p(again).sum(), again)
    assert torch.isfinite(gradient).all()
    assert gradient.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_children_sum_to_their_parent_in_darknets_tree(nine_k, dtype, scale):
    tables = TreeTables.from_tree(nine_k)
    generator = torch.Generator().manual_seed(6)
    logits = (scale * (2 * torch.rand(8, len(nine_k), generator=generator) - 1)).to(dtype)
    log_p = make_classifier("siblings", tables).log_p(logits)
    assert torch.isfinite(log_p).all()
    sums = torch.zeros(8, len(tables.group_size)).index_add(1, tables.group, log_p.exp())
    expected = torch.cat([torch.ones(8, 1), log_p.exp()[:, tables.group_parent[1:]]], 1)
    torch.testing.assert_close(sums, expected, atol=1e-5, rtol=0)


def test_a_group_far_below_the_rows_maximum_keeps_its_probabilities(small_tables):
    logits = torch.zeros(1, 10)
    logits[0, 0] = 1000.0
    logits[0, 5:7] = torch.tensor([-500.0, -500.0])
    assert sibling_log_softmax(logits, small_tables)[0, 5].exp().item() == pytest.approx(0.5)


def test_one_level_tree_is_a_plain_softmax():
    tree = WordTree(list("abcde"), [-1] * 5)
    classifier = make_classifier("siblings", TreeTables.from_tree(tree))
    logits = torch.randn(7, 5, requires_grad=True)
    nodes = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    torch.testing.assert_close(classifier.log_p(logits), F.log_softmax(logits, 1))
    ours = classifier.loss(logits, classifier.columns(nodes), nodes)
    flat = F.cross_entropy(logits, nodes, reduction="none")
    torch.testing.assert_close(ours, flat)
    torch.testing.assert_close(
        torch.autograd.grad(ours.sum(), logits)[0], torch.autograd.grad(flat.sum(), logits)[0]
    )


def test_singleton_groups_cost_nothing_and_learn_nothing():
    tree = WordTree(["a", "b", "c"], [-1, 0, 1])
    classifier = make_classifier("siblings", TreeTables.from_tree(tree))
    logits = torch.tensor([[3.0, -1e4, 7.0]], requires_grad=True)
    node = torch.tensor([2])
    loss = classifier.loss(logits, classifier.columns(node), node)
    loss.sum().backward()
    assert loss.item() == 0
    assert torch.all(logits.grad == 0)
    log_p = classifier.log_p(logits)
    assert torch.all(log_p == 0)
    assert torch.all(torch.autograd.grad(log_p.sum(), logits)[0] == 0)


def test_full_form_has_the_right_gradient(small_tables):
    logits = torch.randn(2, 10, generator=torch.Generator().manual_seed(1)).requires_grad_()
    classifier = make_classifier("siblings", small_tables)
    nodes = torch.tensor([7, 5])
    by_loss = classifier.loss(logits, classifier.columns(torch.arange(10)), nodes)
    by_log_p = -classifier.log_p(logits, nodes).diagonal()
    torch.testing.assert_close(
        torch.autograd.grad(by_log_p.sum(), logits)[0],
        torch.autograd.grad(by_loss.sum(), logits)[0],
    )


def test_darknets_class_delta_vector(small_tables):
    p = torch.tensor([[0.9, 0.1, 0.9, 0.05, 0.05, 0.5, 0.5, 0.9, 0.1, 1.0]])
    classifier = make_classifier("siblings", small_tables)
    expected = {
        7: [0.1, -0.1, 0.1, -0.05, -0.05, 0, 0, 0.1, -0.1, 0],
        2: [0.1, -0.1, 0.1, -0.05, -0.05, 0, 0, 0, 0, 0],
    }
    for node, delta in expected.items():
        logits = p.log().requires_grad_()
        nodes = torch.tensor([node])
        columns = classifier.columns(torch.arange(10))
        classifier.loss(logits, columns, nodes).sum().backward()
        torch.testing.assert_close(-logits.grad[0], torch.tensor(delta), atol=1e-6, rtol=0)
    absolute = torch.tensor([0.9, 0.1, 0.81, 0.045, 0.045, 0.05, 0.05, 0.729, 0.081, 0.05])
    torch.testing.assert_close(classifier.log_p(p.log()).exp()[0], absolute)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_taken_and_float32_computed(small_tables, dtype, autocast):
    logits = torch.randn(3, 10, generator=torch.Generator().manual_seed(8)).to(dtype)
    expected = sibling_log_softmax(logits.float(), small_tables)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        whole = sibling_log_softmax(logits, small_tables)
        given = sibling_log_softmax(logits, small_tables, torch.arange(10))
        sums = path_sums(whole, small_tables)
    assert whole.dtype == given.dtype == sums.dtype == torch.float32
    assert torch.equal(whole, expected)
    torch.testing.assert_close(given, expected, atol=1e-6, rtol=1e-6)
    assert torch.equal(sums, path_sums(expected, small_tables))


@pytest.mark.parametrize("name", ["siblings", "flat"])
def test_autocast_changes_nothing(small_tables, name):
    classifier = make_classifier(name, small_tables)
    logits = 5 * torch.randn(3, 10, generator=torch.Generator().manual_seed(2))
    nodes = torch.tensor([7, 2, 9])
    columns = classifier.columns(nodes)
    asked = logits[:, columns.nodes]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, log_p = classifier.loss(asked, columns, nodes), classifier.log_p(logits)
    assert loss.dtype == log_p.dtype == torch.float32
    assert torch.equal(loss, classifier.loss(asked, columns, nodes))
    assert torch.equal(log_p, classifier.log_p(logits))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_gradients_of_the_full_form_equal_autograd_through_the_loop(trees, data):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    logits = random_logits(data, 3, len(tree)).requires_grad_()
    exact = logits.detach().double().requires_grad_()
    groups = torch.from_numpy(tree.group_size.copy()).tolist()
    conditional = torch.cat([z.log_softmax(1) for z in exact.split(groups, 1)], 1)
    sums = torch.stack([conditional[:, tree.path(n)].sum(1) for n in range(len(tree))], 1)
    weight = random_logits(data, 3, len(tree), scale=1.0)
    for fast, slow in (
        (sibling_log_softmax(logits, tables), conditional),
        (path_sums(sibling_log_softmax(logits, tables), tables), sums),
        (make_classifier("siblings", tables).log_p(logits), sums),
    ):
        torch.testing.assert_close(fast.double(), slow, atol=1e-4, rtol=1e-5)
        found = torch.autograd.grad(fast, logits, weight, retain_graph=True)[0]
        expected = torch.autograd.grad(slow, exact, weight.double(), retain_graph=True)[0]
        torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_order_by_size_gives_the_same_numbers_in_another_place(trees, data):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    logits = random_logits(data, 2, len(tree))
    by_size = sibling_log_softmax(logits[:, tables.by_size], tables, order="size")
    in_tree_order = sibling_log_softmax(logits, tables)
    assert torch.equal(by_size, in_tree_order[:, tables.by_size])
    expected = path_sums(in_tree_order, tables)
    assert torch.equal(path_sums(by_size, tables, order="size"), expected)


@pytest.mark.parametrize("function", [sibling_log_softmax, path_sums])
def test_an_unknown_order_is_refused(small_tables, function):
    with pytest.raises(UserError, match="order=depth"):
        function(torch.zeros(1, 10), small_tables, order="depth")


def test_path_sums_add_up_the_path(small_tables):
    values = torch.arange(1.0, 11.0)[None]
    assert path_sums(values, small_tables)[0].tolist() == [1, 2, 4, 5, 6, 8, 9, 12, 13, 18]
