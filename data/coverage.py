"""What training shows of a tree: boxes, photos and draws of each node, and what can never learn.

Everything follows from the sources' counts and the mixture's shares; no photo is read. N nodes,
G groups, S sources, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.mixture import Expected, Mixture
from data.sources import Counts

if TYPE_CHECKING:
    from wordtree import WordTree

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Coverage:
    """What a mixture shows of a tree.

    tree, classifier: what is trained. sources: the mixture's; counts: of each source, None where
    it does not say what it holds (its `labelled_nodes` or `nodes` are then taken as shown).
    shown: bool (S, N), nodes that a box or a photo-level label of the source carries.
    boxes, photos: float64 (S, N), of the node itself, not of those below it.
    draws: float64 (S, N), boxes and photo-level labels of the node itself that an input holds in
        the long run, before crops and broken photos.
    positive: bool (N,), nodes that some label calls right.
    silent: bool (G,), groups that no label teaches to tell their members apart.
    """

    tree: WordTree
    classifier: str
    sources: tuple[Expected, ...]
    counts: tuple[Counts | None, ...]
    shown: Flags
    boxes: Floats
    photos: Floats
    draws: Floats
    positive: Flags
    silent: Flags

    @property
    def with_boxes(self) -> Flags:
        """bool (N,): nodes that carry a box in a source that is drawn."""
        return self._of_kind("boxed")

    @property
    def with_labels(self) -> Flags:
        """bool (N,): nodes that label a photo of a label-only source that is drawn."""
        return self._of_kind("label_only")

    @property
    def trained(self) -> Flags:
        """bool (N,): nodes that some drawn box or label carries."""
        return self.with_boxes | self.with_labels

    @property
    def unseen(self) -> Flags:
        """bool (N,): classes (labelled nodes) with neither, validation's alone for instance."""
        return self.tree.labelled & ~self.trained

    @property
    def countable(self) -> Flags:
        """bool (N,): nodes that every source showing them has counted in files."""
        drawn = np.array([counted is None or counted.drawn for counted in self.counts], bool)
        return ~self.shown[drawn].any(0)

    def below(self, values: NDArray[Any]) -> NDArray[Any]:
        """(N,): one number a node, summed over each node's subtree."""
        return _summed(values, self.tree)

    def of_kind(self, kind: str) -> Flags:
        """bool (S,): the sources of a kind."""
        return np.array([source.kind == kind for source in self.sources], bool)

    def _of_kind(self, kind: str) -> Flags:
        used = np.array([source.per_input > 0 for source in self.sources], bool)
        return self.shown[self.of_kind(kind) & used].any(0)


def cover(mixture: Mixture, tree: WordTree, *, classifier: str) -> Coverage:
    """What the mixture's sources, drawn as it draws them, show of the tree.

    classifier: a key of LEARNS; it decides what a label teaches.
    """
    expected = mixture.expected()
    counts = tuple(counts_of(source) for source in mixture.sources)
    boxes, photos, draws = np.zeros((3, len(expected), len(tree)))
    shown = np.zeros((len(expected), len(tree)), bool)
    trained = np.zeros(len(tree), bool)
    for row, (source, share, counted) in enumerate(
        zip(mixture.sources, expected, counts, strict=True)
    ):
        if share.kind == "background":
            continue
        if counted is None:
            nodes = getattr(source, "labelled_nodes", getattr(source, "nodes", ()))
            shown[row, np.asarray(nodes, np.int64)] = True
        else:
            boxes[row, counted.nodes], photos[row, counted.nodes] = counted.boxes, counted.photos
            shown[row, counted.nodes] = True
            an_epoch = boxes[row] if share.kind == "boxed" else photos[row]
            draws[row] = an_epoch * (share.per_input / max(share.size, 1))
        if share.per_input:
            trained |= shown[row]
    positive, silent = LEARNS[classifier](tree, trained)
    return Coverage(
        tree=tree,
        classifier=classifier,
        sources=expected,
        counts=counts,
        shown=shown,
        boxes=boxes,
        photos=photos,
        draws=draws,
        positive=positive,
        silent=silent,
    )


def counts_of(source: object) -> Counts | None:
    """A source's counts, None where it does not say what it holds."""
    method: Callable[[], Counts] | None = getattr(source, "counts", None)
    return None if method is None else method()


def learns_siblings(tree: WordTree, trained: Flags) -> tuple[Flags, Flags]:
    """A label pushes up the nodes on its path and down their siblings; no other group gets a
    gradient. A group of one is certain and has nothing to learn."""
    reached = _summed(trained.astype(np.int64), tree) > 0
    return reached, ~_heard(tree, reached) & (tree.group_size > 1)


def learns_flat(tree: WordTree, trained: Flags) -> tuple[Flags, Flags]:
    """A label pushes up all terminals of its subtree, and down all others: no terminal is without
    a gradient, but those of a group that no label lies in or below always move together."""
    reached = _summed(trained.astype(np.int64), tree) > 0
    covered = trained.tolist()
    for node, above in enumerate(tree.parent.tolist()):
        if above >= 0 and covered[above]:
            covered[node] = True
    # A labelled parent is a terminal beside its children: even one child has to be told from it.
    beside = (tree.group_parent >= 0) & tree.labelled[tree.group_parent]
    several = tree.group_size + beside > 1
    return reached | np.array(covered, bool), ~_heard(tree, reached) & several


# What a classifier's loss teaches, from the tree and the nodes that labels carry (bool (N,)):
# `positive` and `silent` of a Coverage.
LEARNS: dict[str, Callable[[WordTree, Flags], tuple[Flags, Flags]]] = {
    "siblings": learns_siblings,
    "flat": learns_flat,
}


def _heard(tree: WordTree, reached: Flags) -> Flags:
    """bool (G,): groups with a member on the path of a label."""
    heard = np.zeros(len(tree.group_size), bool)
    heard[tree.group[reached]] = True
    return heard


def _summed(values: NDArray[Any], tree: WordTree) -> NDArray[Any]:
    """Sums over subtrees. Parents come first, so that the way back meets children first."""
    sums, parent = values.tolist(), tree.parent.tolist()
    for node in range(len(parent) - 1, -1, -1):
        if parent[node] >= 0:
            sums[parent[node]] += sums[node]
    return np.array(sums, values.dtype)
