"""Where the benchmarks of trees find darknet's data files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def darknet_folder(description: str | None) -> Path:
    """The folder of 9k.tree and imagenet.labels.list: --darknet, else below $WORDTREE_DATA."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--darknet", help="folder of 9k.tree and imagenet.labels.list")
    given = options.parse_args().darknet
    folder = Path(given or Path(os.environ.get("WORDTREE_DATA", "datasets")) / "darknet")
    if not (folder / "9k.tree").exists():
        options.error(f"there is no 9k.tree in {folder}; give --darknet or set WORDTREE_DATA")
    return folder
