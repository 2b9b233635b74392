"""What is wrong with a tree's nodes, whatever their order: keys, names, groups of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from wordtree.inspection.problem import Kind, Problem, listed
from wordtree.laws import Indices
from wordtree.wording import plural, short

LONGEST_KEY = 255
_SEARCHED = 2_000  # keys looked for in each other: a square of their number


def key_problems(keys: Sequence[str]) -> list[Problem]:
    """Keys that come twice, that darknet cannot hold, or that it finds in place of another.

    keys: "" for a line that has none, which is said elsewhere.
    """
    return [*_repeated_keys(keys), *_long_keys(keys), *_keys_in_keys(keys)]


def _repeated_keys(keys: Sequence[str]) -> list[Problem]:
    first: dict[str, int] = {}
    repeated = [at for at, key in enumerate(keys) if first.setdefault(key, at) != at and key]
    return listed(
        Kind("error", "give every node a key of its own", "keys that are used already"),
        repeated,
        lambda at: (
            f"the key {short(keys[at])} is used already in line {first[keys[at]] + 1}: a key says "
            f"which node is meant, and darknet finds two labels in the photo's path and uses none"
        ),
    )


def _long_keys(keys: Sequence[str]) -> list[Problem]:
    # A character has at most four bytes.
    long = [
        at
        for at, key in enumerate(keys)
        if len(key) > LONGEST_KEY // 4 and len(key.encode(errors="replace")) > LONGEST_KEY
    ]
    return listed(
        Kind("warning", f"use keys of at most {LONGEST_KEY} bytes", "keys that are too long"),
        long,
        lambda at: (
            f"the key {short(keys[at])} has {len(keys[at].encode(errors='replace'))} bytes; "
            f"darknet has room for {LONGEST_KEY} and writes past it"
        ),
    )


def _keys_in_keys(keys: Sequence[str]) -> list[Problem]:
    lengths = {len(key) for key in keys if key}
    if len(lengths) < 2 or len(keys) > _SEARCHED:
        return []
    joined = "\n".join(keys)
    inside = [
        (at, key)
        for at, key in enumerate(keys)
        if key and joined.find(key, joined.find(key) + 1) >= 0
    ]
    unique = Counter(keys)
    inside = [(at, key) for at, key in inside if unique[key] == 1]
    if not inside:
        return []
    at, key = inside[0]
    other = next(longer for longer in keys if key in longer and key != longer)
    return [
        Problem(
            at + 1,
            f"{plural(len(inside), 'key is', 'keys are')} part of another ({short(key)} of "
            f"{short(other)}, say): darknet looks for labels anywhere in a photo's path, finds "
            f"both there, and learns neither",
            "warning",
            "for label-only photos in darknet, use keys none of which is part of another (wnids)",
        )
    ]


def name_problems(names: Sequence[str], keys: Sequence[str], file: str = "") -> list[Problem]:
    """Names that are shared by several nodes, counted, with an example.

    file: the name of the file they stand in, if it is one of its own.
    """
    times = Counter(names)
    shared = {name for name, count in times.items() if count > 1}
    if not shared:
        return []
    first = next(at for at, name in enumerate(names) if name in shared)
    name = names[first]
    having = [keys[at] for at, other in enumerate(names) if other == name]
    shown = ", ".join(having[:4]) + (", ..." if len(having) > 4 else "")
    again = sum(times[name] - 1 for name in shared)
    return [
        Problem(
            first + 1,
            (f"{file}: " if file else "")
            + f"{plural(again, 'name repeats', 'names repeat')} one used already ({short(name)} is "
            f"the name of {shown}, say): a name does not say which node is meant",
            "warning",
            "say nodes by their key; nothing else need be done",
        )
    ]


def group_problems(parent: Indices, label: Callable[[int], str]) -> list[Problem]:
    """Groups of one, and several top nodes. parent: int64, -1: at the top, below: not known."""
    placed = np.flatnonzero((parent >= -1) & (parent < len(parent)))
    sizes = np.bincount(parent[placed] + 1, minlength=1)
    alone = placed[sizes[parent[placed] + 1] == 1]

    def single(at: int) -> str:
        of = f"child of {label(int(parent[at]))}" if parent[at] >= 0 else "top node"
        return (
            f"{label(at)} is the only {of}: a softmax over one is the constant 1, so nothing is "
            f"learnt here"
        )

    found = listed(
        Kind(
            "warning",
            "give it a sibling, leave the node above it out, or put it beside that node",
            "groups of one",
        ),
        alone.tolist(),
        single,
    )
    tops = np.flatnonzero(parent == -1)
    # Top nodes that stand apart are no group, which is said as an error elsewhere.
    if len(tops) > 1 and tops[-1] - tops[0] == len(tops) - 1:
        shown = ", ".join(label(at) for at in tops[:4].tolist()) + (", ..." if sizes[0] > 4 else "")
        text = f"{sizes[0]:,} top nodes ({shown}): they are one group, the first choice of all"
        remedy = "nothing; -1 means that nothing stands above the node"
        found.append(Problem(int(tops[0]) + 1, text, "note", remedy))
    return found
