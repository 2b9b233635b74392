"""What several processes give, and what they send each other at every step.

  python benchmarks/ranks.py --steps 100 --rounds 3    images a second, on two cores
  python benchmarks/ranks.py --bytes                   bytes of gradients by network and tree

The first trains experiment=emoji by one process of one thread, two processes of one thread each
(torchrun, gloo) and one process of two threads, in turn, and prints the median, and the range, of
the images a second that the runs report. The second builds each network on trees of several sizes
and counts: nothing of it is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
WAYS = {
    "one process, one thread": (1, 1),
    "two processes, one thread each": (2, 1),
    "one process, two threads": (1, 2),
}
NODES = (351, 1369, 9418, 21842)  # the demo's tree, ILSVRC's, darknet's 9k, all of ImageNet
NETWORKS = ("narrow", "efficientnet_lite0", "darknet19")


def speed(processes: int, threads: int, steps: int) -> float:
    """Images a second of one short run."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        given = ["experiment=emoji", f"steps={steps}", "evaluate_every=0", "workers=0"]
        given += [f"threads={threads}", f"run_dir={folder}", "precision=float32"]
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        subprocess.run(
            [sys.executable, *(launcher if processes > 1 else []), "train.py", *given],
            cwd=PROJECT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"},
            check=True,
            capture_output=True,
        )
        return float(json.loads((folder / "report.json").read_text())["images_per_second"])


def measure(steps: int, rounds: int) -> None:
    """Prints the table of all ways; they take turns, so that a busy moment meets each."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, (processes, threads) in WAYS.items():
            found[way].append(speed(processes, threads, steps))
            print(f"{way}: {found[way][-1]:.1f}", file=sys.stderr, flush=True)
    first = statistics.median(found["one process, one thread"])
    print("| training of experiment=emoji | images/s, median | range | times |")
    print("|---|---|---|---|")
    for way, values in found.items():
        middle = statistics.median(values)
        print(
            f"| {way} | {middle:.1f} | {min(values):.1f} to {max(values):.1f} | "
            f"{middle / first:.2f} |"
        )


def count_bytes() -> None:
    """Prints the bytes of gradients that every rank adds up with the others at every step."""
    print("| network | " + " | ".join(f"{n:,} nodes" for n in NODES) + " | of it without classes |")
    print("|---|" + "---|" * (len(NODES) + 1))
    for name in NETWORKS:
        cells, rest = [], 0
        for nodes in NODES:
            classes, rest = _bytes(name, nodes)
            cells.append(f"{(classes + rest) / 1e6:.1f} MB")
        print(f"| {name} | {' | '.join(cells)} | {rest / 1e6:.1f} MB |")


def _bytes(name: str, nodes: int) -> tuple[int, int]:
    """Bytes of float32 gradients: of the class weights, and of all else that is not frozen."""
    import torch

    from detector.network.detector import Detector
    from tools.config import compose_config
    from wordtree import WordTree

    network: dict[str, Any] = compose_config([f"network={name}"])["network"]
    options = {k: v for k, v in network["backbone_options"].items() if k != "pretrained"}
    tree = WordTree([f"k{i}" for i in range(nodes)], [-1] * nodes)
    with torch.device("meta"):  # shapes alone
        whole = Detector(tree, **{**network, "backbone_options": options})
    classes = sum(p.numel() for p in (*whole.head.class_weight, *whole.head.class_bias))
    trained = sum(p.numel() for p in whole.parameters() if p.requires_grad)
    return 4 * classes, 4 * (trained - classes)


def main() -> None:
    """Runs what was asked for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--bytes", action="store_true")
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    if given.bytes:
        count_bytes()
    else:
        measure(given.steps, given.rounds)


if __name__ == "__main__":
    main()
