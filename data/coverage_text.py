"""The mixture report: a coverage as a few lines, as a long text, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from data.coverage import Coverage, Flags
from data.sources import Counts
from wordtree.wording import named, plural

COLUMNS = (
    "node",
    "key",
    "name",
    "parent",
    "depth",
    "labelled",
    "boxes",
    "boxes_below",
    "boxed_photos",
    "labelled_photos",
    "draws",
    "draws_below",
    "inputs_a_draw",
    "positive",
    "group_learns",
)
_SOURCES = 7  # lines of sources at the head of a training log; all of them stand in the long text
_NAMED = 6  # nodes that a line of the short report names


def short_report(coverage: Coverage, *, sources: int = _SOURCES, most: int = _NAMED) -> str:
    """A line a source, the totals, and what can never learn: 14 lines at most by default.

    sources: source lines before "and 3 more"; most: nodes named in one line.
    """
    lines = source_lines(coverage)
    if len(lines) > sources:
        hidden = len(lines) - sources + 1
        lines = [*lines[: sources - 1], f"and {plural(hidden, 'more source')}"]
    return "\n".join([*lines, *_totals(coverage), *warnings(coverage, most=most)])


def long_report(coverage: Coverage) -> str:
    """The short report with nothing left out, and a table of all classes, the rarest first."""
    head = short_report(coverage, sources=10**6, most=10**6)
    return f"{head}\n\n{_class_table(coverage)}\n"


def source_lines(coverage: Coverage) -> list[str]:
    """A line a source: kind, photos, what they hold, share of what is drawn, an epoch's inputs."""
    lines = []
    for source, counts in zip(coverage.sources, coverage.counts, strict=True):
        drawn = counts is not None and counts.drawn
        size = "photos drawn anew" if drawn else plural(source.size, "photo")
        epoch = "never drawn"
        if source.per_input:
            epoch = f"{source.share:.1%} of the photos drawn, {source.per_input:.2f} an input"
            if not drawn:
                epoch += f", an epoch is {source.size / source.per_input:,.0f} inputs"
        parts = [source.kind, size, *_held(counts, source.kind, source.size), epoch]
        lines.append(f"{source.name}: {', '.join(parts)}")
    return lines


def warnings(coverage: Coverage, *, most: int = _NAMED) -> list[str]:
    """What a person should know before step 1: a line for each thing that is wrong, none if
    nothing is."""
    tree, lines = coverage.tree, []
    unsaid = [
        source.name
        for source, counts in zip(coverage.sources, coverage.counts, strict=True)
        if counts is None and source.kind != "background"
    ]
    if unsaid:
        lines.append(
            f"uncounted: {', '.join(unsaid)} do not say what they hold; all their nodes are taken "
            "as trained"
        )
    idle = [source.name for source in coverage.sources if not source.per_input]
    if idle:
        lines.append(f"warning: never drawn: {', '.join(idle)} (no weight, and no grid names them)")
    if coverage.unseen.any():
        lines.append(
            f"warning: {plural(int(coverage.unseen.sum()), 'class', 'classes')} with neither boxes "
            f"nor labels in training: {_names(coverage, coverage.unseen, most)}"
        )
    if coverage.silent.any():
        count = int(coverage.silent.sum())
        members = int(tree.group_size[coverage.silent].sum())
        verb = (
            "never get a gradient"
            if coverage.classifier == "siblings"
            else "are never taught to tell their members apart"
        )
        if count == 1:
            verb = verb.replace("get", "gets", 1).replace("are", "is", 1).replace("their", "its", 1)
        lines.append(
            f"warning: {plural(count, 'group')} of {len(tree.group_size):,} {verb}, "
            f"{plural(members, 'node')}: the children of {_parents(coverage, most)}"
        )
    # What stands below such a node is in silent groups, or alone.
    beside = ~coverage.positive & ~coverage.silent[tree.group] & (tree.group_size > 1)[tree.group]
    if beside.any():
        lines.append(
            f"warning: {plural(int(beside.sum()), 'node')} only ever learn to be wrong, no label "
            f"lies in their subtree: {_names(coverage, beside, most)}"
        )
    return lines


def csv_text(coverage: Coverage) -> str:
    """A row a node, in the tree's order, with a header line.

    `boxes`, `boxed_photos`, `labelled_photos`: of the node itself in files, `boxes_below` with its
    descendants'; empty where a source draws them or does not say. `draws`: boxes and labels of the
    node itself an input, `draws_below` with its descendants', `inputs_a_draw` between two of the
    latter; `draws.SOURCE`: the node's own of each source. `positive`, `group_learns`: see Coverage.
    """
    tree, draws = coverage.tree, coverage.draws.sum(0)
    below, countable = coverage.below(draws), coverage.countable
    boxes, boxed, labelled = (counts.astype(int) for counts in _file_counts(coverage))
    boxes_below, countable_below = coverage.below(boxes), coverage.below((~countable) * 1) == 0
    depth, learns = tree.depth.tolist(), (~coverage.silent[tree.group]).tolist()
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"draws.{source.name}" for source in coverage.sources)])
    for node, key in enumerate(tree.keys):
        counts = (boxes[node], boxed[node], labelled[node]) if countable[node] else ("", "", "")
        up = int(tree.parent[node])
        writer.writerow(
            [
                node,
                key,
                tree.names[node],
                tree.keys[up] if up >= 0 else "",
                depth[node],
                int(tree.labelled[node]),
                counts[0],
                boxes_below[node] if countable_below[node] else "",
                *counts[1:],
                f"{draws[node]:.6g}",
                f"{below[node]:.6g}",
                f"{1 / below[node]:.6g}" if below[node] else "",
                int(coverage.positive[node]),
                int(learns[node]),
                *(f"{drawn:.6g}" for drawn in coverage.draws[:, node]),
            ]
        )
    return file.getvalue()


