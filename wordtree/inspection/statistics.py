"""A tree in figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from wordtree.tree import WordTree
from wordtree.wording import named

_WIDTH = 40


@dataclass(frozen=True)
class Statistics:
    """nodes; leaves; groups of siblings, the top nodes one of them; singletons: groups of one;
    top: top nodes; depth: the greatest, 0 at the top; labelled: nodes a label points to; hash.
    """

    nodes: int
    leaves: int
    groups: int
    singletons: int
    top: int
    depth: int
    labelled: int
    hash: str

    def to_dict(self) -> dict[str, int | str]:
        """The figures by name, for JSON."""
        return asdict(self)


def statistics(tree: WordTree) -> Statistics:
    """The figures of a tree."""
    return Statistics(
        nodes=len(tree),
        leaves=int(tree.is_leaf.sum()),
        groups=len(tree.group_size),
        singletons=int((tree.group_size == 1).sum()),
        top=int(tree.group_size[0]) if len(tree) else 0,
        depth=int(tree.depth.max()) if len(tree) else 0,
        labelled=int(tree.labelled.sum()),
        hash=tree.hash,
    )


def statistics_table(tree: WordTree) -> str:
    """The figures, the largest groups and how sizes and depths are spread, as plain text."""
    found = statistics(tree)
    notes = {
        "leaves": f"and {found.nodes - found.leaves:,} inner nodes",
        "singletons": "groups of one, in which nothing can be learnt",
    }
    if len(tree):
        sizes, depths = tree.group_size, tree.depth
        leaves = depths[tree.is_leaf]
        tops = ", ".join(tree.names[: min(found.top, 5)]) + (", ..." if found.top > 5 else "")
        repeated = len(tree) - len(set(tree.names))
        notes |= {
            "nodes": f"{repeated:,} with a name that an earlier one has" if repeated else "",
            "groups": f"of {sizes.mean():.2f} nodes on average, median {np.median(sizes):g}",
            "top": tops[:100],
            "depth": f"0 at the top; nodes {depths.mean():.2f} on average, leaves "
            f"{leaves.mean():.2f}",
        }
    lines = [
        f"{name:<10}  {value if isinstance(value, str) else f'{value:>9,}'}"
        + (f"  {notes[name]}" if notes.get(name) else "")
        for name, value in found.to_dict().items()
    ]
    if len(tree):
        lines += ["", *_largest(tree), "", *_sizes(tree), "", *_depths(tree)]
    return "\n".join(lines) + "\n"


def _largest(tree: WordTree, shown: int = 5) -> list[str]:
    best = np.argsort(-tree.group_size, kind="stable")[:shown].tolist()
    lines = ["largest groups"]
    for group in best:
        above = int(tree.group_parent[group])
        of = (
            f"children of {named(tree.keys[above], tree.names[above])}"
            if above >= 0
            else "top nodes"
        )
        lines.append(f"{int(tree.group_size[group]):>10,}  {of}")
    return lines


def _sizes(tree: WordTree) -> list[str]:
    edges = [1, 2, 3, 4, 5, 10, 20, 50, 100, 1_000, 10_000, 100_000]
    counts = [
        (low, high, int(((tree.group_size >= low) & (tree.group_size < high)).sum()))
        for low, high in zip(edges, [*edges[1:], 1 << 62], strict=True)
    ]
    counts = [entry for entry in counts if entry[2]]
    most = max(count for _, _, count in counts)
    return [
        "group size  groups",
        *(
            f"{_between(low, high):>10}  {count:>6,}  {_bar(count, most)}"
            for low, high, count in counts
        ),
    ]


def _between(low: int, high: int) -> str:
    if high - low == 1:
        return str(low)
    return f"{low:,}-{high - 1:,}" if high < 1 << 62 else f"{low:,} and more"


def _depths(tree: WordTree, most_lines: int = 40) -> list[str]:
    nodes = np.bincount(tree.depth)
    leaves = np.bincount(tree.depth[tree.is_leaf], minlength=len(nodes))
    most = int(nodes.max())
    lines = [
        f"{depth:>10}  {nodes[depth]:>9,}  {leaves[depth]:>9,}  {_bar(nodes[depth], most)}"
        for depth in range(min(len(nodes), most_lines))
    ]
    if len(nodes) > most_lines:
        lines.append(f"       ...  and {len(nodes) - most_lines:,} greater depths")
    return [f"{'depth':>10}  {'nodes':>9}  {'leaves':>9}", *lines]


def _bar(count: int, most: int) -> str:
    return "#" * max(round(_WIDTH * int(count) / most), 1 if count else 0)
