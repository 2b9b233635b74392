"""Labels + a graph of labels + a rule -> a tree and a report.

The rule is the one behind darknet's `9k.tree`: labels with one path to the root first, then the
others in rounds, each by the path that adds the fewest steps, ties broken by the names on the
path (`wordtree.paths`); then nodes that nothing needs are dropped. Equal labels give equal bytes:
whatever order they come in, they are sorted first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wordtree.errors import UserError
from wordtree.graph import LabelGraph, as_graph
from wordtree.hand_edits import Edit, edited_parents, read_edits
from wordtree.labels import LabelMap
from wordtree.paths import GrowingTree, count_paths
from wordtree.presets import resolve_options
from wordtree.report import BuildReport, Parting, make_report
from wordtree.suggest import resolve
from wordtree.tree import WordTree
from wordtree.trimming import (
    Parent,
    attach,
    below,
    breadth_first,
    drop_unlabelled,
    promote,
)

if TYPE_CHECKING:
    import networkx

__all__ = ["BuildReport", "build"]


def build(
    labels: LabelMap | Iterable[str | LabelMap],
    *,
    graph: LabelGraph | Mapping[str, Any] | networkx.DiGraph | None = None,
    root: str | None = None,
    walk: str | None = None,
    rule: str | None = None,
    ties: str | None = None,
    unary: str | None = None,
    lone_leaf: str | None = None,
    edits: str | Path | Iterable[Edit] | None = None,
    edits_applied: str | None = None,
    unreachable: str | None = None,
    preset: str | None = None,
) -> tuple[WordTree, BuildReport]:
    """Builds the tree of these labels.

    labels: keys of the graph (wnids), names with one meaning (synset names, or words with one
        sense that can stand in a photo; the report says what they became), LabelMaps, or all
        mixed, in any order.
    graph: WordNet's nouns where None; else a LabelGraph, a mapping child -> parent (or parents),
        or a networkx DiGraph with edges from parent to child.
    root: where the walk up ends; never a node itself (default `physical_entity.n.01`).
    walk: `root`, or a label above it: paths are compared up to there.
    rule: `min_growth` (the paper: the path that adds least), `shortest`, `first`.
    ties: `name_path`, `shortest`, `wordnet_order`.
    unary: `collapse` drops unlabelled nodes with one child, `keep` keeps them.
    lone_leaf: `promote` puts a leaf beside the labelled node whose only child it is.
    edits: a file of hand edits, or Edits; edits_applied: `before` the walk, or `after`.
    unreachable: labels without a path go to the `root` and into the report, or `refuse`.
    preset: `paper1k` or `darknet9k`; options given beside it win.
    Raises UserError for unknown labels, values and impossible combinations.
    """
    options = resolve_options(
        preset,
        {
            "root": root,
            "walk": walk,
            "rule": rule,
            "ties": ties,
            "unary": unary,
            "lone_leaf": lone_leaf,
            "edits": edits,
            "edits_applied": edits_applied,
            "unreachable": unreachable,
        },
    )
    if graph is None:
        from wordtree.wordnet import NounGraph

        nouns: LabelGraph = NounGraph.embedded()
    else:
        nouns = as_graph(graph)
    by_order = options["rule"] == "first" or options["ties"] == "wordnet_order"
    if by_order and not nouns.ordered:
        raise UserError(
            "this graph has no file order of hypernyms (NLTK sorts them); use the embedded one "
            "with rule=first or ties=wordnet_order"
        )
    data_sets = _data_sets(labels)
    found = _find_all(nouns, data_sets)
    top = nouns.find(options["root"] or nouns.root)
    walk_top = top if options["walk"] == "root" else nouns.find(options["walk"])
    if not count_paths(nouns, [top], walk_top)[top]:
        raise UserError(
            f"walk={options['walk']} does not stand above the root {nouns.sort_names[top]}; "
            f"choose a label above it, or walk=root"
        )
    wanted = set(found.values())
    if top in wanted:
        raise UserError(
            f"the label {nouns.keys[top]} ({nouns.names[top]}) is the build's root, which is "
            f"never a node; choose a root above it or leave it out"
        )
    hand_edits = _hand_edits(options["edits"])
    parent, lost, parted = _grow(nouns, wanted, top, walk_top, hand_edits, options)
    if lost and options["unreachable"] == "refuse":
        shown = ", ".join(f"{nouns.keys[at]} ({nouns.names[at]})" for at in lost[:10])
        more = f" and {len(lost) - 10} more" if len(lost) > 10 else ""
        raise UserError(
            f"{len(lost)} labels have no path to {nouns.sort_names[top]}: {shown}{more}; give "
            f"edits for them, another root, or unreachable=root"
        )
    attach(nouns, parent, lost, top)

    removed = drop_unlabelled(parent, wanted, top, collapse=options["unary"] == "collapse")
    promoted = promote(parent, wanted, top) if options["lone_leaf"] == "promote" else []
    order = breadth_first(nouns, parent, top)
    place = {node: at for at, node in enumerate(order)} | {top: -1}
    tree = WordTree(
        [nouns.keys[node] for node in order],
        [place[parent[node]] for node in order],
        [nouns.names[node] for node in order],
        np.array([node in wanted for node in order], bool),
    )
    report = make_report(
        nouns,
        tree,
        root=top,
        options=options,
        data_sets={name: [found[label] for label in given] for name, given in data_sets.items()},
        found=found,
        lost=lost,
        parted=parted,
        removed=removed,
        promoted=promoted,
    )
    return tree, report


def _data_sets(labels: LabelMap | Iterable[str | LabelMap]) -> dict[str, list[str]]:
    if isinstance(labels, str):
        raise UserError(f"labels are a list of keys, not one text ({labels!r}); put it in a list")
    loose: list[str] = []
    data_sets: dict[str, list[str]] = {}
    for item in [labels] if isinstance(labels, LabelMap) else labels:
        if isinstance(item, LabelMap):
            data_sets.setdefault(item.dataset, []).extend(item.keys())
        else:
            loose.append(str(item))
    if loose or not data_sets:
        data_sets[""] = loose
    return data_sets


def _find_all(graph: LabelGraph, data_sets: Mapping[str, list[str]]) -> dict[str, int]:
    """The index of every label as it was given; UserError that names all unknown ones."""
    known: dict[str, int] = {}
    faults = []
    for label in dict.fromkeys(label for labels in data_sets.values() for label in labels):
        try:
            known[label] = resolve(graph, label)
        except UserError as error:
            faults.append((label, str(error)))
            if len(faults) > 10:
                break
    if faults:
        others = ", ".join(repr(label) for label, _ in faults[1:10])
        raise UserError(faults[0][1] + (f"; nor can these be used: {others}" if others else ""))
    return known


def _hand_edits(edits: str | Path | Iterable[Edit] | None) -> list[Edit]:
    if edits is None:
        return []
    return read_edits(edits) if isinstance(edits, (str, Path)) else list(edits)


def _grow(
    graph: LabelGraph,
    wanted: set[int],
    top: int,
    walk_top: int,
    hand_edits: list[Edit],
    options: Mapping[str, Any],
) -> tuple[Parent, list[int], list[Parting]]:
    """The tree before anything is dropped, the labels without a path, and the choices made."""
    changed = edited_parents(graph, hand_edits)
    edited = graph.with_parents(changed) if changed else graph
    how = {"rule": options["rule"], "ties": options["ties"]}
    first = edited if options["edits_applied"] == "before" else graph
    growing = GrowingTree(first, walk_top, **how)
    growing.add(wanted)
    parted = _partings(first, growing, wanted)
    if options["edits_applied"] == "after":
        _move(edited, growing, hand_edits)
    # What the walk or an edit led elsewhere than below the root gets a second chance there.
    parent = below(growing.parent, top)
    rest = [label for label in wanted if label not in parent]
    again = GrowingTree(edited, top, **how)
    again.set_parents(parent)
    lost = again.add(rest)
    parted += _partings(edited, again, [label for label in rest if label in again.parent])
    kept = set(again.parent)
    last = {(parting.at, parting.label): parting for parting in parted}
    return again.parent, lost, [parting for parting in last.values() if parting.at in kept]


def _partings(graph: LabelGraph, growing: GrowingTree, labels: Iterable[int]) -> list[Parting]:
    """All places on the paths of these labels where the graph offers several."""
    # For each node the nearest such place on its path and the node above that to go on from, so
    # that a long path without a choice is walked once.
    nearest: dict[int, tuple[int, int, tuple[int, ...]] | None] = {}
    found = []
    for label in labels:
        if growing.counts.get(label) != 2:
            continue
        node = label
        while node >= 0:
            place = _nearest_parting(graph, growing, node, nearest)
            if place is None:
                break
            found.append(Parting(*place, label))
            node = place[1]
    return found


def _nearest_parting(
    graph: LabelGraph,
    growing: GrowingTree,
    start: int,
    nearest: dict[int, tuple[int, int, tuple[int, ...]] | None],
) -> tuple[int, int, tuple[int, ...]] | None:
    walked = []
    node = start
    while node not in nearest:
        walked.append(node)
        # Above a node with one path there is no choice any more.
        if growing.counts.get(node) != 2:
            nearest[node] = None
            break
        chosen = growing.parent[node]
        against = tuple(
            other for other in graph.parents[node] if other != chosen and growing.counts[other]
        )
        if against:
            nearest[node] = (node, chosen, against)
            break
        node = chosen
    nearest.update(dict.fromkeys(walked, nearest[node]))
    return nearest[node]


def _move(graph: LabelGraph, growing: GrowingTree, hand_edits: list[Edit]) -> None:
    """Applies the edits to the tree itself; edits of nodes that it lacks do nothing."""
    for edit in hand_edits:
        child, new = graph.find(edit.child), graph.find(edit.new_parent)
        if child not in growing.parent:
            continue
        above = GrowingTree(graph, growing.root, rule=growing.rule, ties=growing.ties)
        above.set_parents(growing.parent)
        if above.add([new]):
            raise UserError(
                f"{edit.where}: {edit.new_parent} has no path to "
                f"{graph.sort_names[growing.root]}; choose another new parent"
            )
        node = new
        while node >= 0:
            if node == child:
                raise UserError(
                    f"{edit.where}: {edit.new_parent} stands below {edit.child} in this tree, so "
                    f"the edit would lead in a circle; choose another new parent"
                )
            node = growing.parent[node]
        growing.parent[child] = new
