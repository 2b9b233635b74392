"""How long trees take to build and to load, and in how much memory.

  python benchmarks/tree_speed.py            needs darknet's data files below $WORDTREE_DATA

Each figure is the median of 5 processes of their own, so that nothing is warm but the disk; peak
memory is the process's, Python and numpy included. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from darknet_lists import darknet_folder

ROUNDS = 5
# What a child process does between the clock's two readings; `file` is its argument.
TASKS: dict[str, str] = {
    "build": "build(labels, preset='darknet9k')",
    "load": "WordTree.load(file)",
    "questions": (
        "tree = WordTree.load(file); last = len(tree) - 1; tree.path(last); tree.lca(1, last); "
        "tree.is_ancestor(0, last); tree.subtree(tree.keys[1]); tree.prune([tree.keys[last]]); "
        "tree.hash; repr(tree); tree._repr_html_()"
    ),
}
CHILD = """
import json, re, sys, time
import wordtree.formats
from wordtree import WordTree, build
file = sys.argv[1]
labels = open(file).read().split() if file.endswith(".txt") else []
begin = time.perf_counter()
{task}
seconds = time.perf_counter() - begin
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())
print(json.dumps([seconds, int(peak[1]) / 2**20]))
"""
MILLION = 1_000_000
DEEP = 100_000


def measure(task: str, file: Path) -> tuple[float, float]:
    """Median seconds and the greatest peak memory (GiB) of ROUNDS processes."""
    program = CHILD.format(task=TASKS[task])
    found = []
    for _ in range(ROUNDS):
        done = subprocess.run(
            [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True
        )
        found.append(json.loads(done.stdout))
    return median(seconds for seconds, _ in found), max(memory for _, memory in found)


def main() -> int:
    """Prints a table of Markdown; 1 where a bar is missed."""
    folder = darknet_folder(__doc__)

    from wordtree import WordTree

    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, median of {ROUNDS}")
    print("| what | seconds | bar | GiB | bar |")
    print("|---|---|---|---|---|")
    missed = 0
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        nine_k = WordTree.load(folder / "9k.tree")
        known = set((folder / "imagenet.labels.list").read_text().split())
        for name in ("nine_k.tree", "nine_k.json"):
            nine_k.save(out / name)
        (out / "labels.txt").write_text("\n".join(key for key in nine_k.keys if key in known))
        (out / "all.txt").write_text("\n".join(nine_k.keys))
        ternary = [max((at - 1) // 3, -1) if at else -1 for at in range(MILLION)]
        for name, parent in (
            ("million", ternary),
            ("star", [-1, *[0] * (MILLION - 1)]),
            ("chain", list(range(-1, DEEP - 1))),
        ):
            tree = WordTree([f"k{at}" for at in range(len(parent))], parent)
            tree.save(out / f"{name}.tree")
            tree.save(out / f"{name}.json")
        rows = [
            ("9,149 labels built, noun table included", "build", "labels.txt", 2.0, 1.0),
            ("9,418 labels built, noun table included", "build", "all.txt", 2.0, 1.0),
            ("9,418 nodes, .tree, .names and .labels", "load", "nine_k.tree", 0.05, 1.0),
            ("9,418 nodes, .json", "load", "nine_k.json", 0.05, 1.0),
        ]
        for name, what in (
            ("million", "1,000,000 nodes, three children each"),
            ("star", "1,000,000 nodes, a star"),
            ("chain", f"a chain {DEEP:,} deep"),
        ):
            rows += [
                (f"{what}, .tree and .names", "load", f"{name}.tree", 5.0, 1.0),
                (f"{what}, .json", "load", f"{name}.json", 5.0, 1.0),
                (f"{what}: loaded, and every question asked", "questions", f"{name}.tree", 10, 1.5),
            ]
        for what, task, file, most_seconds, most_memory in rows:
            seconds, memory = measure(task, out / file)
            over = seconds > most_seconds or memory > most_memory
            missed += over
            print(
                f"| {what} | {seconds:.3f} | {most_seconds:g} | {memory:.2f} | {most_memory:g} |"
                + (" MISSED" if over else ""),
                flush=True,
            )
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
