"""The one sentence in which a user's mistake is answered."""

from __future__ import annotations

from collections.abc import Callable


def refusal(attempt: Callable[[], object], *, fault: str) -> str:
    """What the UserError says in which the attempt must end; AssertionError where it does not, or
    says it in more than one line."""
    from wordtree import UserError

    try:
        attempt()
    except UserError as error:
        said = str(error)
    else:
        raise AssertionError(f"taken, though its fault is: {fault}")
    if "\n" in said:
        raise AssertionError(f"{fault}: answered in several lines: {said}")
    return said
