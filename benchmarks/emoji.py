"""The table of the embedded demo: one row, one training run, from the same seed and steps.

  python benchmarks/emoji.py --row flat --seed 0
  python benchmarks/emoji.py --row all

Rows: flat (the demo's default), siblings (the paper's classifier), paper (the paper's weak rule on
single label-only photos, its floor of .3, siblings), boxed_only (the boxed images alone), and
boxes_for_all (every class has boxes: the upper bound). Each prints one line of Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SINGLE = [
    "mixture.grids=[{rows: 1, columns: 1, weight: 1.0}]",
    "mixture.ratio=1.0",
]
ROWS: dict[str, tuple[str, list[str]]] = {
    "flat": ("ours: mixed mosaics, flat classifier", []),
    "siblings": ("the same, sibling softmax (the paper's classifier)", ["classifier=siblings"]),
    "paper": (
        "the paper's weak rule: single photos, objectness x P(path), floor .3, sibling softmax",
        [
            *SINGLE,
            "classifier=siblings",
            "loss.policy=paper",
            "loss.rule_options={k: null, floor: 0.0, rows_per_label: 1, agree_iou: 0.65}",
            "+data.train.tiles.weight=0",
        ],
    ),
    "boxed_only": (
        "boxed images alone",
        ["mixture.ratio=0.0", "+data.train.photos.weight=0"],
    ),
    "boxes_for_all": (
        "boxes for all classes (upper bound)",
        [
            "mixture.ratio=0.0",
            "+data.train.photos.weight=0",
            "data.train.scenes.nodes=all",
            "data.train.tiles.nodes=all",
        ],
    ),
}


def run(row: str, seed: int, out: Path, extra: list[str]) -> str:
    """Trains one row and gives its line of the table."""
    title, overrides = ROWS[row]
    folder = out / f"{row}-{seed}"
    command = [sys.executable, "train.py", "experiment=emoji", f"seed={seed}"]
    command += [f"run_dir={folder}", *overrides, *extra]
    environment = {"OMP_NUM_THREADS": str(os.cpu_count()), **os.environ}
    subprocess.run(command, cwd=PROJECT, check=True, env=environment)
    report = json.loads((folder / "report.json").read_text())
    ap50 = report["ap50"]

    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    return (
        f"| {title} | {seed} | {shown(ap50['boxed'])} | {shown(ap50['label_only'])} | "
        f"{report['steps']} | {report['seconds']:.0f} s |"
    )


def main() -> None:
    """Runs what was asked for; the table's lines come last."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--row", required=True, choices=[*ROWS, "all"])
    options.add_argument("--seed", type=int, nargs="+", default=[0])
    options.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    options.add_argument("overrides", nargs="*", help="more key=value, for every row")
    given = options.parse_args()
    rows = list(ROWS) if given.row == "all" else [given.row]
    lines = [run(row, seed, given.out, given.overrides) for row in rows for seed in given.seed]
    print("| what | seed | AP50, boxed classes | AP50, classes without boxes | steps | training |")
    print("|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