def _held(counts: Counts | None, kind: str, size: int) -> list[str]:
    """What the photos of a source hold, for its line."""
    if kind == "background" or counts is None:
        return []
    classes = plural(len(counts.nodes), "class", "classes")
    if kind == "label_only":
        return [f"labels of {classes}"]
    boxes = counts.boxes.sum()
    if counts.drawn:
        return [f"about {boxes / max(size, 1):.1f} boxes each of {classes}"]
    said = [f"{plural(int(boxes), 'box', 'boxes')} of {classes}"]
    if counts.unknown:
        said.append(f"{plural(counts.unknown, 'box', 'boxes')} of unknown class")
    if counts.ignored:
        said.append(plural(counts.ignored, "ignore region"))
    if counts.empty:
        said.append(f"{plural(counts.empty, 'photo')} without a box")
    return said


def _totals(coverage: Coverage) -> list[str]:
    tree, boxed, labels = coverage.tree, coverage.with_boxes, coverage.with_labels
    classes = tree.labelled | coverage.trained
    lines = [
        f"{plural(int(classes.sum()), 'class', 'classes')}: {int((boxed & ~labels).sum()):,} with "
        f"boxes alone, {int((labels & ~boxed).sum()):,} with photo-level labels alone, "
        f"{int((boxed & labels).sum()):,} with both, {int(coverage.unseen.sum()):,} with neither"
    ]
    per_input: dict[str, float] = {"boxed": 0.0, "label_only": 0.0}
    for source, draws in zip(coverage.sources, coverage.draws, strict=True):
        if source.kind in per_input:
            per_input[source.kind] += float(draws.sum())
    total = coverage.draws.sum(0)
    shown = np.flatnonzero(total > 0)
    if len(shown):
        rare, often = shown[total[shown].argmin()], shown[total[shown].argmax()]
        comes = f"{tree.names[often]} comes {_how_often(total[often])}"
        if total[often] > total[rare]:
            comes += f", {tree.names[rare]} {_how_often(total[rare])}"
        elif len(shown) > 1:
            comes = f"every class comes {_how_often(total[often])}"
        lines.append(
            f"an input holds {per_input['boxed']:.2f} boxes and {per_input['label_only']:.2f} "
            f"labels; {comes}"
        )
    return lines


def _how_often(draws: float) -> str:
    if not draws:
        return "never"
    return f"{draws:.1f} times an input" if draws >= 1 else f"every {1 / draws:,.0f} inputs"


def _names(coverage: Coverage, chosen: Flags, most: int) -> str:
    tree = coverage.tree
    return _listed([named(tree.keys[n], tree.names[n]) for n in np.flatnonzero(chosen)], most)


def _parents(coverage: Coverage, most: int) -> str:
    tree = coverage.tree
    above = tree.group_parent[coverage.silent].tolist()
    return _listed(
        [named(tree.keys[n], tree.names[n]) if n >= 0 else "the root" for n in above], most
    )


def _listed(names: Sequence[str], most: int) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def _file_counts(coverage: Coverage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, photos with boxes and photos with labels of each node itself, over all sources."""
    is_label = coverage.of_kind("label_only")
    return (
        coverage.boxes.sum(0),
        coverage.photos[~is_label].sum(0),
        coverage.photos[is_label].sum(0),
    )


def _class_table(coverage: Coverage) -> str:
    tree = coverage.tree
    countable = coverage.countable
    boxes, boxed, labelled = _file_counts(coverage)
    draws = coverage.draws.sum(0)
    classes = np.flatnonzero(tree.labelled | coverage.trained)
    rows: list[tuple[str, ...]] = [
        ("class", "boxes", "photos with boxes", "photos with labels", "draws an input", "")
    ]
    for node in classes[np.argsort(draws[classes], kind="stable")].tolist():
        numbers = (boxes[node], boxed[node], labelled[node])
        rows.append(
            (
                named(tree.keys[node], tree.names[node]),
                *(f"{n:,.0f}" if countable[node] else "drawn" for n in numbers),
                f"{draws[node]:.4f}",
                _how_often(draws[node]),
            )
        )
    return _aligned(rows)


def _aligned(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
