"""Random trees and darknet's little tree, shared by this room's tests."""

import pytest

from wordtree.probability import TreeTables
from wordtree.tree import WordTree


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
