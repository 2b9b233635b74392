"""How messages call a node, a count and a text that may be long."""

from __future__ import annotations


def plural(count: int, one: str, many: str = "") -> str:
    """`1 line`, `2,000 lines`; `many` where an s does not do."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def named(key: str, name: str) -> str:
    """A node for people: `dog (n02084071)`, or its key where that is all the name it has."""
    return key if name == key else f"{name} ({key})"


def short(text: str) -> str:
    """The text in quotes, its middle left out if it is long."""
    return repr(text if len(text) <= 60 else f"{text[:40]}...{text[-12:]}")
