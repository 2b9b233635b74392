"""The laws of a tree, checked once when it is made.

Parents come before their children, siblings stand side by side, no key comes twice, and keys and
names are texts that a file can hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wordtree.errors import UserError
from wordtree.wording import short

Indices = NDArray[np.int64]


def find_fault(keys: Sequence[str], parent: Indices) -> tuple[int, str] | None:
    """The first node that breaks a law of a tree, as (its index, what is wrong), else None.

    Laws: a parent is -1 or stands earlier; siblings stand side by side; no key twice.
    """
    count = len(parent)
    position = np.arange(count)
    late = np.flatnonzero((parent >= position) | (parent < -1))
    if len(late):
        at = int(late[0])
        found = int(parent[at])
        if found >= count or found < -1:
            return at, (
                f"the parent of {short(keys[at])} is {found}, but parents are numbered from 0 to "
                f"{count - 1} (-1: at the top)"
            )
        return at, (
            f"the parent of {short(keys[at])} is {found}, which does not come before it (its own "
            f"number is {at}); put parents before their children"
        )
    starts = group_starts(parent)
    _, first_run = np.unique(parent[starts], return_index=True)
    if len(first_run) < len(starts):
        again = np.ones(len(starts), bool)
        again[first_run] = False
        at = int(starts[again][0])
        above = "the top" if parent[at] < 0 else short(keys[int(parent[at])])
        return at, (
            f"{short(keys[at])} is a child of {above}, whose other children stand apart from it; "
            f"put siblings side by side"
        )
    if len(set(keys)) < count:
        seen: dict[str, int] = {}
        for at, key in enumerate(keys):
            if key in seen:
                return at, (
                    f"the key {short(key)} is used already by node {seen[key]}; give every node a "
                    f"key of its own"
                )
            seen[key] = at
    return None


def group_starts(parent: Indices) -> Indices:
    """The first node of every run of nodes with one parent."""
    return np.flatnonzero(np.diff(parent, prepend=-2))


def check_texts(texts: Sequence[str], what: str, forbidden: str) -> None:
    """UserError for a text with a forbidden character, or that UTF-8 cannot write."""
    joined = "".join(texts)
    try:
        joined.encode()
        clean = not any(character in joined for character in forbidden)
    except UnicodeEncodeError:
        clean = False
    if clean:
        return
    for at, text in enumerate(texts):
        if any(character in text for character in forbidden):
            raise UserError(
                f"the {what} of node {at} is {short(text)}; a {what} has no line breaks and no NULs"
            )
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"the {what} of node {at} is {short(text)}, which UTF-8 cannot write; correct it"
            ) from None


def depths(parent: Indices) -> Indices:
    """Depth of every node, by pointer doubling: as many rounds as the depth has binary digits."""
    depth = (parent >= 0).astype(np.int64)
    ancestor = parent.copy()
    below = np.flatnonzero(ancestor >= 0)
    while len(below):
        above = ancestor[below]
        depth[below] += depth[above]
        ancestor[below] = ancestor[above]
        below = below[ancestor[below] >= 0]
    return depth
