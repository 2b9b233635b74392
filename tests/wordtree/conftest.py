import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def darknet_files() -> Path:
    """Darknet's data files (9k.tree and others); skips without WORDTREE_DATA."""
    folder = Path(os.environ.get("WORDTREE_DATA", "datasets")) / "darknet"
    if not (folder / "9k.tree").exists():
        pytest.skip(f"no darknet files in {folder}: set WORDTREE_DATA to the folder of data sets")
    return folder


@pytest.fixture(scope="session")
def imagenet_labels(darknet_files: Path) -> list[str]:
    """The 21,842 wnids of ImageNet; the first 1,000 are ILSVRC-2012."""
    return (darknet_files / "imagenet.labels.list").read_text().split()
