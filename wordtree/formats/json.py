"""A tree as JSON: {"format": 1, "nodes": [{"key", "name", "parent", "labelled"}, ...]}."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wordtree.errors import UserError
from wordtree.formats.text import read_text, write_text
from wordtree.tree import WordTree

VERSION = 1


def read_json(path: Path) -> WordTree:
    """Reads a tree; a node's parent is an index or null, its name and flag may be left out."""
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}: not JSON ({error.msg}); the file is cut or not a tree"
        ) from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"{path}: not a tree ({error}); give a file made by this tool") from None
    if not isinstance(content, dict) or not isinstance(content.get("nodes"), list):
        raise UserError(f'{path}: a tree is {{"format": 1, "nodes": [...]}}; this is another file')
    version = content.get("format")
    if version != VERSION:
        raise UserError(
            f"{path}: format {repr(version)[:60]}, but this version reads format {VERSION}"
        )
    nodes = content["nodes"]
    columns = _columns(nodes)
    if columns is None:
        at = next(at for at, node in enumerate(nodes) if _columns([node]) is None)
        raise UserError(
            f"{path}, node {at}: {str(nodes[at])[:80]!r} is not an object with key and name "
            f"(texts), parent (an index or null) and labelled (true or false)"
        )
    try:
        return WordTree(*columns)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _columns(nodes: list[Any]) -> tuple[list[str], list[int], list[str], list[bool]] | None:
    """Keys, parents, names and flags; None where a node, whichever, is wrong.

    A column is checked by the set of its types: a look at each of a million nodes takes seconds.
    """
    if not set(map(type, nodes)) <= {dict}:
        return None
    keys = [node.get("key") for node in nodes]
    above = [node.get("parent") for node in nodes]
    names = [node.get("name", key) for node, key in zip(nodes, keys, strict=True)]
    labelled = [node.get("labelled", True) for node in nodes]
    indices = [index for index in above if index is not None]
    for column, kind in ((keys, str), (names, str), (labelled, bool), (indices, int)):
        if not set(map(type, column)) <= {kind}:
            return None
    if indices and not 0 <= min(indices) <= max(indices) < 2**62:
        return None
    return keys, [-1 if index is None else index for index in above], names, labelled


def write_json(tree: WordTree, path: Path) -> None:
    """Writes a tree, one node a line."""
    columns = zip(tree.keys, tree.names, tree.parent.tolist(), tree.labelled.tolist(), strict=True)
    nodes = ",\n".join(
        json.dumps(
            {
                "key": key,
                "name": name,
                "parent": None if parent < 0 else parent,
                "labelled": labelled,
            },
            ensure_ascii=False,
        )
        for key, name, parent, labelled in columns
    )
    write_text(path, f'{{"format": {VERSION}, "nodes": [\n{nodes}\n]}}\n')
