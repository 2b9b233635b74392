"""Graphs of labels in which a label may have several parents: what a tree is built from.

WordNet's nouns are one (`wordtree.wordnet`); a user's own hierarchy is another, from Python
(`as_graph`) or from a file (`wordtree.hierarchies`, `wordtree.open_images`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING

from wordtree.errors import UserError

if TYPE_CHECKING:
    import networkx

# Comparing two words takes 0.1 ms: a hint is not worth more than half a second.
_COMPARED = 5_000


class LabelGraph:
    """An acyclic graph of labels; all questions take and give indices.

    keys: unique. names: for people. sort_names: what ties are broken by, unique.
    parents: per label the indices of its parents, in the source's order.
    root: the label at which a build ends where none is asked for.
    ordered: whether the order of `parents` is that of the source's file (NLTK sorts it by name).
    """

    def __init__(
        self,
        keys: Sequence[str],
        names: Sequence[str],
        sort_names: Sequence[str],
        parents: Sequence[tuple[int, ...]],
        *,
        root: str,
        ordered: bool = True,
    ) -> None:
        self.keys = keys
        self.names = names
        self.sort_names = sort_names
        self.parents = parents
        self.root = root
        self.ordered = ordered
        self._index = {key: at for at, key in enumerate(keys)}

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, label: str) -> int:
        """Index of the label with this key, or with this name where only one label has it.

        Raises UserError that names the keys to choose from, or the nearest labels.
        """
        found = self._index.get(label)
        if found is not None:
            return found
        named = self._by_name.get(label, [])
        if len(named) == 1:
            return named[0]
        if named:
            shown = ", ".join(self.keys[at] for at in named[:6])
            more = f" and {len(named) - 6} more" if len(named) > 6 else ""
            raise UserError(
                f"{len(named)} labels of the hierarchy have the name {label!r}; say which by its "
                f"key: {shown}{more}"
            )
        raise UserError(f"the hierarchy has no label {label!r}{self._near(label)}")

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        if self.names is self.keys:
            return found
        for at, name in enumerate(self.names):
            if at != self._index[self.root]:
                found.setdefault(name, []).append(at)
        return found

    def _near(self, label: str) -> str:
        every: Iterable[str] = chain(self.keys, self._by_name)
        if len(self) > _COMPARED // 2:
            start = label[:2].casefold()
            every = (word for word in every if word[:2].casefold() == start)
        close = difflib.get_close_matches(label, dict.fromkeys(islice(every, _COMPARED)), n=3)
        return f"; near to it are {', '.join(map(repr, close))}" if close else ""

    def to_networkx(self) -> networkx.DiGraph:
        """A networkx DiGraph of the keys (`name`), edges from parent to child."""
        import networkx

        graph = networkx.DiGraph()
        for key, name in zip(self.keys, self.names, strict=True):
            graph.add_node(key, name=name)
        for child, parents in enumerate(self.parents):
            graph.add_edges_from((self.keys[parent], self.keys[child]) for parent in parents)
        return graph

    def with_parents(self, changed: Mapping[int, tuple[int, ...]]) -> LabelGraph:
        """The same labels with other parents for some of them (a shallow copy)."""
        parents = list(self.parents)
        for child, new in changed.items():
            parents[child] = new
        other = LabelGraph.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.parents = parents
        return other


def all_labels(graph: LabelGraph) -> list[str]:
    """All keys but the root's, in the graph's order: the labels of a build of the whole graph."""
    return [key for key in graph.keys if key != graph.root]


Parents = str | Iterable[str] | None


def as_graph(source: LabelGraph | Mapping[str, Parents] | networkx.DiGraph) -> LabelGraph:
    """A LabelGraph of a mapping child -> parent (or parents, or None), or of a DiGraph.

    In a mapping, labels with the parent None are the top nodes, and then every parent must be
    listed as a child itself. A mapping without them has exactly one parent that is no child: the
    build's root, which is never a node. Edges of a networkx DiGraph go from parent to child; its
    labels without a parent are the top nodes.
    Raises UserError for a cycle, a parent that is missing, several roots, a label that is no text.
    """
    if isinstance(source, LabelGraph):
        return source
    if not isinstance(source, Mapping):
        # The root that stands above all of a DiGraph is no label of it: its key is empty.
        above = {child: _checked(child, source.predecessors(child)) for child in source}
        return refuse_cycle(make_graph(above))
    above = {child: _checked(child, parents) for child, parents in source.items()}
    missing = missing_parents(above)
    if missing and not all(above.values()):
        child = next(child for child, parents in above.items() if missing[0] in parents)
        raise UserError(
            f"the parent {missing[0]!r} of {child!r} is missing from the hierarchy; add it, "
            f"with a parent of its own or with none as a top node"
        )
    if len(missing) > 1:
        raise UserError(
            f"the hierarchy has {len(missing)} roots ({', '.join(map(repr, missing[:5]))}); "
            f"list them with an empty parent if they are its top nodes"
        )
    for root in missing:
        _checked(root, None)
    return refuse_cycle(make_graph(above, root=missing[0] if missing else ""))


def _checked(child: str, parents: Parents) -> tuple[str, ...]:
    fault = label_fault(child)
    if fault:
        raise UserError(f"the hierarchy has the label {child!r}, which {fault}")
    if isinstance(parents, str):
        return (parents,) if parents else ()
    if parents is None:
        return ()
    if not isinstance(parents, Iterable):
        raise UserError(
            f"the parent of {child!r} is {parents!r}; give a text, a list of texts, or None"
        )
    return tuple(dict.fromkeys(parents))


def label_fault(label: object) -> str:
    """Why no tree can have a label of this key, as the end of a sentence; empty where it can."""
    if not isinstance(label, str):
        return "is no text; labels are texts"
    if not label:
        return "is empty; labels are texts, not empty"
    # isprintable is a quick no to both faults for nearly all labels.
    if label.isprintable():
        return ""
    if any(mark in label for mark in "\n\r\0"):
        return "has a line break or a NUL; take it out"
    try:
        label.encode()
    except UnicodeEncodeError:
        return "has a character that UTF-8 cannot write; correct it"
    return ""


def missing_parents(above: Mapping[str, Iterable[str]]) -> list[str]:
    """The parents that are no child themselves, each once, in order."""
    found = (parent for parents in above.values() for parent in parents if parent not in above)
    return list(dict.fromkeys(found))


def make_graph(
    above: Mapping[str, Iterable[str]], *, root: str = "", names: Mapping[str, str] | None = None
) -> LabelGraph:
    """The graph of these labels and their parents, all of which are labels or the root.

    Labels without a parent hang below the root. names: of some labels; a key is its own name.
    Cycles are not looked for here: `refuse_cycle`.
    """
    keys = [root, *(key for key in above if key != root)]
    place = {key: at for at, key in enumerate(keys)}
    parents = [tuple([place[parent] for parent in above.get(key, ())]) or (0,) for key in keys]
    parents[0] = tuple([place[parent] for parent in above.get(root, ())])
    named = keys if not names else [names.get(key, key) for key in keys]
    return LabelGraph(keys, named, keys, parents, root=root)


def refuse_cycle(graph: LabelGraph, where: Callable[[str, str], str] | None = None) -> LabelGraph:
    """The graph; UserError where it has a cycle.

    where: tells in which line of a file a child got its parent.
    """
    cycle = [graph.keys[at] for at in find_cycle(graph.parents)]
    if not cycle:
        return graph
    around = [*cycle[:8], cycle[0]]
    shown = " > ".join(map(repr, around))
    if where:
        lines = dict.fromkeys(map(where, around[1:], around[:-1]))
        shown += f" (line{'s' * (len(lines) > 1)} {', '.join(lines)})"
    raise UserError(f"the hierarchy goes in a circle: {shown}; cut it at one place")


def find_cycle(parents: Sequence[tuple[int, ...]]) -> list[int]:
    """The labels of one cycle, each before a child of it; empty where there is none."""
    fresh, open_, done = 0, 1, 2
    state = bytearray(len(parents))
    for start, direct in enumerate(parents):
        if state[start] != fresh:
            continue
        if not direct or (len(direct) == 1 and state[direct[0]] == done):
            state[start] = done
            continue
        state[start] = open_
        path, pending = [start], [iter(parents[start])]
        while path:
            for above in pending[-1]:
                if state[above] == open_:
                    return path[path.index(above) :][::-1]
                if state[above] == fresh:
                    state[above] = open_
                    path.append(above)
                    pending.append(iter(parents[above]))
                    break
            else:
                state[path.pop()] = done
                pending.pop()
    return []
