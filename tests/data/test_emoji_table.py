"""The emoji table against WordNet and the picture files, and the halves it is split into."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from data.sources.emoji import emoji_halves, emoji_keys, emoji_nodes, emoji_table
from data.sources.emoji_sprites import picture_folder
from wordtree import UserError, WordTree, build
from wordtree.wordnet import PHYSICAL_ENTITY, NounGraph


@pytest.fixture(scope="module")
def nouns() -> NounGraph:
    return NounGraph.embedded()


@pytest.fixture(scope="module")
def tree() -> WordTree:
    return build(emoji_keys())[0]


def test_the_table_has_enough_rows_and_no_emoji_twice() -> None:
    counts = Counter(row.codepoint for row in emoji_table())
    assert len(counts) >= 255
    assert max(counts.values()) == 1


def test_every_emoji_has_its_picture() -> None:
    folder = picture_folder()
    assert [
        r.codepoint for r in emoji_table() if not (folder / f"{r.codepoint}.png").is_file()
    ] == []


def test_every_wnid_has_the_synset_name_and_the_definition_that_stand_beside_it(
    nouns: NounGraph,
) -> None:
    for row in emoji_table():
        at = nouns.find(row.wnid)
        assert nouns.sort_names[at] == row.synset
        assert row.gloss
        assert nouns.gloss(at).startswith(row.gloss), row


def test_every_synset_is_below_physical_entity(nouns: NounGraph) -> None:
    root = nouns.find(PHYSICAL_ENTITY)
    for row in emoji_table():
        above, seen = [nouns.find(row.wnid)], set()
        while above:
            at = above.pop()
            seen.add(at)
            above.extend(nouns.parents[at])
        assert root in seen, row


def test_few_labelled_nodes_have_labelled_nodes_below_them(tree: WordTree) -> None:
    nodes = emoji_nodes(tree)
    inner = [n for n in nodes if (tree.is_ancestor(n, nodes) & (nodes != n)).any()]
    assert 1 <= len(inner) < 12
    assert tree["dog"].index in inner


def test_the_tree_labels_exactly_the_nodes_of_the_table(tree: WordTree) -> None:
    np.testing.assert_array_equal(np.flatnonzero(tree.labelled), emoji_nodes(tree))


def test_the_halves_part_the_nodes_and_are_of_one_size(tree: WordTree) -> None:
    boxed, label_only = emoji_halves(tree)
    assert abs(len(boxed) - len(label_only)) <= 1
    np.testing.assert_array_equal(np.sort(np.concatenate([boxed, label_only])), emoji_nodes(tree))


def test_the_halves_alternate_among_siblings(tree: WordTree) -> None:
    boxed = set(emoji_halves(tree)[0].tolist())
    for group in range(len(tree.group_start)):
        start = tree.group_start[group]
        siblings = range(start, start + tree.group_size[group])
        turns = [node in boxed for node in siblings if tree.labelled[node]]
        assert all(one != other for one, other in itertools.pairwise(turns))


def test_a_tree_without_the_table_s_nodes_is_refused() -> None:
    with pytest.raises(UserError):
        emoji_halves(WordTree(["n02084071"], [-1]))
