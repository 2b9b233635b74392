from __future__ import annotations

from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings

from wordtree import WordTree
from wordtree.inspection.statistics import statistics, statistics_table


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
@settings(max_examples=100, deadline=None)
def test_the_figures_are_those_of_counting_nodes(sizes: list[int], data: st.DataObject) -> None:
    parents = [-1] * (sizes[0] + 1)
    for at, size in enumerate(sizes[1:]):
        if at < len(parents):
            parents += [at] * size
    flags = data.draw(st.lists(st.booleans(), min_size=len(parents), max_size=len(parents)))
    tree = WordTree([f"k{at}" for at in range(len(parents))], parents, labelled=flags)
    groups = Counter(parents)
    found = statistics(tree)
    assert found.to_dict() == {
        "nodes": len(parents),
        "leaves": sum(not node.children for node in tree),
        "groups": len(groups),
        "singletons": sum(size == 1 for size in groups.values()),
        "top": groups[-1],
        "depth": max(len(node.path) for node in tree) - 1,
        "labelled": sum(flags),
        "hash": tree.hash,
    }
    table = statistics_table(tree)
    assert f"{len(parents):,}" in table
    # The depths' column adds up to the nodes.
    rows = table.split("leaves\n")[-1].splitlines()
    assert sum(int(row.split()[1]) for row in rows) == len(parents)


def test_darknets_tree_in_figures(darknet_files: Path) -> None:
    tree = WordTree.load(darknet_files / "9k.tree")
    found = statistics(tree).to_dict()
    assert found.pop("hash") == tree.hash
    assert found == {
        "nodes": 9418,
        "leaves": 7573,
        "groups": 1846,
        "singletons": 46,
        "top": 4,
        "depth": 16,
        "labelled": 9418,
    }
    table = statistics_table(tree)
    for words in ("149  children of herb (n12205694)", "662 with a name", "of 5.10 nodes"):
        assert words in table


def test_an_empty_tree_and_a_deep_one_have_a_short_table() -> None:
    assert len(statistics_table(WordTree([], [])).splitlines()) == 8
    count = 1000
    chain = WordTree([f"k{at}" for at in range(count)], range(-1, count - 1))
    assert len(statistics_table(chain).splitlines()) < 80
