"""What lint says of one thing that is wrong, and how many things of one kind it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SHOWN = 10


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a tree file, or that a person should know of it.

    line: counted from 1 as editors do; None where it is no single line. A problem of a file
    beside the tree begins with that file's name, and the line is that file's.
    severity: `error`: this package refuses the file; `warning`: it is read, but darknet reads it
    otherwise or something cannot be learnt; `note`: harmless.
    """

    line: int | None
    problem: str
    severity: str
    remedy: str


class Kind(NamedTuple):
    """One kind of problem. `more` says what further ones are, where not all are listed."""

    severity: str
    remedy: str
    more: str


def listed(
    kind: Kind, lines: Sequence[int], describe: Callable[[int], str], *, file: str = ""
) -> list[Problem]:
    """A problem for each of the first lines (from 0), and one that counts the others.

    describe: what is wrong with a line. file: the name of a file beside the tree.
    """
    begin = f"{file}: " if file else ""
    found = [
        Problem(at + 1, begin + describe(at), kind.severity, kind.remedy) for at in lines[:SHOWN]
    ]
    rest = len(lines) - SHOWN
    if rest > 0:
        text = f"{begin}and {rest:,} more {kind.more}"
        found.append(Problem(lines[SHOWN] + 1, text, kind.severity, kind.remedy))
    return found


def counted(
    kind: Kind, lines: Sequence[int], describe: Callable[[int], str], *, file: str = ""
) -> list[Problem]:
    """One problem for all lines (from 0) together, at the first; none where there is no line.

    describe: what is wrong with so many lines.
    """
    if not lines:
        return []
    text = (f"{file}: " if file else "") + describe(len(lines))
    return [Problem(lines[0] + 1, text, kind.severity, kind.remedy)]
