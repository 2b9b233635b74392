"""Random trees and darknet's little tree, shared by this room's tests."""

import pytest
from hypothesis import strategies as st

from wordtree.probability import TreeTables
from wordtree.tree import WordTree


@st.composite
def _trees(draw):
    """Trees of 1 to about 30 nodes, in any order that is legal, any nodes labelled.

    One in four is a chain, and one in four has but one level.
    """
    shape = draw(st.sampled_from(["any", "any", "chain", "star"]))
    if shape == "chain":
        parent = list(range(-1, draw(st.integers(0, 30))))
    elif shape == "star":
        parent = [-1] * draw(st.integers(1, 12))
    else:
        parent = [-1] * draw(st.integers(1, 4))
        free = list(range(len(parent)))
        for _ in range(draw(st.integers(0, 8))):
            above = free.pop(draw(st.integers(0, len(free) - 1)))
            size = draw(st.integers(1, 4))
            free.extend(range(len(parent), len(parent) + size))
            parent.extend([above] * size)
    labelled = draw(st.lists(st.booleans(), min_size=len(parent), max_size=len(parent)))
    return WordTree([f"k{i}" for i in range(len(parent))], parent, labelled=labelled)


@pytest.fixture(scope="session")
def trees():
    """A hypothesis strategy of trees, for `data.draw(trees)`."""
    return _trees()


@pytest.fixture(scope="session")
def small_tree():
    """The tree of the test vectors: r0 r1 | a0 a1 a2 (r0) | b0 b1 (r1) | c0 c1 (a0) | d0 (b0)."""
    keys = ["r0", "r1", "a0", "a1", "a2", "b0", "b1", "c0", "c1", "d0"]
    return WordTree(keys, [-1, -1, 0, 0, 0, 1, 1, 2, 2, 5])


@pytest.fixture(scope="session")
def small_tables(small_tree):
    return TreeTables.from_tree(small_tree)


@pytest.fixture(scope="session")
def nine_k(darknet_files):
    """Darknet's tree of 9,418 nodes; skips without WORDTREE_DATA."""
    return WordTree.load(darknet_files / "9k.tree")
