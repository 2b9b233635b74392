"""Five times the bars of benchmarks/tree_speed.py: what a slow machine must still reach."""

import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from wordtree import WordTree

SLACK = 5


def test_9418_labels_are_built_within_the_bar_with_the_noun_table(
    darknet_files: Path,
) -> None:
    code = (
        "import sys, time; begin = time.perf_counter(); from wordtree import build; "
        "keys = [line.split()[0] for line in open(sys.argv[1])]; "
        "build(keys, preset='darknet9k'); print(time.perf_counter() - begin)"
    )
    words = [sys.executable, "-c", code, str(darknet_files / "9k.tree")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert float(done.stdout) < SLACK * 2.0


@pytest.mark.parametrize("ending", ["tree", "json"])
def test_a_saved_tree_of_9418_nodes_loads_within_the_bar(
    ending: str, darknet_files: Path, tmp_path: Path
) -> None:
    WordTree.load(darknet_files / "9k.tree").save(tmp_path / f"x.{ending}")
    times = []
    for _ in range(5):
        begin = perf_counter()
        WordTree.load(tmp_path / f"x.{ending}")
        times.append(perf_counter() - begin)
    assert sorted(times)[2] < SLACK * 0.05


@pytest.mark.parametrize("shape", ["deep", "wide"])
@pytest.mark.parametrize("ending", ["tree", "json"])
def test_a_deep_and_a_wide_tree_go_round(ending: str, shape: str, tmp_path: Path) -> None:
    count = 100_000
    parent = np.arange(count) - 1
    tree = WordTree([f"k{at}" for at in range(count)], parent if shape == "deep" else
                    np.minimum(parent, 0))  # fmt: skip
    begin = perf_counter()
    tree.save(tmp_path / f"x.{ending}")
    assert WordTree.load(tmp_path / f"x.{ending}") == tree
    assert perf_counter() - begin < SLACK * 5
