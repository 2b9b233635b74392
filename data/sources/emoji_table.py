"""The hand-made table of emoji and the synsets that they show, and its nodes in a tree."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wordtree import WordTree

TABLE = Path(__file__).with_name("emoji_table.csv")


@dataclass(frozen=True)
class EmojiRow:
    """One emoji of the table.

    codepoint: the stem of its picture's file name (`1f415`, `1f408-200d-2b1b`).
    emoji_name: Unicode's. wnid, synset, gloss: the WordNet 3.0 noun that it shows.
    """

    codepoint: str
    emoji_name: str
    wnid: str
    synset: str
    gloss: str


@cache
def emoji_table() -> tuple[EmojiRow, ...]:
    """All rows, in the order of the file; several emoji may show one synset."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(EmojiRow(**row) for row in csv.DictReader(file))


def emoji_keys() -> tuple[str, ...]:
    """The wnids of the table, each once, in its order: what `wordtree.build` makes the tree of."""
    return tuple(dict.fromkeys(row.wnid for row in emoji_table()))


def emoji_nodes(tree: WordTree) -> NDArray[np.int64]:
    """int64, the table's nodes in the order of the tree; UserError where the tree lacks one."""
    return np.sort(tree.index(emoji_keys()))


def emoji_halves(tree: WordTree) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(boxed, label_only): the table's nodes, one half of which gets boxes in training.

    In the order of the tree, nodes go to the two halves in turn, the first to the boxed one.
    Siblings stand together in that order, so they alternate too, and the halves differ by one
    node at most. An inner node that has emoji of its own (*dog*, above *poodle*) takes its turn
    among its siblings as a leaf does; its half says nothing about its descendants'.
    """
    nodes = emoji_nodes(tree)
    return nodes[::2], nodes[1::2]
