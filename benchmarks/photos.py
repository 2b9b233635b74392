"""What a run on photos found where only label-only photos told it what things are.

  WORDTREE_DATA=FOLDER python train.py experiment=photos run_dir=runs/photos
  WORDTREE_DATA=FOLDER python benchmarks/photos.py runs/photos

Photos of 37 classes with boxes of their own class (`imagenet_boxes`), none of which was trained on:
AP50, and CorLoc beside two boxes that need no network, the whole photo and its middle. Lines of
Markdown; the figures on the validation photos stand in the run's own report.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from data.root import data_path
from data.sources.coco import CocoSource
from detector.evaluation.ap import average_precision
from detector.evaluation.corloc import corloc_hits
from detector.evaluation.truth import Scored, Truths
from detector.inference.predictor import Predictor
from detector.training.validate import validate
from tools import assemble
from tools.run_folder import CONFIG

FOLDER = "imagenet_boxes"
Boxes = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def whole_photo(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """sizes: (n, 2), height and width -> boxes (n, 4) xyxy of the whole photos."""
    return np.concatenate([np.zeros_like(sizes), sizes[:, ::-1]], 1)


def middle(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """sizes: (n, 2) -> boxes (n, 4) xyxy of 70 % of each side, centred."""
    return whole_photo(sizes) * 0.7 + np.tile(sizes[:, ::-1], 2) * 0.15


BASELINES: dict[str, Boxes] = {
    "whole photo": whole_photo,
    "centre box, 70 % of each side": middle,
}


def one_box(truths: Truths, boxes: Boxes) -> Scored:
    """The box of a baseline for every pair of photo and class that is there."""
    pairs = np.unique(np.stack([truths.image, truths.node], 1), axis=0)
    box = boxes(truths.sizes.astype(np.float64))[pairs[:, 0]].astype(np.float32)
    return Scored(pairs[:, 0], pairs[:, 1], np.ones(len(pairs), np.float32), box)


def shares(truths: Truths, scored: Scored, boxed: NDArray[np.int64]) -> str:
    """CorLoc over photos: of all classes, of those with boxes in training, of the others."""
    nodes, hits = corloc_hits(truths, scored)
    with_boxes = np.isin(nodes, boxed)
    halves = (hits, hits[with_boxes], hits[~with_boxes])
    return " | ".join(f"{half.mean():.3f}" if len(half) else "–" for half in halves)


def main() -> None:
    """Prints the table of one run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("run", type=Path)
    given = options.parse_args()
    predictor = Predictor.from_pretrained(given.run)
    tree = predictor.tree
    config = yaml.safe_load((given.run / CONFIG).read_text())
    torch.set_num_threads(config["threads"])
    nodes_boxed = assemble.boxed_nodes(assemble.make_sources(config, tree)[0])
    source = CocoSource(
        data_path(f"{FOLDER}/boxes.json"),
        data_path(FOLDER),
        tree=tree,
        name=FOLDER,
        exhaustive="photo",
    )
    found = validate(
        predictor.detector,
        tree,
        source,
        image_size=predictor.image_size,
        device=predictor.device,
        threshold=predictor.threshold,
        objectness=predictor.objectness,
    )
    assert found is not None
    truths = found.truths
    ap = average_precision(tree, truths, found.scored, nodes_boxed=nodes_boxed)
    # As AP's halves: a class has boxes where it or a class below it had some.
    boxed = ap.nodes[ap.boxed]
    print(f"{len(truths)} photos, {len(ap.nodes)} classes, {len(boxed)} of them with boxes")
    print("| CorLoc at IoU .5 | all | classes with boxes | classes without |\n|---|---|---|---|")
    print(f"| {given.run.name} | {shares(truths, found.scored, boxed)} |")
    for name, boxes in BASELINES.items():
        print(f"| {name} | {shares(truths, one_box(truths, boxes), boxed)} |")
    means = ap.means("ap50")
    shown = ["–" if v is None else f"{v:.3f}" for v in means.values()]
    print(f"\n| AP50 | {' | '.join(means)} |\n|---|---|---|---|\n| {given.run.name} |", end=" ")
    print(f"{' | '.join(shown)} |")


if __name__ == "__main__":
    main()
