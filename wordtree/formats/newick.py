"""A tree in Newick's notation, as programs for evolutionary trees read it: `(cat,dog)animal;`.

Several top nodes are the children of an outermost node without a name. What the notation lacks
stands behind a node in a comment of the NHX dialect, percent-encoded: `[&&NHX:name=...]` where the
name is not the key, `labelled=0` where no label points to the node, and `at=17`, its place in the
tree, where the tree is not breadth first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

import numpy as np

from wordtree.errors import UserError
from wordtree.formats.checked import FLAGS, breadth_first, make_tree, reordered
from wordtree.formats.text import read_text, write_text
from wordtree.tree import WordTree
from wordtree.wording import short

_TOKEN = re.compile(
    r"""(?P<blank>\s+) | (?P<comment>\[[^]]*+]) | (?P<quoted>'(?:[^']++|'')*+')
    | (?P<mark>[(),:;]) | (?P<plain>[^]\s()[',:;]+)""",
    re.VERBOSE,
)
# Others go in quotes; an underscore too, for which many programs read a blank.
_PLAIN = re.compile(r"(?:[^\W_]|[.+-])+")
_NHX = "[&&NHX:"
_ENCODED = {code: f"%{code:02X}" for code in (*range(33), 127, *b"%[]():;,='\"")}


@dataclass
class _Nodes:
    """What the text says of each node, in the order in which nodes begin."""

    parent: list[int] = field(default_factory=list)
    key: list[str] = field(default_factory=list)
    note: list[str] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)

    def add(self, parent: int, key: str, offset: int) -> int:
        self.parent.append(parent)
        self.key.append(key)
        self.note.append("")
        self.offset.append(offset)
        return len(self.parent) - 1


def read_newick(path: Path) -> WordTree:
    """Reads one tree; branch lengths and comments of other programs are left out.

    An outermost node without a name is no node: its children are the top nodes. Without `at`
    the nodes stand breadth first, siblings as in the file. Underscores stay as they are.
    Raises UserError with line and character.
    """
    text = read_text(path)
    if not text.strip():
        raise UserError(f"{path} has nothing but blank lines; give a file with content")
    nodes = _parse(path, text)
    bare = bool(nodes.key) and not nodes.key[0]
    if bare:
        for column in (nodes.parent, nodes.key, nodes.note, nodes.offset):
            del column[0]
        nodes.parent = [above - 1 for above in nodes.parent]
    names, labelled, places = _notes(path, text, nodes)
    order = breadth_first(nodes.parent)
    if any(place is not None for place in places):
        order = _placed(path, text, nodes, places)
    return make_tree(
        path,
        [nodes.key[at] for at in order],
        reordered(nodes.parent, order),
        [names[at] for at in order],
        [labelled[at] for at in order],
        place=lambda node: _place(text, nodes.offset[order[node]]),
    )


def write_newick(tree: WordTree, path: Path) -> None:
    """Writes any tree, the empty one as `;`."""
    breadth = bool(np.all(np.diff(tree.parent) >= 0))
    flags = tree.labelled.tolist()
    starts = tree.group_start.tolist()
    sizes = tree.group_size.tolist()
    below = tree.child_group.tolist()

    def written(at: int) -> str:
        key, name = tree.keys[at], tree.names[at]
        notes = [] if name == key else [f":name={name.translate(_ENCODED)}"]
        notes += [] if flags[at] else [":labelled=0"]
        notes += [] if breadth else [f":at={at}"]
        label = key if _PLAIN.fullmatch(key) else "'{}'".format(key.replace("'", "''"))
        return f"{label}{_NHX[:-1]}{''.join(notes)}]" if notes else label

    def siblings(group: int) -> list[int | str]:
        """The nodes of a group with what stands around and between them, last thing first."""
        things: list[int | str] = [")"]
        for at in range(starts[group] + sizes[group] - 1, starts[group] - 1, -1):
            things += [at, ","]
        things[-1] = "("
        return things

    pieces: list[str] = []
    if len(tree):
        waiting: list[int | str] = siblings(0) if sizes[0] > 1 else [0]
        while waiting:
            thing = waiting.pop()
            if isinstance(thing, str):
                pieces.append(thing)
            elif below[thing] < 0:
                pieces.append(written(thing))
            else:
                waiting.append(written(thing))
                waiting += siblings(below[thing])
    write_text(path, f"{''.join(pieces)};\n")


