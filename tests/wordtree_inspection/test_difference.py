from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from wordtree import WordTree
from wordtree.inspection.difference import difference


def slow_difference(first: WordTree, second: WordTree) -> dict[str, Any]:
    """Node by node through `Node`, each question asked anew."""

    def above(tree: WordTree, key: str) -> str | None:
        parent = tree[key].parent
        return parent.key if parent else None

    both = [key for key in first.keys if key in second.keys]

    def common_children(tree: WordTree, parent: str | None) -> list[str]:
        return [
            key
            for key in tree.keys
            if key in both and above(first, key) == above(second, key) == parent
        ]

    return {
        "added": [key for key in second.keys if key not in first.keys],
        "removed": [key for key in first.keys if key not in second.keys],
        "moved": [
            {"key": key, "old": above(first, key), "new": above(second, key)}
            for key in both
            if above(first, key) != above(second, key)
        ],
        "renamed": [
            {"key": key, "old": first[key].name, "new": second[key].name}
            for key in both
            if first[key].name != second[key].name
        ],
        "relabelled": [key for key in both if first[key].labelled != second[key].labelled],
        "reordered": [
            parent
            for parent in [None, *first.keys]
            if common_children(first, parent) != common_children(second, parent)
        ],
        "renumbered": sum(first[key].index != second[key].index for key in both),
    }


@st.composite
def trees(draw: st.DrawFn) -> WordTree:
    keys = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8))
    parents: list[int] = []
    for _ in keys:
        last = parents[-1] if parents else -1
        # Go on with the group, or begin one below a node that has no children yet.
        others = [at for at in range(len(parents)) if at not in parents]
        parents.append(last if not others or draw(st.booleans()) else draw(st.sampled_from(others)))
    names = draw(st.lists(st.sampled_from("xy"), min_size=len(keys), max_size=len(keys)))
    flags = draw(st.lists(st.booleans(), min_size=len(keys), max_size=len(keys)))
    return WordTree(keys, parents, names, flags)


@given(trees(), trees())
@settings(max_examples=150, deadline=None)
def test_the_difference_is_that_of_the_slow_twin(first: WordTree, second: WordTree) -> None:
    found = difference(first, second)
    expected = slow_difference(first, second)
    assert {**found.to_dict(), "reordered": sorted(found.reordered, key=str)} == {
        **expected,
        "reordered": sorted(expected["reordered"], key=str),
    }
    assert bool(found) == (first != second)


@given(trees())
@settings(max_examples=50, deadline=None)
def test_equal_trees_have_no_difference(tree: WordTree) -> None:
    assert difference(tree, tree).table() == "no difference\n"


def test_the_table_groups_and_limits_what_differs() -> None:
    first = WordTree(
        ["thing", "plant", "dog", "cat"], [-1, -1, 0, 0], ["thing", "plant", "hound", "cat"]
    )
    more = [f"n{at:02d}" for at in range(15)]
    second = WordTree(
        ["plant", "thing", "dog", *more], [-1, -1, 0, *[1] * 15], ["plant", "thing", "dog", *more]
    )
    text = difference(first, second).table()
    assert "15 added:\n  n00\n" in text
    assert "  ... and 5 more (--all shows them)\n" in text
    assert "n10" not in text
    assert "1 removed:\n  cat\n" in text
    assert "1 moved:\n  dog: from thing to plant\n" in text
    assert "1 renamed:\n  dog: 'hound' is now 'dog'\n" in text
    assert "siblings in another order below the top\n" in text
    assert "n14" in difference(first, second).table(shown=99)


def test_a_tree_file_says_all_are_labelled(tmp_path: Path) -> None:
    tree = WordTree(["a", "b", "c"], [-1, 0, 0], labelled=[False, True, True])
    tree.save(tmp_path / "x.tree")
    found = difference(tree, WordTree.load(tmp_path / "x.tree"))
    assert found.relabelled == ["a"]
    assert "1 labelled in one alone:\n  a\n" in found.table()
