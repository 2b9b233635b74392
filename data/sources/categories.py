"""From the category names of a data set to nodes of the tree, or one sentence that says why not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.sources.file_index import SHOWN, Problems, nearest
from wordtree.errors import UserError

if TYPE_CHECKING:
    from wordtree import LabelMap, WordTree


def known_nodes(tree: WordTree, label_map: LabelMap | None) -> dict[str, int]:
    """What a name may be, and its node: the tree's keys, or the label map's categories (-1 for
    one that it leaves out)."""
    if label_map is None:
        return {key: row for row, key in enumerate(tree.keys)}
    return dict(zip(label_map.categories, label_map.nodes(tree).tolist(), strict=True))


def category_nodes(
    names: Iterable[str], tree: WordTree, label_map: LabelMap | None, where: str | Path
) -> NDArray[np.int64]:
    """int64, a node for each name, -1 where the label map says null.

    where: the file that has the names. Raises UserError that lists the names which are no keys of
    the tree, or which the label map lacks, each with the nearest one.
    """
    names = list(names)
    known = known_nodes(tree, label_map)
    if label_map is None:
        kind, remedy = "that are no keys of the tree", "name a label map"
    else:
        kind, remedy = "that the label map lacks", "add them to the map (null leaves one out)"
    refuse_unknown(f"{where} has", "categories", names, known, kind, remedy)
    return np.array([known[name] for name in names], np.int64)


def refuse_unknown(
    where: str,
    things: str,
    names: Iterable[str],
    known: Iterable[str],
    kind: str,
    remedy: str,
) -> None:
    """UserError `WHERE COUNT THINGS KIND ('name' (nearest: 'other'), ...); REMEDY` for the names
    that are not among the known ones; nothing where all are."""
    known = known if isinstance(known, dict) else dict.fromkeys(known)
    unknown = Problems()
    for name in names:
        if name not in known:
            few = len(unknown.examples.get(kind, ())) < SHOWN
            unknown.add(kind, f"{name!r}{nearest(name, list(known)) if few else ''}")
    if unknown:
        count = unknown.counts[kind]
        text = str(unknown).replace(f"{count} ", f"{count} {things} ", 1)
        raise UserError(f"{where} {text}; {remedy}")