def _tokens(path: Path, text: str) -> Iterator[tuple[str, str, int]]:
    end = 0
    while end < len(text):
        found = _TOKEN.match(text, end)
        if found is None:
            why = {"'": "a quote is not closed", "[": "a comment is not closed"}
            _refuse(path, text, end, why.get(text[end], f"{text[end]!r} is out of place"))
        yield found.lastgroup or "", found[0], end
        end = found.end()


def _parse(path: Path, text: str) -> _Nodes:
    nodes = _Nodes()
    open_nodes: list[int] = []
    current = -1  # the node that a key, a length or a comment belongs to; -1: none has begun
    before = ""
    done = False

    def nameless(offset: int) -> NoReturn:
        _refuse(path, text, offset, "a node has no name before this mark; give it one")

    for kind, token, offset in _tokens(path, text):
        if kind == "blank":
            continue
        if kind == "comment":
            if current >= 0 and not done and token.startswith(_NHX):
                nodes.note[current] = token
            continue
        if done:
            _refuse(path, text, offset, "there is more behind the tree's `;`; give one tree a file")
        above = open_nodes[-1] if open_nodes else -1
        if kind in ("plain", "quoted"):
            key = token if kind == "plain" else token[1:-1].replace("''", "'")
            if before == ":":
                pass  # a branch's length
            elif current < 0:
                current = nodes.add(above, key, offset)
            elif before == ")":
                nodes.key[current] = key
                nodes.offset[current] = offset
            else:
                _refuse(path, text, offset, f"{short(key)} stands beside another text; quote them")
        elif token == "(":
            if current >= 0:
                _refuse(path, text, offset, "`(` stands behind a node; put a comma between them")
            open_nodes.append(nodes.add(above, "", offset))
        elif token == ";":
            if open_nodes:
                many = len(open_nodes)
                _refuse(path, text, offset, f"{many} parentheses are not closed; the file is cut")
            done = True
        elif current < 0:
            nameless(offset)
        elif token in ",)" and not open_nodes:
            why = f"`{token}` stands outside all parentheses; put a pair around the top nodes"
            _refuse(path, text, offset, why)
        elif token == ",":
            current = -1
        elif token == ")":
            current = open_nodes.pop()
            nodes.offset[current] = offset
        before = token if kind == "mark" else ""
    if not done:
        _refuse(path, text, len(text), "the tree does not end with `;`; the file is cut")
    for at, key in enumerate(nodes.key[1:], start=1):
        if not key:
            why = "a node has no name; write one, for an inner node behind it: (cat,dog)animal"
            _refuse(path, text, nodes.offset[at], why)
    return nodes


def _notes(path: Path, text: str, nodes: _Nodes) -> tuple[list[str], list[bool], list[int | None]]:
    names = list(nodes.key)
    labelled = [True] * len(names)
    places: list[int | None] = [None] * len(names)
    for at, note in enumerate(nodes.note):
        if not note:
            continue
        for pair in note[len(_NHX) : -1].split(":"):
            word, _, value = pair.partition("=")
            if word == "name":
                try:
                    names[at] = unquote(value, errors="strict")
                except UnicodeDecodeError:
                    _refuse(path, text, nodes.offset[at], f"name={short(value)} is not UTF-8")
            elif word == "labelled" and value.lower() in FLAGS:
                labelled[at] = FLAGS[value.lower()]
            elif word == "labelled":
                _refuse(path, text, nodes.offset[at], f"labelled={short(value)}; give 0 or 1")
            elif word == "at":
                places[at] = int(value) if re.fullmatch("[0-9]{1,18}", value) else -1
    return names, labelled, places


def _placed(path: Path, text: str, nodes: _Nodes, places: list[int | None]) -> list[int]:
    order = [-1] * len(places)
    for at, place in enumerate(places):
        if place is None or not 0 <= place < len(places) or order[place] >= 0:
            _refuse(
                path,
                text,
                nodes.offset[at],
                f"the places at=... are the numbers 0 to {len(places) - 1}, one for each node, but "
                f"{short(nodes.key[at])} has {'none' if place is None else 'another or a used one'}"
                f"; correct it, or drop all of them to have the nodes breadth first",
            )
        order[place] = at
    return order


def _place(text: str, offset: int) -> str:
    start = text.rfind("\n", 0, offset) + 1
    return f"line {text.count(chr(10), 0, offset) + 1}, character {offset - start + 1}"


def _refuse(path: Path, text: str, offset: int, why: str) -> NoReturn:
    raise UserError(f"{path}, {_place(text, offset)}: {why}")
