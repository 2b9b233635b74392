"""Where photo data sets lie: one folder, named by the environment or the config."""

from __future__ import annotations

import os
from pathlib import Path

from wordtree.errors import UserError

VARIABLE = "WORDTREE_DATA"
_HOW = (
    f"set the environment variable {VARIABLE}, or data_root=FOLDER, to the folder that holds your "
    "data sets"
)


def data_root(given: str | Path | None = None) -> Path:
    """The folder below which data sets lie: `given`, else $WORDTREE_DATA, else `datasets`.

    Raises UserError, saying how to set it, where there is no such folder.
    """
    # An empty variable means "not set", as a shell's `VAR= command` does.
    root = Path(given or os.environ.get(VARIABLE) or "datasets").expanduser()
    if not root.is_dir():
        raise UserError(f"the data folder {root} does not exist; {_HOW}")
    return root


def data_path(path: str | Path, *, root: str | Path | None = None) -> Path:
    """A file or folder of a data set: absolute paths as they are, others below `data_root(root)`.

    Raises UserError where it does not exist.
    """
    path = Path(path).expanduser()
    found = path if path.is_absolute() else data_root(root) / path
    if not found.exists():
        how = "correct the path" if path.is_absolute() else _HOW
        raise UserError(f"{found} does not exist; {how}")
    return found
