"""A node's path, told node by node."""

from __future__ import annotations

import re
from typing import Any

from wordtree.errors import UserError
from wordtree.tree import WordTree
from wordtree.wording import named, plural

_WNID = re.compile(r"n\d{8}")


def path_entry(tree: WordTree, index: int) -> dict[str, Any]:
    """A node and the nodes above it, top first, for JSON: keys, names, depths, groups, glosses."""
    path = [
        {
            "key": tree.keys[at],
            "name": tree.names[at],
            "depth": int(tree.depth[at]),
            "group_size": int(tree.group_size[tree.group[at]]),
            "labelled": bool(tree.labelled[at]),
            "gloss": gloss(tree.keys[at]),
        }
        for at in tree.path(index).tolist()
    ]
    children = [tree.keys[at] for at in tree.children(index).tolist()]
    return {
        "key": tree.keys[index],
        "name": tree.names[index],
        "index": index,
        "children": children,
        "path": path,
    }


def gloss(key: str) -> str | None:
    """The definition of a WordNet key; None for any other."""
    if not _WNID.fullmatch(key):
        return None
    from wordtree.wordnet import NounGraph

    graph = NounGraph.embedded()
    try:
        return graph.definition(graph.find(key))
    except UserError:
        return None


def path_text(entry: dict[str, Any]) -> str:
    """The same as plain text for people, one line a node; long glosses are cut."""
    below = plural(len(entry["children"]), "child", "children") if entry["children"] else "leaf"
    head = f"{named(entry['key'], entry['name'])}: node {entry['index']:,}, {below}"
    rows = [("depth", "name", "key", "group of", "labelled", "gloss")]
    rows += [
        (
            str(node["depth"]),
            node["name"],
            node["key"],
            f"{node['group_size']:,}",
            "yes" if node["labelled"] else "no",
            _first(node["gloss"] or ""),
        )
        for node in entry["path"]
    ]
    # Where keys are names, or nothing has a gloss, a column would say nothing.
    columns = [0, 1, 2, 3, 4, 5]
    if all(row[1] == row[2] for row in rows[1:]):
        columns.remove(2)
    if not any(row[5] for row in rows[1:]):
        columns.remove(5)
    widths = [max(map(len, texts)) for texts in zip(*rows, strict=True)]
    placed = [str.rjust, str.ljust, str.ljust, str.rjust, str.ljust, str.ljust]
    lines = ["  ".join(placed[c](row[c], widths[c]) for c in columns).rstrip() for row in rows]
    return "\n".join([head, *(f"  {line}" for line in lines)])


def _first(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
