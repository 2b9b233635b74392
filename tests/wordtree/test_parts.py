"""Pruning, and the view of a tree in a notebook."""

from html.parser import HTMLParser

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from wordtree import UserError, WordTree


def slowly_pruned(tree: WordTree, cut: set[int]) -> set[str]:
    kept = {at for at in range(len(tree)) if not cut & set(tree.path(at).tolist())}
    while True:
        bare = {
            at
            for at in kept
            if not tree.labelled[at]
            and len(tree.children(at))
            and not kept & set(tree.children(at).tolist())
        }
        if not bare:
            return {tree.keys[at] for at in kept}
        kept -= bare


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_pruning_cuts_whole_branches_and_what_then_holds_nothing(
    trees: st.SearchStrategy[WordTree], data: st.DataObject
) -> None:
    tree = data.draw(trees)
    cut = data.draw(st.sets(st.integers(0, len(tree) - 1), max_size=4))
    pruned = tree.prune([tree.keys[at] for at in cut])
    assert set(pruned.keys) == slowly_pruned(tree, cut)
    assert list(pruned.keys) == [key for key in tree.keys if key in pruned]
    for node in pruned:
        old = tree[node.key]
        assert node.labelled == old.labelled
        assert (node.parent and node.parent.key) == (old.parent and old.parent.key)


def test_pruning_nothing_gives_the_same_tree_and_an_unknown_key_is_refused() -> None:
    tree = WordTree(["a", "b", "c"], [-1, 0, 0])
    assert tree.prune([]) == tree
    with pytest.raises(UserError, match="no node of this tree has the key or the name 'd'"):
        tree.prune(["d"])


def test_deep_and_wide_trees_are_cut_without_recursion() -> None:
    chain = WordTree([f"k{at}" for at in range(100_000)], np.arange(100_000) - 1)
    assert len(chain.prune(["k70000"])) == 70_000
    assert len(chain.subtree("k99990")) == 10
    bare = WordTree(chain.keys, chain.parent, labelled=np.zeros(100_000, bool))
    assert len(bare.prune(["k99999"])) == 0
    star = WordTree([f"k{at}" for at in range(200_001)], np.minimum(np.arange(200_001) - 1, 0))
    assert len(star.prune(["k7"])) == 200_000


class _Reader(HTMLParser):
    """Collects text and tags, and checks that what opens is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_notebook_shows_every_node_of_a_small_tree(
    trees: st.SearchStrategy[WordTree], data: st.DataObject
) -> None:
    tree = data.draw(trees)
    text = read(tree._repr_html_()).text
    assert all(key in text for key in tree.keys)


def test_a_notebook_shows_names_as_text_and_a_large_tree_in_part() -> None:
    names = ["<script>alert(1)</script>", '"&', *["x" * 10_000] * 3]
    shown = read(WordTree(["a", "b", "c", "d", "e"], [-1, 0, 0, 0, 0], names)._repr_html_())
    assert "<script>alert(1)</script>" in shown.text
    assert "script" not in shown.tags
    assert len(shown.text) < 1000
    star = WordTree([f"k{at}" for at in range(5001)], np.minimum(np.arange(5001) - 1, 0))
    assert "and 4,975 more" in read(star._repr_html_()).text
    chain = WordTree([f"k{at}" for at in range(5000)], np.arange(5000) - 1)
    assert "(1 below)" in read(chain._repr_html_()).text
    assert "0 nodes" in read(WordTree([], [])._repr_html_()).text
