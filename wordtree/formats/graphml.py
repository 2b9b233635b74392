"""A tree as GraphML: nodes with the data `name` and `labelled`, edges from parent to child.

networkx writes it. It is not asked to read: it merges nodes with one id, makes up nodes for edges
that lead nowhere, and knows no lines. A graph's nodes have no order, so those of another program
that do not stand as a tree's must are put breadth first.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import numpy as np

from wordtree.errors import UserError
from wordtree.formats.checked import FLAGS, breadth_first, make_tree, reordered
from wordtree.formats.text import read_text, write_text
from wordtree.laws import find_fault
from wordtree.tree import WordTree
from wordtree.wording import short

_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # XML 1.0, section 2.2

Attributes = Mapping[str, str]


def read_graphml(path: Path) -> WordTree:
    """Reads a directed graph whose nodes have one parent at most; the ids are the keys.

    A node without `name` is named by its key, one without `labelled` is labelled. The order of the
    nodes is kept where it is one of a tree.
    Raises UserError with the line: not XML, a node twice, two parents, a circle, undirected edges.
    """
    text = read_text(path)
    if not text.strip():
        raise UserError(f"{path} has nothing but blank lines; give a file with content")
    return _Reader(path).read(text)


def write_graphml(tree: WordTree, path: Path) -> None:
    """Writes any tree whose texts XML can hold; UserError for one with control characters."""
    import networkx

    for key, name in zip(tree.keys, tree.names, strict=True):
        found = _FORBIDDEN.search(key) or _FORBIDDEN.search(name)
        if found:
            raise UserError(
                f"{path}: the key {short(key)} or its name {short(name)} has the character "
                f"{found[0]!r}, which XML cannot hold; write .json"
            )
    file = io.BytesIO()
    networkx.write_graphml_xml(tree.to_networkx(), file, named_key_ids=True)
    # The writer leaves a carriage return in a name as it is, and readers take it for a line break.
    write_text(path, file.getvalue().decode().replace("\r", "&#13;") + "\n")


class _Reader:
    """One pass over the XML; reacts to the elements that a plain graph has, where they belong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inside = [""]  # the elements that are open
        self.pieces: list[str] = []  # the text of the innermost element so far
        self.about = ""  # the attribute that this element is a value or default of
        self.node = ""
        self.directed = ""
        self.declared: dict[str, str] = {}  # id of a <key> -> name of the attribute
        self.defaults: dict[str, str] = {}
        self.values: dict[str, dict[str, str]] = {"name": {}, "labelled": {}}  # by node
        self.lines: dict[str, int] = {}  # by node, in the file's order
        self.parents: dict[str, tuple[str, int]] = {}  # by child, with the edge's line
        self.starts: dict[tuple[str, str], Callable[[Attributes], None]] = {
            ("", "graphml"): lambda _: None,
            ("graphml", "key"): self._declare,
            ("graphml", "graph"): self._graph,
            ("graph", "node"): self._node,
            ("graph", "edge"): self._edge,
            ("node", "data"): self._data,
        }
        self.ends: dict[tuple[str, str], Callable[[str], None]] = {
            ("key", "default"): lambda text: self.defaults.update({self.about: text}),
            ("node", "data"): self._value,
        }
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.pieces.append
        self.parser.StartDoctypeDeclHandler = self._doctype

    def read(self, text: str) -> WordTree:
        try:
            self.parser.Parse(text, True)
        except expat.ExpatError as error:
            raise UserError(
                f"{self.path}, line {error.lineno}: not XML ({expat.ErrorString(error.code)}); "
                f"the file is cut or damaged"
            ) from None
        keys = list(self.lines)
        index = {key: at for at, key in enumerate(keys)}
        parent = [-1] * len(keys)
        for child, (above, line) in self.parents.items():
            for key in (child, above):
                if key not in index:
                    self._refuse(f"the edge joins {short(key)}, which is no node; add it", line)
            parent[index[child]] = index[above]
        if find_fault(keys, np.array(parent, np.int64)):
            order = breadth_first(parent)
            if len(order) < len(parent):
                self._refuse_circle(keys, parent, order)
            keys, parent = [keys[at] for at in order], reordered(parent, order)
        names, flags = self.values["name"], self.values["labelled"]
        name, flag = self.defaults.get("name"), self.defaults.get("labelled", "true")
        return make_tree(
            self.path,
            keys,
            parent,
            [names.get(key, key if name is None else name) for key in keys],
            [self._flag(key, flags.get(key, flag)) for key in keys],
            place=lambda node: f"line {self.lines[keys[node]]}",
        )

    def _flag(self, key: str, text: str) -> bool:
        flag = FLAGS.get(text.strip().lower())
        if flag is None:
            why = f"labelled of {short(key)} is {short(text)}; give true or false"
            self._refuse(why, self.lines[key])
        return flag

    def _start(self, tag: str, attributes: Attributes) -> None:
        outer, element = self.inside[-1], tag.rpartition(" ")[2]
        self.inside.append(element)
        self.pieces.clear()
        start = self.starts.get((outer, element))
        if start is not None:
            start(attributes)
        elif not outer:
            self._refuse(f"the outermost element is {short(element)}, not graphml; give GraphML")
        elif element in ("graph", "hyperedge"):
            self._refuse(f"a tree has no {element} inside a {outer}; give one plain graph")

    def _end(self, _: str) -> None:
        element = self.inside.pop()
        end = self.ends.get((self.inside[-1], element))
        if end is not None:
            end("".join(self.pieces))
        self.pieces.clear()

    def _doctype(self, *_: object) -> None:
        self._refuse("GraphML has no DOCTYPE, behind which entities can hide; take it out")

    def _declare(self, attributes: Attributes) -> None:
        self.about = ""
        if attributes.get("for", "node") in ("node", "all"):
            self.about = attributes.get("attr.name", "")
        self.declared[attributes.get("id", "")] = self.about

    def _graph(self, attributes: Attributes) -> None:
        if self.directed:
            self._refuse("there is a second graph; give one tree a file")
        self.directed = attributes.get("edgedefault", "directed")

    def _node(self, attributes: Attributes) -> None:
        self.node = attributes.get("id", "")
        if not self.node:
            self._refuse("a node has no id; give it one")
        if "\n" in self.node or "\r" in self.node:
            self._refuse(f"the id {short(self.node)} has a line break; drop it")
        if self.node in self.lines:
            line = self.lines[self.node]
            self._refuse(
                f"the id {short(self.node)} is used in line {line}; give every node its own"
            )
        self.lines[self.node] = self.parser.CurrentLineNumber

    def _data(self, attributes: Attributes) -> None:
        found = self.declared.get(attributes.get("key", ""))
        if found is None:
            self._refuse(f"no <key> declares {short(attributes.get('key', ''))}; add one before it")
        self.about = found

    def _value(self, text: str) -> None:
        if self.about in self.values:
            self.values[self.about][self.node] = text

    def _edge(self, attributes: Attributes) -> None:
        above, child = attributes.get("source", ""), attributes.get("target", "")
        if {"true": "directed", "false": "undirected"}.get(
            attributes.get("directed", ""), self.directed
        ) != "directed":
            self._refuse("the edge is undirected; a tree's edges go from parent to child")
        if child in self.parents:
            first, line = self.parents[child]
            self._refuse(
                f"{short(child)} is below {short(above)}, but in line {line} below "
                f"{short(first)}; a node of a tree has one parent"
            )
        self.parents[child] = above, self.parser.CurrentLineNumber

    def _refuse_circle(self, keys: list[str], parent: list[int], reached: list[int]) -> NoReturn:
        at = min(set(range(len(parent))) - set(reached))
        seen: dict[int, None] = {}
        while at not in seen:
            seen[at] = None
            at = parent[at]
        circle = list(seen)[list(seen).index(at) :]
        shown = [short(keys[node]) for node in circle[::-1]]
        way = " > ".join([*shown[:6], *(["..."] if len(shown) > 6 else []), shown[0]])
        line = self.parents[keys[at]][1]
        self._refuse(f"the edges go in a circle, {way}; cut it at one place", line)

    def _refuse(self, why: str, line: int | None = None) -> NoReturn:
        place = self.parser.CurrentLineNumber if line is None else line
        raise UserError(f"{self.path}, line {place}: {why}")
