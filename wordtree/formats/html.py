"""A tree as one HTML page that opens offline: outline, search, details, and a picture to zoom.

The page's own files stand in `page/`; styles and scripts are joined in the order below. All data
are JSON columns in a block that no browser runs, and scripts put them on the screen as text alone.
The page's policy allows exactly its own style and script, by their hashes, and no address at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import operator
import re
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any, SupportsIndex

from wordtree.errors import UserError
from wordtree.formats.text import write_text
from wordtree.tree import WordTree
from wordtree.wordnet import NounGraph

PAGE = Path(__file__).with_name("page")
STYLES = ("page.css", "outline.css", "details.css")
SCRIPTS = ("model.js", "outline.js", "search.js", "details.js", "icicle.js", "page.js")
_WNID = re.compile(r"n\d{8}")
# Nothing that ends a script block or starts a comment in HTML, and no line end of old JavaScript.
_ESCAPES = {mark: f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}


def write_html(
    tree: WordTree,
    path: str | Path,
    *,
    title: str | None = None,
    glosses: Mapping[str, str] | None = None,
    data_sets: Mapping[str, Iterable[SupportsIndex]] | None = None,
    images: Mapping[str, SupportsIndex] | None = None,
) -> None:
    """Writes a tree as one HTML page, whole or not at all; the same tree gives the same bytes.

    title: shown above the outline. glosses: a text a key; where None, keys that are wnids take
    WordNet's definition. data_sets: for each data set the node of every category, -1 where it has
    none (what `LabelMap.nodes` gives). images: how many training images a key has. Keys that the
    tree lacks are left out, so one mapping serves a tree and its subtrees.
    Raises UserError for a node that the tree lacks, a count that is no whole number >= 0, or a
    file that cannot be written.
    """
    flags = tree.labelled.tolist()
    columns = {
        "keys": tree.keys,
        "names": None if tree.names == tree.keys else tree.names,
        # Siblings stand side by side: a parent a group holds the parent of every node.
        "above": tree.group_parent.tolist(),
        "sizes": tree.group_size.tolist(),
        "labelled": None if tree.labelled.all() else "".join(map("01".__getitem__, flags)),
        "glosses": _glosses(tree, glosses),
        "dataSets": _data_sets(tree, data_sets or {}),
        "images": None if images is None else _images(tree, images),
    }
    style = "\n".join(_part(name) for name in STYLES)
    script = "(() => {\n" + "\n".join(_part(name) for name in SCRIPTS) + "})();\n"
    page = Template(_part("page.html")).substitute(
        title=escape(title or f"Label tree of {len(tree):,} node{'s' * (len(tree) != 1)}"),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=_json(columns),
    )
    write_text(Path(path), page)


def _glosses(tree: WordTree, given: Mapping[str, str] | None) -> list[str] | None:
    if given is None:
        found = _definitions(tree.keys)
    else:
        found = [given.get(key, "") for key in tree.keys]
        for key, gloss in zip(tree.keys, found, strict=True):
            if not isinstance(gloss, str):
                raise UserError(f"the gloss of {key!r} is {gloss!r}; a gloss is a text")
    return found if any(found) else None


def _definitions(keys: Iterable[str]) -> list[str]:
    wanted = [key if _WNID.fullmatch(key) else "" for key in keys]
    if not any(wanted):
        return []
    graph = NounGraph.embedded()
    return [_definition(graph, wnid) if wnid else "" for wnid in wanted]


def _definition(graph: NounGraph, wnid: str) -> str:
    try:
        return graph.definition(graph.find(wnid))
    except UserError:
        return ""  # a key of the user's own that looks like a wnid


def _data_sets(
    tree: WordTree, given: Mapping[str, Iterable[SupportsIndex]]
) -> list[dict[str, Any]]:
    result = []
    for name, nodes in given.items():
        numbers = [operator.index(node) for node in nodes]
        wrong = [node for node in numbers if not -1 <= node < len(tree)]
        if wrong:
            raise UserError(
                f"data set {name!r} has a category at node {wrong[0]}, but the tree has "
                f"{len(tree)} nodes; give the nodes of this tree (LabelMap.nodes)"
            )
        result.append({"name": name, "nodes": [node for node in numbers if node >= 0]})
    return result


def _images(tree: WordTree, given: Mapping[str, SupportsIndex]) -> dict[str, list[int]]:
    nodes, counts = [], []
    for node, key in enumerate(tree.keys):
        if key in given:
            nodes.append(node)
            counts.append(_count(key, given[key]))
    return {"nodes": nodes, "counts": counts}


def _count(key: str, given: SupportsIndex) -> int:
    try:
        count = operator.index(given)
    except TypeError:
        count = -1
    if not 0 <= count < 2**53:  # above, JavaScript's numbers have gaps
        raise UserError(f"the number of images of {key!r} is {given!r}; give a whole number from 0")
    return count


def _part(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(columns: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except UnicodeEncodeError:
        raise UserError("a gloss or a data set's name is no text UTF-8 can write") from None
    for mark, escaped in _ESCAPES.items():
        text = text.replace(mark, escaped)
    return text
