"""The tables say what the tree says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wordtree.errors import UserError
from wordtree.probability import TreeTables, back_off, make_classifier
from wordtree.probability.paths import path_entries
from wordtree.tree import WordTree


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_terminals_of_a_subtree_are_one_slice(trees, data):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    for node in range(len(tree)):
        found = tables.terminals[tables.subtree_start[node] : tables.subtree_stop[node]]
        expected = [
            other
            for other in range(len(tree))
            if tree.is_ancestor(node, other)
            and (len(tree.children(other)) == 0 or tree.labelled[other])
        ]
        assert sorted(found.tolist()) == expected
        if tree.labelled[node]:
            assert found[0] == node


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_levels_hold_every_node_once_with_its_group_and_parent(trees, data):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    by_level = torch.cat([level.nodes for level in tables.levels])
    assert torch.equal(by_level[tables.place_by_level], torch.arange(len(tree)))
    assert torch.equal(by_level, tables.by_level)
    for depth, level in enumerate(tables.levels):
        assert np.all(tree.depth[level.nodes] == depth)
        assert level.lengths.tolist() == torch.bincount(level.segment).tolist()
        assert level.largest == level.lengths.max()
        if depth:
            assert torch.equal(level.above, level.parents[level.segment])
            above = tables.levels[depth - 1].nodes[level.above]
            assert above.tolist() == tables.parent[level.nodes].tolist()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_size_class_is_a_slice_with_a_group_in_each_column(trees, data):
    tree = data.draw(trees)
    tables = TreeTables.from_tree(tree)
    assert torch.equal(tables.by_size[tables.place_by_size], torch.arange(len(tree)))
    slices = tables.by_size.split([size * groups for size, groups in tables.size_classes])
    found = []
    for nodes, (size, groups) in zip(slices, tables.size_classes, strict=True):
        found += nodes.view(size, groups).T.tolist()
    expected = [
        list(range(start, start + size))
        for start, size in zip(tree.group_start.tolist(), tree.group_size.tolist(), strict=True)
    ]
    assert sorted(found) == expected


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_path_entries_are_the_trees_paths_one_after_another(trees, data):
    tree = data.draw(trees)
    nodes = data.draw(st.lists(st.integers(0, len(tree) - 1), max_size=5))
    row, path_node, lengths = path_entries(
        torch.tensor(nodes, dtype=int), TreeTables.from_tree(tree)
    )
    paths = [tree.path(node).tolist() for node in nodes]
    assert path_node.tolist() == [node for path in paths for node in path]
    assert row.tolist() == [at for at, path in enumerate(paths) for _ in path]
    assert lengths.tolist() == [len(path) for path in paths]


def test_a_long_chain_takes_no_more_than_a_few_numbers_a_node():
    tree = WordTree([f"k{i}" for i in range(3000)], list(range(-1, 2999)))
    tables = TreeTables.from_tree(tree)
    tensors = [v for v in vars(tables).values() if isinstance(v, torch.Tensor)]
    tensors += tables.ancestors
    for level in tables.levels:
        tensors += [v for v in vars(level).values() if isinstance(v, torch.Tensor)]
    assert sum(len(tensor) for tensor in tensors) < 50 * len(tree)
    classifier = make_classifier("siblings", tables)
    logits = torch.randn(1, 3000, generator=torch.Generator().manual_seed(5))
    log_p = classifier.log_p(logits)
    assert torch.all(log_p == 0)
    assert back_off(log_p, tables, 0.5)[0].tolist() == [2999]


def test_a_tree_without_nodes_is_refused():
    with pytest.raises(UserError, match="no nodes"):
        TreeTables.from_tree(WordTree([], []))


def test_tables_move_as_a_whole(small_tables):
    moved = small_tables.to("meta")
    assert {moved.parent.device.type, moved.terminals.device.type} == {"meta"}
    assert {t.device.type for t in (moved.levels[1].parents, *moved.ancestors)} == {"meta"}
    assert moved.size_classes == small_tables.size_classes
