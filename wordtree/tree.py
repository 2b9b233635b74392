"""A tree of labels as immutable arrays, and the questions one asks about its nodes.

Parents come before their children and siblings stand side by side, so a group is a slice and one
pass in order (or in reverse) reaches every ancestor (or descendant) first. These two laws and the
uniqueness of keys are checked once, when the tree is made; all else relies on them. Nothing here
recurses, and no list of all paths of all nodes is ever kept: a chain of 100,000 nodes would need
5 x 10^9 entries.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordtree.errors import UserError
from wordtree.laws import Indices, check_texts, depths, find_fault, group_starts
from wordtree.node import Node
from wordtree.parts import below_any, part, preorder, without_bare

if TYPE_CHECKING:
    import networkx


def _frozen(values: ArrayLike, dtype: Any) -> NDArray[Any]:
    array = np.array(values, dtype)
    array.flags.writeable = False
    return array


_WNID = re.compile(r"n\d{8}")


class WordTree:
    """A tree of N nodes in G groups; a group is all children of one parent, or all top nodes.

    Per node: `keys` and `names` (tuples of str), `parent` (-1 at the top), `depth` (0 at the
    top), `labelled`, `group`, `child_group` (the group of its children, -1: leaf). Per group:
    `group_start`, `group_size`, `group_parent` (-1 for group 0, the top nodes). All are read-only
    numpy arrays, int64 or bool.

    The root of the build is not a node: the top nodes are its children.
    """

    def __init__(
        self,
        keys: Iterable[str],
        parent: ArrayLike,
        names: Iterable[str] | None = None,
        labelled: ArrayLike | None = None,
    ) -> None:
        """Makes a tree of `keys` and, for each, the index of its parent (-1: at the top).

        names: shown to people, need not be unique; the keys themselves where None.
        labelled: which nodes some data set's label points to; all where None.
        Raises UserError where a parent does not come before its child, siblings stand apart, a
        key comes twice, is empty or has a line break, or the lengths differ.
        """
        self.keys: tuple[str, ...] = tuple(keys)
        count = len(self.keys)
        self.names: tuple[str, ...] = self.keys if names is None else tuple(names)
        self.parent: Indices = _frozen(parent, np.int64).reshape(-1)
        self.labelled: NDArray[np.bool_] = (
            _frozen(np.ones(count), bool) if labelled is None else _frozen(labelled, bool)
        )
        lengths = (count, len(self.parent), len(self.names), len(self.labelled))
        if len(set(lengths)) > 1:
            raise UserError(
                "a tree needs as many parents, names and flags as keys, but got {} keys, {} "
                "parents, {} names and {} flags".format(*lengths)
            )
        if "" in self.keys:
            raise UserError(f"the key of node {self.keys.index('')} is empty; give it one")
        check_texts(self.keys, "key", "\n\r\0")
        check_texts(self.names, "name", "")
        fault = find_fault(self.keys, self.parent)
        if fault is not None:
            raise UserError(f"node {fault[0]}: {fault[1]}")

        starts = group_starts(self.parent)
        sizes = np.diff(starts, append=count)
        above = self.parent[starts]
        child_group = np.full(count, -1, np.int64)
        child_group[above[1:]] = np.arange(1, len(starts))
        self.group_start: Indices = _frozen(starts, np.int64)
        self.group_size: Indices = _frozen(sizes, np.int64)
        self.group_parent: Indices = _frozen(above, np.int64)
        self.group: Indices = _frozen(np.repeat(np.arange(len(starts)), sizes), np.int64)
        self.child_group: Indices = _frozen(child_group, np.int64)
        self.depth: Indices = _frozen(depths(self.parent), np.int64)

    # -- one node ----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Node]:
        return (Node(self, at) for at in range(len(self)))

    def __contains__(self, key: object) -> bool:
        return key in self._index_of_key

    def __getitem__(self, key: str | int) -> Node:
        """The node with this key, with this name where only one node has it, or this index."""
        return Node(self, self._resolve(key) if isinstance(key, str) else self._checked(key))

    @overload
    def index(self, keys: str) -> int: ...  # type: ignore[overload-overlap]
    @overload
    def index(self, keys: Iterable[str]) -> Indices: ...
    def index(self, keys: str | Iterable[str]) -> int | Indices:
        """Index of one key, or int64 indices of several; a name serves where it is unique."""
        if isinstance(keys, str):
            return self._resolve(keys)
        return np.array([self._resolve(key) for key in keys], np.int64)

    # -- questions about indices -------------------------------------------------------------

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        """bool (N,): nodes without children."""
        return self.child_group < 0

    def children(self, node: int) -> Indices:
        """Indices of the children of a node, empty for a leaf."""
        group = self.child_group[self._checked(node)]
        if group < 0:
            return np.zeros(0, np.int64)
        start = self.group_start[group]
        return np.arange(start, start + self.group_size[group])

    def path(self, node: int) -> Indices:
        """Indices from the top down to the node, both included."""
        at = self._checked(node)
        result = np.empty(int(self.depth[at]) + 1, np.int64)
        for place in range(len(result) - 1, -1, -1):
            result[place] = at
            at = int(self.parent[at])
        return result

    def paths(self, nodes: ArrayLike) -> tuple[Indices, Indices]:
        """The paths of several nodes, one after the other: (flat, offsets), both int64.

        The path of `nodes[i]`, top first, is `flat[offsets[i]:offsets[i + 1]]`.
        """
        current = self._checked_array(nodes).reshape(-1)
        offsets = np.concatenate([[0], np.cumsum(self.depth[current] + 1)])
        flat = np.empty(offsets[-1], np.int64)
        place = offsets[1:] - 1
        while len(current):
            flat[place] = current
            above = self.parent[current]
            going_on = above >= 0
            current, place = above[going_on], place[going_on] - 1
        return flat, offsets

    def is_ancestor(self, ancestor: ArrayLike, node: ArrayLike) -> Any:
        """Whether `ancestor` stands on the path of `node`; every node is its own ancestor.

        Scalars give a bool, arrays are broadcast and give bool arrays.
        """
        upper, lower = self._checked_array(ancestor), self._checked_array(node)
        enter, leave = self._interval
        result = (enter[upper] <= enter[lower]) & (enter[lower] < leave[upper])
        return bool(result) if result.ndim == 0 else result

    def lca(self, first: ArrayLike, second: ArrayLike) -> Any:
        """Lowest common ancestor; -1 (the root of the build) where the top nodes differ.

        Scalars give an int, arrays are broadcast and give int64 arrays.
        """
        one, other = self._checked_array(first), self._checked_array(second)
        low, high = (array.copy() for array in np.broadcast_arrays(one, other))
        shape = low.shape
        low, high = low.reshape(-1), high.reshape(-1)
        apart = np.flatnonzero(low != high)
        while len(apart):
            # Parents come first, so the later of two different nodes is no ancestor of the other.
            late = np.maximum(low[apart], high[apart])
            low[apart] = np.minimum(low[apart], high[apart])
            high[apart] = self.parent[late]
            apart = apart[low[apart] != high[apart]]
        return int(low[0]) if shape == () else low.reshape(shape)

    def subtree(self, key: str | int) -> WordTree:
        """The tree of this node and all below it, with that node on top."""
        return part(self, below_any(self, np.array([self[key].index])))

    def prune(self, keys: Iterable[str]) -> WordTree:
        """The tree without these nodes and all below them; keys, or names where unique.

        Unlabelled nodes that are left without children go too: nothing asks for them.
        """
        return part(self, without_bare(self, ~below_any(self, self.index(list(keys)))))

    # -- the whole tree ----------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        """Whether keys, parents, names and labelled flags are all the same."""
        if not isinstance(other, WordTree):
            return NotImplemented
        return self is other or (
            self.keys == other.keys
            and self.names == other.names
            and np.array_equal(self.parent, other.parent)
            and np.array_equal(self.labelled, other.labelled)
        )

    def __hash__(self) -> int:
        return hash(self.hash)

    def __reduce__(self) -> tuple[Any, ...]:
        return WordTree, (self.keys, self.parent, self.names, self.labelled)

    def __repr__(self) -> str:
        tops = self.names[: int(self.group_size[0])] if len(self) else ()
        shown = ", ".join(tops[:4]) + (f", and {len(tops) - 4} more" if len(tops) > 4 else "")
        deepest = int(self.depth.max()) if len(self) else 0
        return (
            f"<WordTree of {len(self):,} nodes ({int(self.is_leaf.sum()):,} leaves, "
            f"{len(self.group_size):,} groups, depth {deepest}), top: {shown or 'none'}; "
            f"hash {self.hash[:12]}>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the upper part of the tree as lists that open."""
        from wordtree.outline import html_outline

        return html_outline(self)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hexadecimal) of the lines `key parent`, the bytes of darknet's `.tree`."""
        parents = self.parent.tolist()
        text = "".join(f"{key} {above}\n" for key, above in zip(self.keys, parents, strict=True))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def load(cls, path: str | Path) -> WordTree:
        """Reads a tree file; its ending says the format (see `wordtree.formats`)."""
        from wordtree.formats import read

        return read(path)

    def save(self, path: str | Path) -> None:
        """Writes a tree file; its ending says the format (see `wordtree.formats`)."""
        from wordtree.formats import write

        write(self, path)

    def to_networkx(self) -> networkx.DiGraph:
        """A networkx DiGraph: keys as nodes (`name`, `labelled`), edges from parent to child."""
        import networkx

        graph = networkx.DiGraph()
        labelled = self.labelled.tolist()
        for key, name, flag in zip(self.keys, self.names, labelled, strict=True):
            graph.add_node(key, name=name, labelled=flag)
        for at, above in enumerate(self.parent.tolist()):
            if above >= 0:
                graph.add_edge(self.keys[above], self.keys[at])
        return graph

    # -- inside ------------------------------------------------------------------------------

    @cached_property
    def _index_of_key(self) -> dict[str, int]:
        return {key: at for at, key in enumerate(self.keys)}

    @cached_property
    def _indices_of_name(self) -> dict[str, list[int]]:
        result: dict[str, list[int]] = {}
        for at, name in enumerate(self.names):
            result.setdefault(name, []).append(at)
        return result

    @cached_property
    def _interval(self) -> tuple[Indices, Indices]:
        return preorder(self.parent)

    def _resolve(self, key: str) -> int:
        found = self._index_of_key.get(key)
        if found is not None:
            return found
        named = self._indices_of_name.get(key, [])
        if len(named) == 1:
            return named[0]
        if named:
            keys = ", ".join(self.keys[at] for at in named[:8])
            raise UserError(
                f"{len(named)} nodes are named {key!r}; say which by its key: {keys}"
                + (", ..." if len(named) > 8 else "")
            )
        # Numbers are all alike, and a million names take ten seconds to look through.
        words = [] if _WNID.fullmatch(key) or len(self) > 50_000 else [*self._indices_of_name]
        close = difflib.get_close_matches(key, words, n=3)
        hint = f"; near to it are {', '.join(close)}" if close else ""
        raise UserError(f"no node of this tree has the key or the name {key!r}{hint}")

    def _checked(self, node: int) -> int:
        at = int(node)
        if not 0 <= at < len(self):
            raise IndexError(f"node {at} of a tree of {len(self)} nodes (0 to {len(self) - 1})")
        return at

    def _checked_array(self, nodes: ArrayLike) -> Indices:
        array = np.asarray(nodes)
        if array.size == 0:
            return array.astype(np.int64)
        if array.dtype.kind not in "iu":
            raise TypeError(f"nodes are whole numbers, not {array.dtype}; see `index`")
        if array.min() < 0 or array.max() >= len(self):
            bad = array[(array < 0) | (array >= len(self))].flat[0]
            raise IndexError(f"node {bad} of a tree of {len(self)} nodes (0 to {len(self) - 1})")
        return array.astype(np.int64)
