"""What is wrong with the files beside a `.tree`: `.names`, `.labels` and data sets' `.map`s."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wordtree.inspection.lines import cut_line, damaged_lines, harmless_lines
from wordtree.inspection.nodes import name_problems
from wordtree.inspection.problem import Kind, Problem, listed
from wordtree.inspection.rows import Lines, Rows, whole_number
from wordtree.tree import WordTree
from wordtree.wording import plural, short

Label = Callable[[int], str]
PRUNE = (
    "take the files that belong together; to remove labels, let `wordtree-export --tree X.tree "
    "--prune FILE` do it, which renumbers the parents too"
)


def labels_problems(lines: Lines, rows: Rows, file: str, tree: str) -> list[Problem]:
    """`.labels` must be the keys of the tree, line by line."""
    found = [*damaged_lines(lines, file), *harmless_lines(lines, "labels", file)]
    labels = [text.strip() for text in lines.texts]
    if not labels:
        return [*found, _nothing(file)]
    if len(labels) != len(rows):
        return [*found, _other_count(labels, rows, file, tree)]
    bad = lines.unreadable()
    kind = Kind("error", PRUNE, "lines that differ")
    differ = [at for at, label in enumerate(labels) if label != rows.keys[at] and at not in bad]
    return [
        *found,
        *listed(
            kind,
            differ,
            lambda at: (
                f"{short(labels[at])} stands where {tree} has {short(rows.keys[at])}: the node "
                f"would learn from photos of another label"
            ),
            file=file,
        ),
    ]


def _other_count(labels: Sequence[str], rows: Rows, file: str, tree: str) -> Problem:
    """A `.labels` with too many or too few lines, and the first line that disagrees."""
    begin = f"{file}: {plural(len(labels), 'line')} for {plural(len(rows), 'node')}; "
    both = min(len(labels), len(rows))
    at = next((at for at in range(both) if labels[at] != rows.keys[at]), both)
    if at == both:
        where = f"all {both:,} agree, and what follows is missing from the shorter file"
    elif labels[at + 1 : at + 2] == rows.keys[at : at + 1]:
        where = (
            f"the first that disagrees is line {at + 1}: {short(labels[at])} is missing from "
            f"{tree}, whose parents' numbers may still count its line"
        )
    elif labels[at : at + 1] == rows.keys[at + 1 : at + 2]:
        where = f"the first that disagrees is line {at + 1}: {short(rows.keys[at])} is missing here"
    else:
        where = (
            f"the first that disagrees is line {at + 1}: {short(labels[at])} where {tree} has "
            f"{short(rows.keys[at])}"
        )
    return Problem(at + 1, f"{begin}{where}; from there on every label is another node's",
                   "error", PRUNE)  # fmt: skip


def names_problems(lines: Lines, rows: Rows, file: str, tree: str) -> list[Problem]:
    """`.names` must have a name for each node."""
    found = [*damaged_lines(lines, file), *harmless_lines(lines, "names", file)]
    if not len(lines):
        return [*found, _nothing(file)]
    empty = [at for at, text in enumerate(lines.texts) if not text.strip()]
    found += listed(
        Kind("error", "give the node a name, its key if nothing better is known", "empty names"),
        empty,
        lambda at: (
            f"the name of {short(rows.keys[at]) if at < len(rows) else f'node {at}'} is empty; or "
            f"a blank line came in, and all names below it are shifted"
        ),
        file=file,
    )
    if len(lines) != len(rows):
        more = len(lines) > len(rows)
        text = (
            f"{file}: {plural(len(lines), 'name')} for {plural(len(rows), 'node')} of {tree}; "
            + (
                "a name was added or a node removed, and from there on names are shown for the "
                "wrong nodes"
                if more
                else "names are missing, and darknet reads past the end of its list (a crash)"
            )
        )
        found.append(Problem(min(len(lines), len(rows)) + 1, text, "error", PRUNE))
        return found
    return [*found, *name_problems(lines.texts, rows.keys, file)]


def map_problems(
    lines: Lines,
    categories: Lines | None,
    count: int,
    tree: WordTree | None,
    label: Label,
    file: str,
) -> list[Problem]:
    """A data set's `.map`: for each category the number of its node.

    categories: the lines of the data set's `.names`. count: how many nodes there are. tree: None
    where it is too broken to say what stands above what.
    """
    found = [*damaged_lines(lines, file), *harmless_lines(lines, "map", file)]
    if not len(lines):
        return [*found, _nothing(file)]
    found += cut_line(lines, file)
    named = [text.strip() for text in categories.texts] if categories else []

    def category(at: int) -> str:
        return f"category {at}" + (f" ({short(named[at])})" if at < len(named) else "")

    bad = lines.unreadable()
    numbers = [-1 if at in bad else whole_number(t.strip()) for at, t in enumerate(lines.texts)]
    blank = [at for at, text in enumerate(lines.texts) if not text.strip() and at not in bad]
    words = [at for at, n in enumerate(numbers) if n is None and lines.texts[at].strip()]
    outside = [
        at
        for at, number in enumerate(numbers)
        if number is not None and not 0 <= number < count and at not in bad
    ]
    number_remedy = "write the number of the category's node, its line in the tree counted from 0"
    found += [
        *listed(
            Kind("error", number_remedy, "blank lines"),
            blank,
            lambda at: f"the line is blank, which darknet reads as 0: {category(at)} is {label(0)}",
            file=file,
        ),
        *listed(
            Kind("error", number_remedy, "lines that are no number"),
            words,
            lambda at: (
                f"{short(lines.texts[at])} is not one whole number; darknet reads as many digits "
                f"as it finds, or 0"
            ),
            file=file,
        ),
        *listed(
            Kind("error", number_remedy, "numbers that are out of range"),
            outside,
            lambda at: (
                f"{category(at)} is node {numbers[at]}, but nodes are numbered from 0 to "
                f"{count - 1}: darknet writes outside its arrays (a crash, or silently wrong); a "
                f"map has no way to leave a category out"
            ),
            file=file,
        ),
    ]
    if named and len(named) != len(lines):
        text = (
            f"{file}: {plural(len(lines), 'line')} for the {len(named):,} categories of the data "
            f"set; darknet reads past the end of the shorter (a crash, or silently wrong)"
        )
        remedy = "give each category one line, in the order of the data set's names"
        found.append(Problem(min(len(named), len(lines)) + 1, text, "error", remedy))
    nodes = [n if n is not None and 0 <= n < count else -1 for n in numbers]
    return [*found, *_meetings(nodes, tree, category, label, file)]


def _meetings(
    nodes: Sequence[int], tree: WordTree | None, category: Label, label: Label, file: str
) -> list[Problem]:
    """Categories that share a node, or of which one stands above the other."""
    first: dict[int, int] = {}
    same = [at for at, node in enumerate(nodes) if first.setdefault(node, at) != at and node >= 0]
    found = listed(
        Kind("warning", "give each a node of its own, or merge them", "categories on shared nodes"),
        same,
        lambda at: (
            f"{category(at)} and {category(first[nodes[at]])} are both {label(nodes[at])}, so the "
            f"detector cannot tell them apart"
        ),
        file=file,
    )
    if tree is None:
        return found
    nearest = np.full(len(tree), -1).tolist()
    for node, above in enumerate(tree.parent.tolist()):
        if above >= 0:
            nearest[node] = above if above in first else nearest[above]
    lower = [at for at, node in enumerate(nodes) if node >= 0 and nearest[node] >= 0]
    found += listed(
        Kind("note", "nothing, if one is meant to be a kind of the other", "such categories"),
        lower,
        lambda at: (
            f"{category(at)} stands below {category(first[nearest[nodes[at]]])} in the tree, so "
            f"its boxes count as boxes of both"
        ),
        file=file,
    )
    return found


def _nothing(file: str) -> Problem:
    return Problem(1, f"{file}: nothing but blank lines", "error", "take a whole copy of the file")
