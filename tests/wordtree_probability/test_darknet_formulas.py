"""Our answers against darknet's tree functions, written out as they stand in its program.

Facts a5: `get_hierarchy_probability`, `hierarchy_predictions`, `hierarchy_top_prediction`; e6: its
detector gives the last one what the second has multiplied already.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wordtree.probability import TreeTables, back_off, leaf_probability, make_classifier
from wordtree.tree import WordTree


def get_hierarchy_probability(x, tree, c):
    p = 1.0
    while c >= 0:
        p *= x[c]
        c = int(tree.parent[c])
    return p


def hierarchy_predictions(x, tree, only_leaves=False):
    x = list(x)
    for j in range(len(x)):
        if tree.parent[j] >= 0:
            x[j] *= x[tree.parent[j]]
    if only_leaves:
        for j in range(len(x)):
            if len(tree.children(j)):
                x[j] = 0.0
    return x


def hierarchy_top_prediction(x, tree, thresh):
    p, group = 1.0, 0
    while True:
        best, best_at = 0.0, 0
        for i in range(int(tree.group_size[group])):
            index = i + int(tree.group_start[group])
            if x[index] > best:
                best, best_at = x[index], index
        if p * best > thresh:
            p *= best
            group = int(tree.child_group[best_at])
            if group < 0:
                return best_at
        elif group == 0:
            return best_at
        else:
            return int(tree.group_parent[group])


def answers(data, tree):
    """Five rows of log P by us, and of conditionals for darknet."""
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    logits = 3 * torch.randn(5, len(tree), generator=generator)
    log_p = make_classifier("siblings", TreeTables.from_tree(tree)).log_p(logits)
    sizes = tree.group_size.tolist()
    exact = torch.cat([z.softmax(1) for z in logits.double().split(sizes, 1)], 1)
    return log_p, exact.tolist()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_probabilities_are_those_of_hierarchy_predictions(trees, data):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    log_p, conditionals = answers(data, tree)
    leaves = leaf_probability(log_p, tables)
    for row, x in enumerate(conditionals):
        absolute = hierarchy_predictions(x, tree)
        assert absolute == pytest.approx(
            [get_hierarchy_probability(x, tree, c) for c in range(len(tree))]
        )
        assert log_p[row].exp().tolist() == pytest.approx(absolute, abs=1e-6)
        expected = hierarchy_predictions(x, tree, only_leaves=True)
        assert leaves[row].tolist() == pytest.approx(expected, abs=1e-6)
        assert torch.all(leaves[row, ~torch.from_numpy(tree.is_leaf)] == 0)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), threshold=st.floats(0.02, 0.98))
def test_back_off_on_a_tree_all_of_labels_is_darknets_top_prediction(trees, data, threshold):
    drawn = data.draw(trees)
    tree = WordTree(drawn.keys, drawn.parent)
    log_p, conditionals = answers(data, tree)
    paper = back_off(log_p, tree, threshold)[0].tolist()
    assert paper == [hierarchy_top_prediction(x, tree, threshold) for x in conditionals]
    double = back_off(log_p, tree, threshold, rule="darknet")[0].tolist()
    absolute = [hierarchy_predictions(x, tree) for x in conditionals]
    assert double == [hierarchy_top_prediction(x, tree, threshold) for x in absolute]


def test_the_double_product_stops_earlier_by_the_powers_of_facts_e6():
    # Five nodes on the path, each with conditional c: darknet asks c^15 > .5 where c^5 is meant.
    parent = [-1, -1, 0, 0, 2, 2, 4, 4, 6, 6]
    tree = WordTree([f"k{i}" for i in range(10)], parent)
    tables = TreeTables.from_tree(tree)
    for c, paper, darknet in ((0.96, 8, 8), (0.95, 8, 6), (0.88, 8, 2), (0.86, 6, 2)):
        conditionals = torch.tensor([[c, 1 - c] * 5])
        log_p = make_classifier("siblings", tables).log_p(conditionals.log())
        assert back_off(log_p, tables, 0.5)[0].item() == paper
        assert back_off(log_p, tables, 0.5, rule="darknet")[0].item() == darknet
