"""Hierarchy files as rows of child, parent and name, each with its line: CSV and YAML.

YAML is read as a stream of events: so every label has its line, and nothing is ever constructed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from wordtree.errors import UserError
from wordtree.formats.text import read_text
from wordtree.wording import short

_COLUMNS = ("child", "parent", "name")
# Spreadsheets run a cell that begins with one of these as a formula; a ' before it says that it is
# text. Tables of trees are written so too.
_MARKED = frozenset("=+-@\t\r\n＝＋－＠'")


class Row(NamedTuple):
    """One line of a hierarchy: `parent` is empty for a top node, None where it only names."""

    line: int
    child: str
    parent: str | None
    name: str = ""


# -- CSV ---------------------------------------------------------------------------------------


def csv_rows(file: Path) -> Iterator[Row]:
    """The rows of a CSV file with the header `child,parent` or `child,parent,name`."""
    # Rows are numbered by the line they begin in: the reader counts the lines it has taken.
    reader = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    place: dict[str, int] = {}
    line = 1
    try:
        for cells in reader:
            if cells and not place:
                place = _columns(f"{file}, line {line}", [cell.strip() for cell in cells])
            elif cells:
                if len(cells) != len(place):
                    raise UserError(
                        f"{file}, line {line}: {short(','.join(cells))} has {len(cells) - 1} "
                        f"commas outside quotes, but the header {','.join(place)} has "
                        f"{len(place) - 1}; give it as many"
                    )
                values = [_unmarked(cell.strip()) for cell in cells]
                yield Row(line, *(values[place[key]] for key in _COLUMNS if key in place))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{file}, line {line}: not CSV ({error}); put a cell with a comma, a quote or a line "
            f"break in double quotes, and double the quotes in it"
        ) from None
    if not place:
        raise UserError(f"{file} has nothing but blank lines; give a file with content")


def _columns(where: str, names: list[str]) -> dict[str, int]:
    if {"key", "parent"} <= set(names):
        raise UserError(
            f"{where}: {','.join(names)} is the header of a tree, not of a hierarchy; "
            f"WordTree.load reads it, and wordtree-export --tree"
        )
    for mark, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in names[0]:
            raise UserError(f"{where}: the columns are separated by {word}; use commas")
    lacking = [column for column in ("child", "parent") if column not in names]
    wrong = [name for name in names if name not in _COLUMNS or names.count(name) > 1]
    if lacking or wrong:
        found = (
            f"the column {short(wrong[0])} cannot stand there"
            if wrong and not lacking
            else f"the column {lacking[0]} is missing"
        )
        raise UserError(
            f"{where}: {found}; a hierarchy begins with the header child,parent or "
            f"child,parent,name, not {short(','.join(names))}"
        )
    return {name: at for at, name in enumerate(names)}


def _unmarked(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _MARKED else cell


# -- YAML --------------------------------------------------------------------------------------

Events = Iterator[Any]
_STRING = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
_READ_AS = {"bool": "yes or no", "int": "a number", "float": "a number", "timestamp": "a date"}
_FORMS = "`parents:` with child: parent, or `tree:` with labels nested in labels"


def yaml_rows(file: Path) -> Iterator[Row]:
    """The rows of a YAML file with `parents:` or `tree:`, and `names:` where it has that."""
    events = _events(file, read_text(file))
    next(events)  # the stream begins
    if isinstance(next(events), yaml.StreamEndEvent):
        raise UserError(f"{file} is empty; give it {_FORMS}")
    start = next(events)
    if not isinstance(start, yaml.MappingStartEvent):
        raise UserError(f"{_at(file, start)}: a hierarchy is {_FORMS}")
    seen: dict[str, int] = {}
    for event in _until_end(events):
        section = event.value if isinstance(event, yaml.ScalarEvent) else ""
        if section not in _SECTIONS:
            raise UserError(f"{_at(file, event)}: {short(section)} is no part of {_FORMS}")
        _once(file, event, section, seen, "")
        if {"parents", "tree"} <= seen.keys():
            raise UserError(
                f"{_at(file, event)}: a hierarchy is either {_FORMS}; write one of them"
            )
        yield from _SECTIONS[section](file, events)
    if not seen.keys() - {"names"}:
        raise UserError(f"{file} has names alone; give it {_FORMS}")
    next(events)  # the document ends
    if not isinstance(again := next(events), yaml.StreamEndEvent):
        raise UserError(f"{_at(file, again)}: a second document begins; write one a file")


def _parents(file: Path, events: Events) -> Iterator[Row]:
    for event, child, value in _pairs(file, events, "parents"):
        line = event.start_mark.line + 1
        if isinstance(value, yaml.MappingStartEvent):
            raise UserError(
                f"{_at(file, value)}: below `parents:` the parent of {child!r} is a label, a list "
                f"or null; write `tree:` above labels nested in labels"
            )
        if isinstance(value, yaml.SequenceStartEvent):
            found = [(item.start_mark.line + 1, _text(file, item)) for item in _until_end(events)]
            if not found:
                raise UserError(
                    f"{file}, line {line}: {child!r} has an empty list of parents; write null "
                    f"where it is a top node"
                )
            for at, parent in found:
                yield Row(at, child, parent)
        else:
            yield Row(line, child, "" if value.tag == _NULL else _text(file, value))


def _names(file: Path, events: Events) -> Iterator[Row]:
    for event, label, value in _pairs(file, events, "names"):
        yield Row(event.start_mark.line + 1, label, None, _text(file, value))


def _tree(file: Path, events: Events) -> Iterator[Row]:
    inner = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
    start = next(events)
    if not isinstance(start, inner):
        raise UserError(f"{_at(file, start)}: `tree:` has nothing below it; nest the labels there")
    # Of each mapping or list that is open: the label above it, and whether it is a list.
    open_ = [("", isinstance(start, yaml.SequenceStartEvent))]
    while open_:
        event = next(events)
        parent, is_list = open_[-1]
        if isinstance(event, yaml.CollectionEndEvent):
            open_.pop()
        elif is_list and isinstance(event, yaml.MappingStartEvent):
            open_.append((parent, False))
        else:
            label = _text(file, event)
            yield Row(event.start_mark.line + 1, label, parent)
            below = None if is_list else next(events)
            if isinstance(below, inner):
                open_.append((label, isinstance(below, yaml.SequenceStartEvent)))
            elif below is not None and below.tag != _NULL:
                text = _text(file, below)
                raise UserError(
                    f"{_at(file, below)}: below {label!r} stands {short(text)} alone; write "
                    f"[{text}] for its one child, and names below `names:`"
                )


_SECTIONS: dict[str, Callable[[Path, Events], Iterator[Row]]] = {
    "parents": _parents,
    "tree": _tree,
    "names": _names,
}


_PAIRS = {
    "parents": ("child: parent", ", or write its parents as a list"),
    "names": ("label: name", ""),
}


def _pairs(file: Path, events: Events, section: str) -> Iterator[tuple[Any, str, Any]]:
    """Key event, key and value event of a section's mapping, the keys each once."""
    content, remedy = _PAIRS[section]
    start = next(events)
    if not isinstance(start, yaml.MappingStartEvent):
        raise UserError(f"{_at(file, start)}: below `{section}:` stands {content}, a line each")
    seen: dict[str, int] = {}
    for event in _until_end(events):
        key = _text(file, event)
        _once(file, event, key, seen, remedy)
        yield event, key, next(events)


