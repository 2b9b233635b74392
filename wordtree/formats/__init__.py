"""Tree files: one module a format, found by the file's ending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wordtree.errors import UserError
from wordtree.formats.darknet import read_darknet, write_darknet
from wordtree.formats.json import read_json, write_json

if TYPE_CHECKING:
    from wordtree.tree import WordTree


class Format(NamedTuple):
    """How trees are read from and written to files of one ending."""

    name: str
    read: Callable[[Path], WordTree]
    write: Callable[[WordTree, Path], None]


FORMATS: dict[str, Format] = {
    ".tree": Format("darknet", read_darknet, write_darknet),
    ".json": Format("json", read_json, write_json),
}


def _of(path: Path) -> Format:
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise UserError(
            f"{path}: a tree file ends in {' or '.join(FORMATS)}, not {path.suffix or 'nothing'!r}"
        )
    return found


def read(path: str | Path) -> WordTree:
    """Reads a tree file; UserError says which line is wrong and why."""
    return _of(Path(path)).read(Path(path))


def write(tree: WordTree, path: str | Path) -> None:
    """Writes a tree file (a `.tree` with its `.names` and `.labels`), whole or not at all."""
    _of(Path(path)).write(tree, Path(path))
