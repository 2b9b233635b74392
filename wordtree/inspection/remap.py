"""What a label map wants of a tree that lacks it, and which of the tree's nodes stands in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wordtree.errors import UserError
from wordtree.graph import LabelGraph, as_graph
from wordtree.labels import LabelMap, Target
from wordtree.tree import WordTree
from wordtree.wording import named

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True)
class StandIn:
    """A key that a category wanted and the tree lacks, and the node that stands in for it.

    wanted_name: its name in the graph, such as `dog.n.01`; the key again if the graph lacks it.
    key: the node's key, None where nothing stands in; reason says why then.
    steps: how many steps above `wanted` it stands in the graph.
    same_node, above, below: other categories of the new map that share the category's node, or
    whose nodes stand above or below it: what the map had apart and no longer has.
    """

    category: str
    wanted: str
    wanted_name: str
    key: str | None
    steps: int
    reason: str = ""
    same_node: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    below: tuple[str, ...] = ()


def remap(
    label_map: LabelMap,
    tree: WordTree,
    graph: LabelGraph | Mapping[str, Any] | networkx.DiGraph | None = None,
) -> tuple[LabelMap, list[StandIn]]:
    """A map whose categories are all nodes of this tree, and what stands in for what it lacks.

    For a key that the tree lacks, the nearest of its ancestors in the graph that is a node stands
    in: the fewest steps up, then the first by the names on its path in the tree, top first. A
    category for which nothing stands in is left out (null).
    graph: WordNet's nouns where None; else as in `build`.
    """
    known = set(tree.keys) | {name for name, times in Counter(tree.names).items() if times == 1}
    climb = _Climb(tree, graph)
    targets: dict[str, Target] = {}
    found: list[StandIn] = []
    for category, target in label_map.targets.items():
        if isinstance(target, int):
            raise UserError(
                f"the map {label_map.dataset} points to nodes of one tree by number; give that "
                f"tree to read_darknet to have keys"
            )
        wanted = _wanted(target)
        missing = {key: climb.stand_in(category, key) for key in wanted if key not in known}
        keys = [missing[key].key if key in missing else key for key in wanted]
        new = tuple(dict.fromkeys(key for key in keys if key is not None))
        # One of several kinds that the tree lacks whole: those that are left are not the category.
        new = new if all(key is not None for key in keys) else ()
        if len(new) > 1 and _common(tree, new) < 0:
            reason = f"{', '.join(new)} have no common ancestor in the tree"
            missing = {key: climb.nothing(category, key, reason) for key in wanted}
            new = ()
        found += missing.values()
        targets[category] = target if not missing else (new if len(new) > 1 else (*new, None)[0])
    result = LabelMap(label_map.dataset, targets)
    return result, [_with_neighbours(entry, label_map, result, tree, climb) for entry in found]


def stand_ins_table(found: Sequence[StandIn], tree: WordTree) -> str:
    """Plain text for people: category, the key it wanted, what stands in, how many steps up."""
    if not found:
        return "the tree has all nodes of the map\n"
    rows = [("category", "wanted", "stands in", "steps up")]
    for entry in found:
        key = entry.key
        name = "nothing" if key is None else named(key, tree[key].name)
        rows.append(
            (
                entry.category,
                named(entry.wanted, entry.wanted_name),
                name,
                "" if key is None else str(entry.steps),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    notes = []
    for entry in found:
        said = {
            "falls on one node with": entry.same_node,
            "now stands below": entry.above,
            "now stands above": entry.below,
            "is left out:": (entry.reason,) if entry.reason else (),
        }
        notes += [
            f"{entry.category} {verb} {', '.join(words)}" for verb, words in said.items() if words
        ]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


class _Climb:
    """The way up from a key in a graph, which is read when the first key is missing."""

    def __init__(self, tree: WordTree, graph: Any) -> None:
        self.tree = tree
        self.source = graph

    @cached_property
    def graph(self) -> LabelGraph:
        if self.source is not None:
            return as_graph(self.source)
        from wordtree.wordnet import NounGraph

        return NounGraph.embedded()

    @cached_property
    def sort_names(self) -> dict[str, str]:
        return dict(zip(self.graph.keys, self.graph.sort_names, strict=True))

    def levels(self, key: str) -> Iterator[list[int]]:
        """The label itself, its parents, their parents, and so on; each label once."""
        level = [self.graph.find(key)]
        seen = set(level)
        while level:
            yield level
            above = dict.fromkeys(up for at in level for up in self.graph.parents[at])
            level = [at for at in above if at not in seen]
            seen.update(above)

    def stand_in(self, category: str, wanted: str) -> StandIn:
        try:
            for steps, level in enumerate(self.levels(wanted)):
                keys = [self.graph.keys[at] for at in level if self.graph.keys[at] in self.tree]
                if keys:
                    key = min(keys, key=self._name_path)
                    return replace(self.nothing(category, wanted, ""), key=key, steps=steps)
        except UserError as error:
            return self.nothing(category, wanted, str(error))
        return self.nothing(category, wanted, "no node of the tree stands above it")

    def nothing(self, category: str, wanted: str, reason: str) -> StandIn:
        name = self.sort_names.get(wanted, wanted)
        return StandIn(category, wanted, name, None, 0, reason)

    def is_above(self, upper: str, lower: str) -> bool:
        """Whether the graph itself has one key above the other."""
        try:
            at = self.graph.find(upper)
            return any(at in level for level in self.levels(lower))
        except UserError:
            return False

    def _name_path(self, key: str) -> list[str]:
        path = self.tree.path(self.tree.index(key)).tolist()
        return [self.sort_names.get(self.tree.keys[at], self.tree.keys[at]) for at in path]


def _wanted(target: Target) -> tuple[str, ...]:
    if target is None or isinstance(target, int):
        return ()
    return (target,) if isinstance(target, str) else target


def _common(tree: WordTree, keys: Sequence[str]) -> int:
    """The lowest common ancestor of the keys, -1 where there is none."""
    node, *others = tree.index(keys).tolist()
    for other in others:
        node = int(tree.lca(node, other)) if node >= 0 else -1
    return node


def _with_neighbours(
    entry: StandIn, old: LabelMap, new: LabelMap, tree: WordTree, climb: _Climb
) -> StandIn:
    """The stand-in with the categories that it meets in the tree and did not meet in the graph."""
    nodes = new.nodes(tree)
    categories = list(new.targets)
    node = int(nodes[categories.index(entry.category)])
    if node < 0:
        return entry

    def apart(upper: str, lower: str) -> bool:
        keys = _wanted(old.targets[upper]), _wanted(old.targets[lower])
        return not any(climb.is_above(up, low) for up in keys[0] for low in keys[1])

    others = np.flatnonzero(nodes >= 0)
    above = others[tree.is_ancestor(nodes[others], node) & (nodes[others] != node)]
    below = others[tree.is_ancestor(node, nodes[others]) & (nodes[others] != node)]
    same = others[nodes[others] == node]
    return replace(
        entry,
        same_node=tuple(categories[at] for at in same if categories[at] != entry.category),
        above=tuple(categories[at] for at in above if apart(categories[at], entry.category)),
        below=tuple(categories[at] for at in below if apart(entry.category, categories[at])),
    )
