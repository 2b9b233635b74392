"""What a build did that the tree does not show."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from wordtree.graph import LabelGraph
from wordtree.hand_edits import COLUMNS
from wordtree.tree import WordTree
from wordtree.wording import named

_SHOWN = 12
_LONGEST = 100


@dataclass(frozen=True)
class Choice:
    """A place where paths part: `at` has several parents, `chosen` was taken for `labels`."""

    at: str
    chosen: str
    against: tuple[str, ...]
    labels: tuple[str, ...]


class Parting(NamedTuple):
    """On the path of one label: node `at` has several parents, all as indices of the graph."""

    at: int
    chosen: int
    against: tuple[int, ...]
    label: int


@dataclass(frozen=True)
class BuildReport:
    """All by key. `names` has the name of every key that is mentioned.

    options: all options of the build. labels, nodes: how many. tree_hash: the tree's.
    repeated: labels given more than once by one data set.
    resolved: (label as it was given, key) where that was a name, not a key.
    unreachable: labels without a path to the root; stranded_below: the first parent of each in
        the graph. choices: where paths parted.
    removed: unlabelled nodes dropped because they had one child.
    promoted: (leaf, the labelled node whose only child it was).
    singletons: parents of groups of one ("" for the top); such a softmax is the constant 1.
    ancestors: (data set, label, label of the same data set that stands above it).
    """

    options: dict[str, Any]
    root: str
    labels: int
    nodes: int
    tree_hash: str
    repeated: tuple[str, ...] = ()
    resolved: tuple[tuple[str, str], ...] = ()
    unreachable: tuple[str, ...] = ()
    stranded_below: dict[str, str] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    removed: tuple[str, ...] = ()
    promoted: tuple[tuple[str, str], ...] = ()
    singletons: tuple[str, ...] = ()
    ancestors: tuple[tuple[str, str, str], ...] = ()
    names: dict[str, str] = field(default_factory=dict)

    @property
    def several(self) -> tuple[str, ...]:
        """Labels that had several paths."""
        return tuple(sorted({label for choice in self.choices for label in choice.labels}))

    def to_json(self) -> str:
        """All of it as JSON, the same bytes for the same build."""
        return json.dumps({**asdict(self), "several": self.several}, indent=1, sort_keys=True)

    def edits_template(self) -> str:
        """An edits file (CSV) with a row for each unreachable label; fill in the new parents."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(
            (label, self.stranded_below.get(label, ""), "", self.names[label])
            for label in self.unreachable
        )
        return text.getvalue()

    def table(self, shown: int = _SHOWN) -> str:
        """The report as plain text for people; at most `shown` lines of each kind."""
        given = ", ".join(
            f"{name} {value}" for name, value in self.options.items() if value not in (None, "")
        )
        lines = [
            f"{self.nodes:,} nodes from {self.labels:,} labels below "
            f"{self._named(self.root) if self.root else 'the top'}",
            f"  options: {given}",
            f"  hash: {self.tree_hash}",
        ]
        lost = map(self._named, self.unreachable)
        self._part(lines, "labels without a path, attached to the root", lost, shown)
        self._part(lines, "labels given more than once", map(self._named, self.repeated), shown)
        self._part(
            lines,
            "labels given by name",
            [f"{given!r} is {self._named(key)}" for given, key in self.resolved],
            shown,
        )
        self._part(
            lines,
            f"places where {len(self.several):,} labels had several paths",
            [
                f"{self._named(choice.at)}: {self._named(choice.chosen)}, not "
                f"{' or '.join(map(self._named, choice.against))}"
                f" ({len(choice.labels)} label{'s' * (len(choice.labels) > 1)})"
                for choice in self.choices
            ],
            shown,
        )
        above = Counter((source, upper) for source, _, upper in self.ancestors)
        self._part(
            lines,
            "labels that stand above other labels of their data set (labelled inner nodes)",
            [
                f"{self._named(upper)} above {times}" + (f" in {source}" if source else "")
                for (source, upper), times in above.most_common()
            ],
            shown,
        )
        removed = map(self._named, self.removed)
        self._part(lines, "unlabelled nodes with one child, dropped", removed, shown)
        self._part(
            lines,
            "leaves that moved beside the labelled node whose only child they were",
            [f"{self._named(leaf)} beside {self._named(above)}" for leaf, above in self.promoted],
            shown,
        )
        self._part(
            lines,
            "groups of one, in which nothing can be learnt (below)",
            [self._named(key) if key else "the top" for key in self.singletons],
            shown,
        )
        return "\n".join(lines) + "\n"

    def _named(self, key: str) -> str:
        # A name with a line break would look like two entries of the table.
        name = " ".join(self.names.get(key, key).split())
        return named(key, name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}...")

    @staticmethod
    def _part(lines: list[str], title: str, entries: Iterable[str], shown: int) -> None:
        found: Sequence[str] = list(entries)
        if not found:
            return
        lines.append(f"{len(found):,} {title}:")
        lines += [f"  {entry}" for entry in found[:shown]]
        if len(found) > shown:
            lines.append(f"  ... and {len(found) - shown:,} more (--report FILE has all)")

    def __str__(self) -> str:
        return self.table()


