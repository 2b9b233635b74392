import pickle
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from wordtree import UserError, WordTree


@st.composite
def trees(draw: st.DrawFn) -> WordTree:
    """Random trees: parents first, siblings side by side."""
    parent = [-1] * draw(st.integers(1, 4))
    at = 0
    while at < len(parent) and len(parent) < 25:
        parent += [at] * draw(st.integers(0, 3))
        at += 1
    flags = draw(st.lists(st.booleans(), min_size=len(parent), max_size=len(parent)))
    keys = [f"k{at}" for at in range(len(parent))]
    return WordTree(keys, parent, [f"name {at // 2}" for at in range(len(parent))], flags)


def slow_path(tree: WordTree, node: int) -> list[int]:
    path = [node]
    while tree.parent[path[0]] >= 0:
        path.insert(0, int(tree.parent[path[0]]))
    return path


@given(trees())
@settings(max_examples=40, deadline=None)
def test_all_questions_agree_with_walking_up_node_by_node(tree: WordTree) -> None:
    count = len(tree)
    paths = [slow_path(tree, node) for node in range(count)]
    flat, offsets = tree.paths(range(count))
    for node, path in enumerate(paths):
        assert tree.path(node).tolist() == path
        assert flat[offsets[node] : offsets[node + 1]].tolist() == path
        assert tree.depth[node] == len(path) - 1
        assert tree.children(node).tolist() == [
            child for child in range(count) if tree.parent[child] == node
        ]
        assert tree.is_leaf[node] == (len(tree.children(node)) == 0)
        assert tree[node].path[-1].key == tree.keys[node]
        assert [child.index for child in tree[node].children] == tree.children(node).tolist()
    one, other = (axis.reshape(-1) for axis in np.indices((count, count)))
    above = tree.is_ancestor(one, other)
    lowest = tree.lca(one, other)
    for i, j, found, common in zip(one, other, above, lowest, strict=True):
        assert found == (i in paths[j])
        shared = [node for node in paths[i] if node in paths[j]]
        assert common == (shared[-1] if shared else -1)


@given(trees())
@settings(max_examples=40, deadline=None)
def test_groups_are_slices_of_all_children_of_one_parent(tree: WordTree) -> None:
    assert tree.group_parent[0] == -1
    assert tree.group_size.sum() == len(tree)
    for group, (start, size) in enumerate(zip(tree.group_start, tree.group_size, strict=True)):
        members = list(range(start, start + size))
        above = int(tree.group_parent[group])
        assert all(tree.group[member] == group for member in members)
        assert members == [at for at in range(len(tree)) if tree.parent[at] == above]
        if above >= 0:
            assert tree.child_group[above] == group


@given(trees(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_subtree_keeps_exactly_the_nodes_below_with_their_parents(
    tree: WordTree, data: st.DataObject
) -> None:
    top = data.draw(st.integers(0, len(tree) - 1))
    part = tree.subtree(tree.keys[top])
    assert part.keys[0] == tree.keys[top]
    assert set(part.keys) == {
        tree.keys[at] for at in range(len(tree)) if top in slow_path(tree, at)
    }
    for node in list(part)[1:]:
        assert node.parent is not None
        assert node.parent.key == tree[node.key].parent.key  # type: ignore[union-attr]
        assert node.labelled == tree[node.key].labelled


@given(trees())
@settings(max_examples=10, deadline=None)
def test_a_tree_survives_pickling_and_is_equal_only_to_its_like(tree: WordTree) -> None:
    copy = pickle.loads(pickle.dumps(tree))
    assert copy == tree
    assert hash(copy) == hash(tree)
    assert WordTree(tree.keys, tree.parent, tree.names, ~tree.labelled) != tree
    assert WordTree([*tree.keys[:-1], "other"], tree.parent, tree.names, tree.labelled) != tree


def test_arrays_cannot_be_written_to() -> None:
    tree = WordTree(["a", "b"], [-1, 0])
    for array in (tree.parent, tree.depth, tree.labelled, tree.group_start, tree.child_group):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("keys", "parent", "message"),
    [
        (["a", "b"], [-1, 2], "numbered from 0 to 1"),
        (["a", "b"], [1, -1], "does not come before it"),
        (["a", "b"], [-1, -2], "is -2"),
        (["a", "b", "c", "d"], [-1, -1, 0, -1], "the top, whose other children stand apart"),
        (["a", "b", "c", "d", "e"], [-1, -1, 0, 1, 0], "child of 'a'"),
        (["a", "a"], [-1, -1], "'a' is used already by node 0"),
        (["a", ""], [-1, -1], "node 1 is empty"),
        (["a\nb"], [-1], "no line breaks"),
        (["\ud800"], [-1], "UTF-8"),
        (["a", "b"], [-1], "2 keys, 1 parents"),
    ],
)
def test_what_breaks_the_laws_of_a_tree_is_refused(
    keys: list[str], parent: list[int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        WordTree(keys, parent)


def test_a_name_finds_its_node_only_where_it_is_unique() -> None:
    tree = WordTree(["n1", "n2", "n3"], [-1, 0, 0], ["tool", "stick", "stick"])
    assert tree["tool"].index == 0
    assert tree["n3"].name == "stick"
    assert tree.index(["tool", "n2"]).tolist() == [0, 1]
    with pytest.raises(UserError, match="2 nodes are named 'stick'.*n2, n3"):
        tree["stick"]
    with pytest.raises(UserError, match="near to it are stick"):
        tree["stik"]


@pytest.mark.parametrize("node", [-1, 2])
def test_an_index_outside_the_tree_is_refused_everywhere(node: int) -> None:
    tree = WordTree(["a", "b"], [-1, 0])
    for question in (tree.path, tree.children, lambda at: tree.lca(at, 0), tree.paths):
        with pytest.raises(IndexError):
            question(node)


def test_a_chain_of_100000_answers_all_questions_without_recursion() -> None:
    count = 100_000
    chain = WordTree(map(str, range(count)), np.arange(count) - 1)
    assert chain.depth[-1] == count - 1
    assert chain.is_ancestor(17, count - 1)
    assert chain.lca(count - 1, count - 100) == count - 100
    assert len(chain.path(count - 1)) == count
    assert len(chain.subtree("10")) == count - 10


def test_an_empty_tree_and_a_single_node_are_trees() -> None:
    empty, single = WordTree([], []), WordTree(["a"], [-1])
    assert len(empty) == 0
    assert "0 nodes" in repr(empty)
    assert empty.paths([])[1].tolist() == [0]
    assert single.path(0).tolist() == [0]
    assert single.lca(0, 0) == 0


def test_networkx_has_the_same_edges() -> None:
    tree = WordTree(["a", "b", "c"], [-1, 0, 0], ["x", "y", "z"], [True, False, True])
    graph = tree.to_networkx()
    assert set(graph.edges) == {("a", "b"), ("a", "c")}
    assert graph.nodes["b"] == {"name": "y", "labelled": False}


def test_importing_wordtree_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, wordtree; wordtree.build(['n02084071', 'dog.n.03']); wordtree.LabelMap;"
        "print([name for name in ('torch', 'nltk', 'networkx') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
