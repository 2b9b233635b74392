"""Graphs of labels in which a label may have several parents: what a tree is built from.

WordNet's nouns are one (`wordtree.wordnet`); a user's own hierarchy is another.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from wordtree.errors import UserError

if TYPE_CHECKING:
    import networkx


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
        """Index of the label with this key; UserError with the nearest keys where none has it."""
        found = self._index.get(label)
        if found is None:
            close = difflib.get_close_matches(label, self.keys, n=3)
            hint = f"; near to it are {', '.join(close)}" if close else ""
            raise UserError(f"the hierarchy has no label {label!r}{hint}")
        return found

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


Parents = str | Iterable[str] | None


def as_graph(source: LabelGraph | Mapping[str, Parents] | networkx.DiGraph) -> LabelGraph:
    """A LabelGraph of a mapping child -> parent (or parents, or None), or of a DiGraph.

    In a mapping, labels with the parent None are the top nodes, and then every parent must be
    listed as a child itself. A mapping without them has exactly one parent that is no child: the
    build's root, which is never a node. Edges of a networkx DiGraph go from parent to child; its
    labels without a parent are the top nodes.
    Raises UserError for a cycle, a parent that is missing, several roots, an empty label.
    """
    if isinstance(source, LabelGraph):
        return source
    if isinstance(source, Mapping):
        above = {child: _parents(child, parents) for child, parents in source.items()}
        mentioned = dict.fromkeys(parent for parents in above.values() for parent in parents)
        missing = [parent for parent in mentioned if parent not in above]
        explicit = any(not parents for parents in above.values())
        if missing and explicit:
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
        root = missing[0] if missing else ""
    else:
        above = {child: tuple(source.predecessors(child)) for child in source}
        root = ""
    return _checked_graph(above, root)


def _parents(child: str, parents: Parents) -> tuple[str, ...]:
    if not isinstance(child, str) or not child:
        raise UserError(f"the hierarchy has the label {child!r}; labels are texts, not empty")
    if not parents:
        return ()
    return (parents,) if isinstance(parents, str) else tuple(parents)


def _checked_graph(above: Mapping[str, tuple[str, ...]], root: str) -> LabelGraph:
    import networkx

    edges = [(parent, child) for child, parents in above.items() for parent in parents]
    graph = networkx.DiGraph(edges)
    if not networkx.is_directed_acyclic_graph(graph):
        cycle = [parent for parent, _ in networkx.find_cycle(graph)]
        shown = " > ".join(map(repr, [*cycle[:8], cycle[0]]))
        raise UserError(f"the hierarchy goes in a circle: {shown}; cut it at one place")
    keys = [root, *(key for key in above if key != root)]
    place = {key: at for at, key in enumerate(keys)}
    # A label without a parent hangs below the build's root.
    parents: list[tuple[int, ...]] = [()]
    parents += [tuple(place[parent] for parent in above[key]) or (0,) for key in keys[1:]]
    return LabelGraph(keys, keys, keys, parents, root=root)