def _once(file: Path, event: Any, key: str, seen: dict[str, int], remedy: str) -> None:
    if key in seen:
        raise UserError(
            f"{_at(file, event)}: {key!r} stands in line {seen[key]} already; remove one{remedy}"
        )
    seen[key] = event.start_mark.line + 1


def _until_end(events: Events) -> Events:
    while not isinstance(event := next(events), yaml.CollectionEndEvent):
        yield event


def _text(file: Path, event: Any) -> str:
    """The text of a scalar; UserError for what YAML takes for something else than a text."""
    if not isinstance(event, yaml.ScalarEvent):
        raise UserError(f"{_at(file, event)}: a list or a mapping stands where a label is expected")
    if event.tag != _STRING:
        word = _READ_AS.get((event.tag or "").rpartition(":")[2], "no text")
        raise UserError(
            f"{_at(file, event)}: YAML reads {event.value or 'an empty value'} as {word}; put it "
            f"in quotes if it is a label"
        )
    return str(event.value)


def _events(file: Path, text: str) -> Events:
    # The C parser is ten times as fast; both give the same events.
    damaged = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if damaged:
        raise UserError(
            f"{file}, line {text.count(chr(10), 0, damaged.start()) + 1}: YAML has no character "
            f"{damaged.group()!r}; take it out"
        )
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.AliasEvent):
                raise UserError(f"{_at(file, event)}: *{event.anchor} is an alias; write it out")
            if isinstance(event, yaml.ScalarEvent) and event.tag in (None, "!"):
                event.tag = loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            elif isinstance(event, yaml.CollectionStartEvent) and event.tag is not None:
                raise UserError(f"{_at(file, event)}: take out the tag {short(event.tag)}")
            yield event
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        deep = "nesting depth" in (error.problem or "")
        remedy = "write it as `parents:`, which has no depth" if deep else "correct it"
        raise UserError(f"{file}, line {line}: not YAML ({error.problem}); {remedy}") from None
    finally:
        loader.dispose()


def _at(file: Path, event: Any) -> str:
    return f"{file}, line {event.start_mark.line + 1}"
