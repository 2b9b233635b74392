"""What is wrong with single lines of a darknet file: damaged bytes, columns, blanks."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from wordtree.inspection.problem import Kind, Problem, counted, listed
from wordtree.inspection.rows import LONGEST, Lines, Rows
from wordtree.wording import plural, short

WHOLE = "take a whole copy of the file"
ROW = "write a key without blanks, one blank, and the parent's number (-1: at the top)"

# Lines that cannot be read: kind, what the line is, in any of darknet's files.
_DAMAGED = {
    "long": (
        Kind("error", WHOLE, "lines that are too long"),
        f"the line is longer than {LONGEST:,} bytes, so this is no text file of one entry a line",
    ),
    "nul": (
        Kind("error", WHOLE, "lines with NUL bytes"),
        "the line has NUL bytes, at which darknet stops to read it: the file is damaged",
    ),
    "utf8": (
        Kind("error", "save the file as UTF-8", "lines that are not UTF-8"),
        "the line has bytes that are not UTF-8 (Latin-1, say)",
    ),
}
_ROW_KINDS = {
    "blank": Kind(
        "error",
        "remove the line; parents' numbers that count it go down by one (`--repair` of "
        "wordtree-export does both)",
        "blank lines",
    ),
    "one column": Kind("error", ROW, "lines without a parent"),
    "columns": Kind("error", f"{ROW}; put _ for a blank in a key", "lines with more than 2 words"),
    "carriage return": Kind("error", "save the file with plain line ends (LF)", "such lines"),
    "number": Kind("error", ROW, "lines whose parent is no whole number"),
}


def damaged_lines(lines: Lines, file: str = "") -> list[Problem]:
    """Lines that are no text at all."""
    found: list[Problem] = []
    for fault, (kind, text) in _DAMAGED.items():
        found += listed(kind, lines.faults.get(fault, []), partial(_same, text), file=file)
    return found


def _same(text: str, _: int) -> str:
    return text


def cut_line(lines: Lines, file: str = "") -> list[Problem]:
    """A last line without a line end, in a file of numbers."""
    kind = Kind("error", "if the file is whole, end its last line with a line end", "")
    at = lines.faults.get("cut", [])
    return listed(
        kind,
        at,
        lambda at: (
            f"the last line {short(lines.texts[at])} has no line end, so the file may be cut and "
            f"the number may have lost digits"
        ),
        file=file,
    )


def row_problems(rows: Rows) -> list[Problem]:
    """Lines of a `.tree` that are not a key and one number, and what darknet makes of them."""

    def word(at: int, place: int) -> str:
        return short(rows.texts[at].split()[place])

    texts = {
        "blank": lambda at: (
            f"the line is blank, which darknet reads as a nameless top node, number {at}; and the "
            f"numbers of all lines below it count it"
        ),
        "one column": lambda at: (
            f"{word(at, 0)} has no parent, and darknet silently makes it a top node"
        ),
        "columns": lambda at: (
            f"{short(rows.texts[at])} has more than two words: darknet takes {word(at, 0)} for "
            f"the key and {word(at, 1)} for the parent's number (a top node, if it is none)"
        ),
        "carriage return": lambda _: (
            "the line has carriage returns inside (old Mac line ends?), so darknet takes several "
            "lines for one"
        ),
        "number": lambda at: (
            f"the parent {word(at, 1)} of {word(at, 0)} is no whole number; darknet reads as "
            f"many digits as it finds, or a top node if there are none"
        ),
    }
    return [
        problem
        for fault, kind in _ROW_KINDS.items()
        for problem in listed(kind, rows.faults.get(fault, []), texts[fault])
    ]


class _Reading(NamedTuple):
    """What darknet makes of a carriage return, a byte order mark and a blank line at the end."""

    crlf: str
    severity: str
    mark: str
    blank: str


_READINGS = {
    "tree": _Reading(
        "darknet takes no harm from it here", "note", "the first key", "one more top node, apart"
    ),
    "names": _Reading(
        "darknet keeps the carriage return in the name", "warning", "the first name", "a name"
    ),
    "labels": _Reading(
        "darknet keeps the carriage return in the label, so it finds none in the path of a photo",
        "warning",
        "the first label, so it never finds that",
        "a label that every path has",
    ),
    "map": _Reading(
        "darknet takes no harm from it here", "note", "the first number, which is then 0", "a 0"
    ),
}


def harmless_lines(lines: Lines, what: str, file: str = "") -> list[Problem]:
    """What this package reads as if it were not there: CRLF, a byte order mark, blanks.

    what: `tree`, `names`, `labels` or `map`: darknet reads them differently.
    """
    reading = _READINGS[what]
    faults = lines.faults
    return [
        *counted(
            Kind(reading.severity, "save the file with plain line ends (LF)", ""),
            faults.get("crlf", []),
            lambda n: f"{plural(n, 'line ends', 'lines end')} in CRLF (Windows); {reading.crlf}",
            file=file,
        ),
        *counted(
            Kind("warning", "save the file as UTF-8 without a byte order mark", ""),
            faults.get("bom", []),
            lambda _: f"a byte order mark, which darknet reads as part of {reading.mark}",
            file=file,
        ),
        *counted(
            Kind("note", "put one blank between key and parent", ""),
            faults.get("spacing", []),
            lambda n: (
                f"{plural(n, 'line has', 'lines have')} tabs, several blanks or leading zeros; "
                f"darknet takes no harm from that"
            ),
            file=file,
        ),
        *counted(
            Kind("warning", "remove blank lines", ""),
            faults.get("blank end", []),
            lambda n: (
                f"{plural(n, 'blank line')} at the end, {'which' if n == 1 else 'each of which'} "
                f"darknet reads as {reading.blank}"
            ),
            file=file,
        ),
    ]
