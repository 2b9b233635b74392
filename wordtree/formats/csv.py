"""A tree as a table: columns key, parent, name, labelled; a node a row, its parent by key.

Spreadsheets run a field that starts with = + - @ as a formula. Such a field is written with a `'`
before it and read without; so is one that starts with that mark before such a sign, so that every
text comes back as it was.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from wordtree.errors import UserError
from wordtree.formats.checked import FLAGS, make_tree
from wordtree.formats.text import read_lines, write_text
from wordtree.tree import WordTree
from wordtree.wording import short

COLUMNS = ("key", "parent", "name", "labelled")
# OWASP's list for CSV injection, full-width signs included, and the mark itself.
_MARKED = frozenset("=+-@\t\r\n＝＋－＠'")
_QUOTED = re.compile(r'[,"\r\n]')

Row = tuple[int, list[str]]


def read_csv(path: Path) -> WordTree:
    """Reads a table with the columns key and parent, and name and labelled where it has them.

    The columns stand in any order. A parent is the key of an earlier row, empty at the top;
    labelled is 1, 0, true or false, in any case.
    Raises UserError with the line of the first fault.
    """
    rows = _rows(path)
    column = _columns(path, next(rows)[1])
    keys: list[str] = []
    names: list[str] = []
    parent: list[int] = []
    labelled: list[bool] = []
    lines: list[int] = []
    index: dict[str, int] = {"": -1}
    for line, row in rows:
        if len(row) != len(column):
            raise UserError(
                f"{path}, line {line}: {len(row) or 'no'} fields, but the first line names "
                f"{len(column)} columns; put a field with a comma in double quotes"
            )
        fields = [_plain(field) if field[:1] == "'" else field for field in row]
        key, above = fields[column["key"]], fields[column["parent"]]
        if key in index:
            raise UserError(f"{path}, line {line}: {_used(key, lines, index)}")
        if "\n" in key or "\r" in key:
            raise UserError(f"{path}, line {line}: the key {short(key)} has a line break; drop it")
        if above not in index:
            raise UserError(f"{path}, line {line}: {_missing(key, above, rows, column)}")
        flag = FLAGS.get(fields[column["labelled"]].lower()) if "labelled" in column else True
        if flag is None:
            raise UserError(
                f"{path}, line {line}: labelled is {short(fields[column['labelled']])}; give 1 or "
                f"true, 0 or false"
            )
        index[key] = len(keys)
        keys.append(key)
        parent.append(index[above])
        names.append(fields[column["name"]] if "name" in column else key)
        labelled.append(flag)
        lines.append(line)
    return make_tree(path, keys, parent, names, labelled, place=lambda node: f"line {lines[node]}")


def write_csv(tree: WordTree, path: Path) -> None:
    """Writes a table of a tree, which may be empty.

    Raises UserError for a text that a table cannot hold: with a NUL, with a carriage return before
    a line break (read as a plain line break), or longer than Python's reader allows.
    """
    longest = csv.field_size_limit() - 1
    for key, name in zip(tree.keys, tree.names, strict=True):
        if "\0" in name or "\r\n" in name or len(name) > longest or len(key) > longest:
            raise UserError(
                f"{path}: the name {short(name)} of {short(key)} has a NUL, a carriage return "
                f"before a line break or over {longest:,} characters, which a CSV file cannot "
                f"hold; write .json"
            )
    fields = [_field(key) for key in tree.keys]
    above = [*fields, ""]  # a parent of -1 is the last
    rows = zip(fields, tree.parent.tolist(), tree.names, tree.labelled.tolist(), strict=True)
    body = "".join(f"{key},{above[up]},{_field(name)},{flag:d}\n" for key, up, name, flag in rows)
    write_text(path, f"{','.join(COLUMNS)}\n{body}")


def _rows(path: Path) -> Iterator[Row]:
    """Each record of the file with the line that it starts in."""
    lines = read_lines(path, cut=True)
    reader = csv.reader((f"{line}\n" for line in lines), strict=True)
    start = 1
    try:
        for row in reader:
            yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}, line {start}: not CSV ({error}); put a field with a comma, a quote or a line "
            f"break in double quotes, and double the quotes inside it"
        ) from None


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    names = [name.strip() for name in header]
    wanted = f"a tree has the columns {', '.join(COLUMNS)}, of which the last two may be left out"
    if {"child", "parent"} <= set(names):
        raise UserError(
            f"{path}: a table of child and parent is a hierarchy, of which a tree has yet to be "
            f"built; give it to wordtree-export --csv"
        )
    for mark, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in header[0]:
            raise UserError(f"{path}, line 1: the columns are separated by {word}; use commas")
    for at, name in enumerate(names):
        if name not in COLUMNS:
            raise UserError(f"{path}, line 1: unknown column {short(name)}; {wanted}")
        if name in names[:at]:
            raise UserError(f"{path}, line 1: the column {name} stands there twice; {wanted}")
    for name in ("key", "parent"):
        if name not in names:
            raise UserError(f"{path}, line 1: the column {name} is missing; {wanted}")
    return {name: at for at, name in enumerate(names)}


def _used(key: str, lines: list[int], index: dict[str, int]) -> str:
    if not key:
        return "the key is empty; give it one"
    return f"the key {short(key)} is used in line {lines[index[key]]}; give every node its own"


def _missing(key: str, above: str, rest: Iterable[Row], column: dict[str, int]) -> str:
    said = f"the parent of {short(key)} is {short(above)}, which"
    if above == key:
        return f"{said} is the node itself; leave the parent of a top node empty"
    for line, row in rest:
        if len(row) == len(column) and _plain(row[column["key"]]) == above:
            return f"{said} comes later, in line {line}; put parents before their children"
    return f"{said} is not a key of this file; add it, or leave the parent of a top node empty"


def _field(text: str) -> str:
    if text[:1] in _MARKED:
        text = f"'{text}"
    if _QUOTED.search(text):
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


def _plain(field: str) -> str:
    # A foreign 'tis stays as it is: what we write has the mark only before a marked sign.
    return field[1:] if field[:1] == "'" and field[1:2] in _MARKED else field
