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
    if content.get("format") != VERSION:
        raise UserError(
            f"{path}: format {content.get('format')!r}, but this version reads format {VERSION}"
        )
    nodes = [_checked(path, at, node) for at, node in enumerate(content["nodes"])]
    try:
        return WordTree(
            [key for key, _, _, _ in nodes],
            [parent for _, parent, _, _ in nodes],
            [name for _, _, name, _ in nodes],
            [labelled for _, _, _, labelled in nodes],
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _checked(path: Path, at: int, node: Any) -> tuple[str, int, str, bool]:
    if isinstance(node, dict):
        key, parent = node.get("key"), node.get("parent")
        name, labelled = node.get("name", key), node.get("labelled", True)
        top = parent is None
        index = isinstance(parent, int) and not isinstance(parent, bool) and 0 <= parent < 2**62
        if (
            isinstance(key, str)
            and isinstance(name, str)
            and isinstance(labelled, bool)
            and (top or index)
        ):
            return key, -1 if parent is None else parent, name, labelled
    raise UserError(
        f"{path}, node {at}: {str(node)[:80]!r} is not an object with key and name (texts), parent "
        f"(an index or null) and labelled (true or false)"
    )


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
