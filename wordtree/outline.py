"""A tree in a notebook's cell: nested lists that open, of as many nodes as a page can bear."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wordtree.tree import WordTree

_STYLE = "margin:0 0 0 1.2em;padding:0;list-style:none;unicode-bidi:isolate"
_LONGEST = 120


def html_outline(tree: WordTree, *, most_nodes: int = 400, most_children: int = 25) -> str:
    """HTML of the tree's upper part: a list that opens, breadth first up to `most_nodes` nodes.

    A node shows at most `most_children` children and says how many it leaves out; the page that
    `tree.save("X.html")` writes shows all. Names and keys stand there as text.
    """
    shown = _upper_part(tree, most_nodes, most_children)
    summary = (
        f"WordTree of {len(tree):,} nodes, {int(tree.is_leaf.sum()):,} leaves, "
        f"{len(tree.group_size):,} groups"
    )
    parts = [f"<div><b>{summary}</b><ul style='{_STYLE}'>"]
    # A pair of a node to open, or of a text that closes one: the walk down without recursion.
    tops = range(int(tree.group_size[0])) if len(tree) else range(0)
    todo: list[int | str] = list(reversed(_listed(list(tops), shown)))
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        label = _label(tree, item)
        children = tree.children(item).tolist()
        if not any(child in shown for child in children):
            hidden = f" <i>({len(children):,} below)</i>" if children else ""
            parts.append(f"<li>{label}{hidden}</li>")
            continue
        opened = " open" if tree.depth[item] == 0 and len(shown) < 60 else ""
        parts.append(f"<li><details{opened}><summary>{label}</summary><ul style='{_STYLE}'>")
        todo.append("</ul></details></li>")
        todo += reversed(_listed(children, shown))
    return "".join([*parts, "</ul></div>"])


def _upper_part(tree: WordTree, most_nodes: int, most_children: int) -> set[int]:
    shown = list(range(min(int(tree.group_size[0]), most_children))) if len(tree) else []
    for node in shown:
        if len(shown) >= most_nodes:
            break
        shown += tree.children(node)[:most_children].tolist()
    return set(shown[:most_nodes])


def _listed(nodes: list[int], shown: set[int]) -> list[int | str]:
    items: list[int | str] = [node for node in nodes if node in shown]
    if len(items) < len(nodes):
        items.append(f"<li><i>and {len(nodes) - len(items):,} more</i></li>")
    return items


def _label(tree: WordTree, node: int) -> str:
    name, key = tree.names[node], tree.keys[node]
    text = escape(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}...")
    weight = f"<b>{text}</b>" if tree.labelled[node] else text
    return weight if name == key else f"{weight} <code>{escape(key[:_LONGEST])}</code>"
