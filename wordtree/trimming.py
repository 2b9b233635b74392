"""What happens to a tree after the walk: nodes that nothing needs go, the rest is put in order.

A tree under construction is a dict from each node to its parent (the root's is -1).
"""

from __future__ import annotations

from collections import Counter

from wordtree.graph import LabelGraph

Parent = dict[int, int]


def below(parent: Parent, top: int) -> Parent:
    """The part of the tree at and below `top`, which becomes its root."""
    inside = {top: True, -1: False}
    for start in parent:
        above = []
        node = start
        while node not in inside:
            above.append(node)
            node = parent[node]
        inside.update(dict.fromkeys(above, inside[node]))
    return {node: -1 if node == top else up for node, up in parent.items() if inside[node]} or {
        top: -1
    }


def attach(graph: LabelGraph, parent: Parent, lost: list[int], top: int) -> None:
    """Hangs labels without a path below the root, or below the nearest such label above them."""
    alone = set(lost)
    for label in lost:
        level = {label}
        seen = {label}
        parent[label] = top
        while level and parent[label] == top:
            level = {above for node in level for above in graph.parents[node]} - seen
            seen |= level
            near = sorted(level & alone, key=graph.sort_names.__getitem__)
            if near:
                parent[label] = near[0]


def drop_unlabelled(parent: Parent, wanted: set[int], top: int, *, collapse: bool) -> list[int]:
    """Drops unlabelled leaves, again and again, then unlabelled nodes with one child.

    Returns the latter. What an edit left behind ends in unlabelled leaves.
    """
    count = Counter(parent.values())
    bare = [node for node in parent if not count[node] and node not in wanted and node != top]
    while bare:
        node = bare.pop()
        above = parent.pop(node)
        count[above] -= 1
        if not count[above] and above not in wanted and above != top:
            bare.append(above)
    if not collapse:
        return []
    dropped = {node for node in parent if node not in wanted and node != top and count[node] == 1}
    for node in parent:
        if node not in dropped and node != top:
            above = parent[node]
            while above in dropped:
                above = parent[above]
            parent[node] = above
    for node in dropped:
        del parent[node]
    return sorted(dropped)


def promote(parent: Parent, wanted: set[int], top: int) -> list[tuple[int, int]]:
    """Moves each leaf that is the only child of a labelled node beside that node."""
    count = Counter(parent.values())
    alone = [
        (leaf, above)
        for leaf, above in parent.items()
        if leaf != top and not count[leaf] and count[above] == 1 and above in wanted
    ]
    for leaf, above in alone:
        parent[leaf] = parent[above]
    return alone


def breadth_first(graph: LabelGraph, parent: Parent, top: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for node in sorted(parent, key=graph.keys.__getitem__):
        children.setdefault(parent[node], []).append(node)
    order = list(children.get(top, []))
    for node in order:
        order += children.get(node, [])
    return order
