"""What two trees differ in, node by node, found by their keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from wordtree.tree import WordTree
from wordtree.wording import named, plural

SHOWN = 10


@dataclass(frozen=True)
class Difference:
    """What leads from one tree to another, all by key and in the order of the trees.

    added, removed: nodes of the second, or the first, alone.
    moved: (key, old parent, new parent), None for the top. renamed: (key, old name, new name).
    relabelled: nodes that are labelled in one of them only.
    reordered: parents (None: the top) whose children in both stand in another order.
    renumbered: how many nodes of both have another index, so that darknet maps and weights of one
    do not fit the other.
    names: the name of every key that is mentioned, the new one where it has two.
    """

    added: list[str]
    removed: list[str]
    moved: list[tuple[str, str | None, str | None]]
    renamed: list[tuple[str, str, str]]
    relabelled: list[str]
    reordered: list[str | None]
    renumbered: int
    names: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether the trees differ at all: False exactly if they are equal."""
        return any(value for name, value in asdict(self).items() if name != "names")

    def to_dict(self) -> dict[str, Any]:
        """All of it as lists and objects for JSON."""
        return {
            "added": self.added,
            "removed": self.removed,
            "moved": [{"key": key, "old": old, "new": new} for key, old, new in self.moved],
            "renamed": [{"key": key, "old": old, "new": new} for key, old, new in self.renamed],
            "relabelled": self.relabelled,
            "reordered": self.reordered,
            "renumbered": self.renumbered,
        }

    def table(self, shown: int = SHOWN) -> str:
        """Plain text for people; at most `shown` entries of each kind."""
        if not self:
            return "no difference\n"
        call = self._called
        lines: list[str] = []
        _part(lines, "added", map(call, self.added), len(self.added), shown)
        _part(lines, "removed", map(call, self.removed), len(self.removed), shown)
        moved = (f"{call(key)}: from {call(old)} to {call(new)}" for key, old, new in self.moved)
        _part(lines, "moved", moved, len(self.moved), shown)
        renamed = (f"{key}: {old!r} is now {new!r}" for key, old, new in self.renamed)
        _part(lines, "renamed", renamed, len(self.renamed), shown)
        labelled = map(call, self.relabelled)
        _part(lines, "labelled in one alone", labelled, len(self.relabelled), shown)
        if self.reordered:
            parents = ", ".join(call(key) for key in self.reordered[:3])
            dots = ", ..." if len(self.reordered) > 3 else ""
            lines.append(f"siblings in another order below {parents}{dots}")
            if len(self.reordered) > 3:
                lines[-1] += f" ({len(self.reordered):,} parents)"
        if self.renumbered:
            lines.append(
                f"{plural(self.renumbered, 'node')} of both with another number: darknet maps and "
                f"weights of one tree do not fit the other"
            )
        return "\n".join(lines) + "\n"

    def _called(self, key: str | None) -> str:
        return "the top" if key is None else named(key, self.names.get(key, key))


def _part(lines: list[str], title: str, entries: Iterable[str], count: int, shown: int) -> None:
    if not count:
        return
    lines.append(f"{count:,} {title}:")
    lines += [f"  {entry}" for entry, _ in zip(entries, range(shown), strict=False)]
    if count > shown:
        lines.append(f"  ... and {count - shown:,} more (--all shows them)")


def difference(first: WordTree, second: WordTree) -> Difference:
    """What leads from the first tree to the second; see Difference."""
    place = {key: at for at, key in enumerate(second.keys)}
    pairs = [(at, place[key]) for at, key in enumerate(first.keys) if key in place]
    old = np.array([one for one, _ in pairs], np.int64)
    new = np.array([other for _, other in pairs], np.int64)
    common = {first.keys[at] for at in old.tolist()}
    up_old, up_new = first.parent.tolist(), second.parent.tolist()

    def above(tree: WordTree, parent: int) -> str | None:
        return tree.keys[parent] if parent >= 0 else None

    moved, renamed, same_parent = [], [], []
    for one, other in pairs:
        key = first.keys[one]
        before, after = above(first, up_old[one]), above(second, up_new[other])
        if before != after:
            moved.append((key, before, after))
        else:
            same_parent.append((one, other))
        if first.names[one] != second.names[other]:
            renamed.append((key, first.names[one], second.names[other]))
    flags = first.labelled[old] != second.labelled[new]
    added = [key for key in second.keys if key not in common]
    removed = [key for key in first.keys if key not in common]
    # Siblings stand side by side, so a group is in another order where its indices fall somewhere.
    latest: dict[int, int] = {}
    reordered: dict[int, None] = {}
    for one, other in same_parent:
        if latest.get(up_old[one], -1) > other:
            reordered[up_old[one]] = None
        latest[up_old[one]] = other
    mentioned = {
        *added,
        *removed,
        *(key for entry in moved for key in entry if key is not None),
        *(first.keys[at] for at in reordered if at >= 0),
        *(first.keys[at] for at in old[flags].tolist()),
    }
    names = {
        key: name
        for tree in (first, second)
        for key, name in zip(tree.keys, tree.names, strict=True)
        if key in mentioned
    }
    return Difference(
        added=added,
        removed=removed,
        moved=moved,
        renamed=renamed,
        relabelled=[first.keys[at] for at in old[flags].tolist()],
        reordered=[above(first, at) for at in reordered],
        renumbered=int((old != new).sum()),
        names=names,
    )
