"""A tree as Graphviz text, for pictures: `dot -Tsvg wordtree.dot > wordtree.svg`. Never read."""

from __future__ import annotations

import re
from pathlib import Path

from wordtree.errors import UserError
from wordtree.formats.text import write_text
from wordtree.tree import WordTree
from wordtree.wording import short

_LINE_BREAK = re.compile("\r\n|\r|\n")


def write_dot(tree: WordTree, path: Path) -> None:
    """Writes a digraph from left to right: keys as nodes, names as labels, unlabelled ones dashed.

    Raises UserError for a name with a NUL, at which Graphviz would end the file.
    """
    for key, name in zip(tree.keys, tree.names, strict=True):
        if "\0" in name:
            raise UserError(
                f"{path}: the name {short(name)} of {short(key)} has a NUL, which a DOT file "
                f"cannot hold; write .json"
            )
    ids = [_quoted(key) for key in tree.keys]
    lines = ["digraph wordtree {", "  rankdir=LR;", "  node [shape=box];"]
    for node, name, flag in zip(ids, tree.names, tree.labelled.tolist(), strict=True):
        style = "" if flag else ", style=dashed"
        lines.append(f"  {node} [label={_label(name)}{style}];")
    for node, above in zip(ids, tree.parent.tolist(), strict=True):
        if above >= 0:
            lines.append(f"  {ids[above]} -> {node};")
    write_text(path, "\n".join([*lines, "}", ""]))


def _quoted(text: str) -> str:
    # Graphviz keeps a doubled backslash doubled, but a single one would escape the closing quote.
    doubled = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{doubled}"'


def _label(text: str) -> str:
    # In a label Graphviz reads HTML's entities, and `\n` as a line break.
    quoted = _quoted(text.replace("&", "&amp;"))
    return _LINE_BREAK.sub(r"\\n", quoted)
