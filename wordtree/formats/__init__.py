"""Tree files: one module a format, found by the file's ending."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wordtree.errors import UserError
from wordtree.formats.csv import read_csv, write_csv
from wordtree.formats.darknet import read_darknet, write_darknet
from wordtree.formats.dot import write_dot
from wordtree.formats.graphml import read_graphml, write_graphml
from wordtree.formats.json import read_json, write_json
from wordtree.formats.newick import read_newick, write_newick

if TYPE_CHECKING:
    from wordtree.tree import WordTree


class Format(NamedTuple):
    """How trees are read from and written to files of one ending; read is None: only written."""

    name: str
    read: Callable[[Path], WordTree] | None
    write: Callable[[WordTree, Path], None]


def _write_html(tree: WordTree, path: Path) -> None:
    # The page brings WordNet's glosses along, which readers of trees need not load.
    from wordtree.formats.html import write_html

    write_html(tree, path)


# A format with several endings is exported with its last one.
FORMATS: dict[str, Format] = {
    ".tree": Format("darknet", read_darknet, write_darknet),
    ".json": Format("json", read_json, write_json),
    ".csv": Format("csv", read_csv, write_csv),
    ".graphml": Format("graphml", read_graphml, write_graphml),
    ".nwk": Format("newick", read_newick, write_newick),
    ".newick": Format("newick", read_newick, write_newick),
    ".dot": Format("dot", None, write_dot),
    ".html": Format("html", None, _write_html),
}


def _of(path: Path) -> Format:
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise UserError(
            f"{path}: a tree file ends in {_listed(FORMATS)}, not {path.suffix or 'nothing'!r}"
        )
    return found


def _listed(endings: Iterable[str]) -> str:
    *others, last = endings
    return f"{', '.join(others)} or {last}"


def read(path: str | Path) -> WordTree:
    """Reads a tree file; UserError says which line is wrong and why."""
    form = _of(Path(path))
    if form.read is None:
        known = _listed(ending for ending, form in FORMATS.items() if form.read)
        raise UserError(f"{path}: {form.name} files are only written; read a tree from {known}")
    return form.read(Path(path))


def write(tree: WordTree, path: str | Path) -> None:
    """Writes a tree file (a `.tree` with its `.names` and `.labels`), whole or not at all."""
    _of(Path(path)).write(tree, Path(path))
