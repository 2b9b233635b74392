"""The tables say what the tree says."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wordtree.probability import TreeTables


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
    assert torch.equal(by_level[tables.order], torch.arange(len(tree)))
    for depth, level in enumerate(tables.levels):
        assert np.all(tree.depth[level.nodes] == depth)
        assert level.lengths.tolist() == torch.bincount(level.segment).tolist()
        assert level.largest == level.lengths.max()
        if depth:
            above = tables.levels[depth - 1].nodes[level.parents[level.segment]]
            assert above.tolist() == tables.parent[level.nodes].tolist()


def test_paths_stand_top_first(small_tree, small_tables):
    first, stop = small_tables.path_offsets[7], small_tables.path_offsets[8]
    assert small_tables.path_nodes[first:stop].tolist() == [0, 2, 7]
    assert len(small_tables) == len(small_tree)


def test_tables_move_as_a_whole(small_tables):
    moved = small_tables.to("meta")
    assert {moved.parent.device.type, moved.terminals.device.type} == {"meta"}
    assert moved.levels[1].parents.device.type == "meta"