def make_report(
    graph: LabelGraph,
    tree: WordTree,
    *,
    root: int,
    options: Mapping[str, Any],
    data_sets: Mapping[str, Sequence[int]],
    found: Mapping[str, int],
    lost: Sequence[int],
    parted: Iterable[Parting],
    removed: Iterable[int],
    promoted: Iterable[tuple[int, int]],
) -> BuildReport:
    """The report of a build, from indices of the graph; `found`: that of each label as given."""
    keys = graph.keys
    choices: dict[tuple[int, int, tuple[int, ...]], list[str]] = {}
    for at, chosen, against, label in parted:
        choices.setdefault((at, chosen, against), []).append(keys[label])
    pairs = [(keys[leaf], keys[above]) for leaf, above in promoted]
    mentioned = {root, *lost, *removed}
    for at, chosen, against in choices:
        mentioned |= {at, chosen, *against}
    names = {keys[node]: graph.names[node] for node in mentioned}
    repeated = {
        keys[label]
        for labels in data_sets.values()
        for label, times in Counter(labels).items()
        if times > 1
    }
    shown = {
        name: value if value is None or isinstance(value, str) else str(value)
        for name, value in options.items()
    }
    singletons = tree.group_parent[tree.group_size == 1].tolist()
    return BuildReport(
        options=shown | {"root": graph.sort_names[root]},
        root=keys[root],
        labels=len({label for labels in data_sets.values() for label in labels}),
        nodes=len(tree),
        tree_hash=tree.hash,
        repeated=tuple(sorted(repeated)),
        resolved=tuple(
            sorted((given, keys[label]) for given, label in found.items() if given != keys[label])
        ),
        unreachable=tuple(sorted(keys[node] for node in lost)),
        stranded_below={
            keys[node]: keys[graph.parents[node][0]] for node in lost if graph.parents[node]
        },
        choices=tuple(
            sorted(
                (
                    Choice(
                        keys[at],
                        keys[chosen],
                        tuple(keys[other] for other in against),
                        tuple(sorted(labels)),
                    )
                    for (at, chosen, against), labels in choices.items()
                ),
                key=lambda choice: choice.at,
            )
        ),
        removed=tuple(sorted(keys[node] for node in removed)),
        promoted=tuple(sorted(pairs)),
        singletons=tuple(tree.keys[node] if node >= 0 else "" for node in singletons),
        ancestors=_labels_above(
            tree,
            {
                name: {tree.index(keys[label]) for label in labels}
                for name, labels in sorted(data_sets.items())
            },
        ),
        names=names | dict(zip(tree.keys, tree.names, strict=True)),
    )


def _labels_above(
    tree: WordTree, data_sets: Mapping[str, set[int]]
) -> tuple[tuple[str, str, str], ...]:
    """(data set, label, the nearest label of the same data set above it), by node."""
    found = []
    parent = tree.parent.tolist()
    for name, own in data_sets.items():
        nearest = [-1] * len(tree)
        for node, above in enumerate(parent):
            if above >= 0:
                nearest[node] = above if above in own else nearest[above]
            if node in own and nearest[node] >= 0:
                found.append((name, tree.keys[node], tree.keys[nearest[node]]))
    return tuple(found)
