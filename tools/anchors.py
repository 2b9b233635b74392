"""wordtree-anchors: priors from a data set's boxes, by k-means with 1 - IoU on centred shapes.

Boxes are those of an experiment's boxed sources (or of a COCO file), letterboxed to the network's
input; with --augmented, as training crops them and pastes them into mosaics.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.anchors import average_iou, kmeans_anchors
from tools.command import make_parser, run_command
from wordtree import UserError
from wordtree.formats.text import write_text

EXAMPLE = """wordtree-anchors photos image_size=320
wordtree-anchors photos -k 5 --augmented
wordtree-anchors --coco instances_train2017.json --image-size 416 --most 12"""
MOST_BOXES = 20_000  # that k-means looks at; the average IoU is that of all
OWN = "the config's own"
USUAL = 5  # priors where nobody says how many: YOLOv2's trade of recall for cost

# Priors picked by others, as parts of the input's side. Darknet's stand in cells of 32 pixels, in
# inputs of these sides.
BESIDE: dict[str, NDArray[np.float64]] = {
    "darknet, yolo9000.cfg": np.array([(0.77871, 1.14074), (3.00525, 4.31277), (9.22725, 9.61974)])
    / (544 / 32),
    "darknet, yolov2.cfg (COCO)": np.array(
        [
            (0.57273, 0.677385),
            (1.87446, 2.06253),
            (3.33843, 5.47434),
            (7.88282, 3.52778),
            (9.77052, 9.16828),
        ]
    )
    / (608 / 32),
    "darknet, yolov2-voc.cfg": np.array(
        [
            (1.3221, 1.73145),
            (3.19275, 4.00944),
            (5.05587, 8.09892),
            (9.47112, 4.84053),
            (11.2364, 10.0071),
        ]
    )
    / (416 / 32),
    # Faster R-CNN: areas of 128, 256 and 512 pixels squared, ratios 1:2, 1:1, 2:1, in a photo of
    # 4:3 whose shorter side is 600 pixels, so 800 the longer.
    "hand-picked, Faster R-CNN": np.array(
        [
            (side / 800 / ratio**0.5, side / 800 * ratio**0.5)
            for side in (128, 256, 512)
            for ratio in (0.5, 1.0, 2.0)
        ]
    ),
}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = make_parser("wordtree-anchors", __doc__, EXAMPLE)
    options.add_argument("run", nargs="?", help="a run folder or an experiment (conf/experiment)")
    options.add_argument(
        "changes", nargs="*", metavar="key=value", help="changes of an experiment, as for train.py"
    )
    options.add_argument("--coco", metavar="FILE", help="a COCO file instead of an experiment")
    options.add_argument(
        "--image-size", type=int, help="side of the input in pixels, with --coco (416)"
    )
    options.add_argument(
        "--augmented", action="store_true", help="boxes as the training stream shows them"
    )
    options.add_argument("--inputs", type=int, default=500, help="inputs of the stream (500)")
    options.add_argument("-k", type=int, help="this many priors alone (default: 1 to --most)")
    options.add_argument("--most", type=int, default=9, help="the largest number of priors (9)")
    options.add_argument("--seed", type=int, default=0, help="of the k-means starts (0)")
    options.add_argument("--starts", type=int, default=10, help="starts, the best one wins (10)")
    options.add_argument("--out", help="folder (default: anchors/NAME)")
    return options


def run(arguments: argparse.Namespace) -> None:
    """Prints a table and the line to paste; writes anchors.json and anchors.png."""
    _check(arguments)
    name, sizes, image_size, own, how = _boxes(arguments)
    if not len(sizes):
        raise UserError(f"{name} has no boxes that priors could be made from; name a boxed source")
    print(f"{len(sizes):,} boxes of {name}, {how}, in an input of {image_size} pixels", flush=True)
    beside = {text: anchors * image_size for text, anchors in BESIDE.items()}
    if own is not None:
        beside = {OWN: own, **beside}
    rows_beside = [_row(text, priors, sizes) for text, priors in beside.items()]
    for row in rows_beside:
        _tell(row)
    rows = []
    numbers = [arguments.k] if arguments.k else range(1, arguments.most + 1)
    for priors in found_priors(sizes, numbers, seed=arguments.seed, starts=arguments.starts):
        rows.append(_row("k-means", priors, sizes))
        _tell(rows[-1])
    out = Path(arguments.out or Path("anchors") / Path(name).stem)
    record = {
        "boxes": len(sizes),
        "of": name,
        "how": how,
        "image_size": image_size,
        "seed": arguments.seed,
        "starts": arguments.starts,
        "priors": rows,
        "beside": rows_beside,
    }
    write_text(out / "anchors.json", json.dumps(record, indent=1) + "\n")
    wanted = arguments.k or (len(own) if own is not None else USUAL)
    chosen = next((row for row in rows if row["k"] == wanted), rows[-1])

    from tools.anchors_plot import write_plot

    write_plot(out / "anchors.png", sizes, rows, rows_beside, chosen, image_size=image_size)
    print(f"{out}/anchors.json and {out}/anchors.png written")
    print(f"for {chosen['k']} priors: '{override(chosen['anchors'])}'")


def found_priors(
    sizes: NDArray[np.float64], numbers: Iterable[int], *, seed: int, starts: int
) -> Iterator[NDArray[np.float64]]:
    """The priors for each number, in pixels to a tenth; of more than MOST_BOXES boxes a seeded
    part is looked at. Ends where there are fewer distinct sizes than priors, with UserError if
    that is so from the first."""
    part = sizes
    if len(sizes) > MOST_BOXES:
        rows = np.random.default_rng(seed).choice(len(sizes), MOST_BOXES, replace=False)
        part = sizes[np.sort(rows)]
    distinct = len(np.unique(part, axis=0))
    for place, k in enumerate(numbers):
        if place and k > distinct:
            return
        yield kmeans_anchors(part, k, seed=seed, starts=starts).round(1)


def override(anchors: list[list[float]]) -> str:
    """What is pasted behind train.py, or into a config."""
    pairs = ",".join(f"[{width:g},{height:g}]" for width, height in anchors)
    return f"network.anchors=[{pairs}]"


def _check(arguments: argparse.Namespace) -> None:
    if bool(arguments.run) == bool(arguments.coco):
        raise UserError(
            "wordtree-anchors needs an experiment's name, a run folder, or --coco FILE, and one of "
            "them alone"
        )
    if arguments.coco and arguments.augmented:
        raise UserError("--augmented needs an experiment, whose augmentation it takes, not --coco")
    if arguments.run and arguments.image_size:
        raise UserError(
            f"--image-size goes with --coco; here give image_size={arguments.image_size}"
        )
    least = {"k": 1, "most": 1, "starts": 1, "inputs": 1, "seed": 0, "image_size": 32}
    for option, low in least.items():
        value = getattr(arguments, option)
        if value is not None and value < low:
            flag = "-k" if option == "k" else f"--{option.replace('_', '-')}"
            raise UserError(f"{flag} {value} is out of range; give {low} or more")


def _boxes(
    arguments: argparse.Namespace,
) -> tuple[str, NDArray[np.float64], int, NDArray[np.float64] | None, str]:
    """A name, sizes (n, 2), the input's side, the config's own anchors, and how boxes were got."""
    from tools.box_sizes import sizes_of_file, sizes_of_sources, sizes_of_stream

    if arguments.coco:
        side = arguments.image_size or 416
        return arguments.coco, sizes_of_file(arguments.coco, side), side, None, "letterboxed"
    from tools import assemble
    from tools.show_data import read_config

    config: dict[str, Any] = read_config(arguments.run, arguments.changes)[0]
    tree, _ = assemble.make_tree(config)
    sources, _ = assemble.make_sources(config, tree)
    side, own = config["image_size"], np.array(config["network"]["anchors"], np.float64)
    # What is drawn while training has no size of its own that could be letterboxed.
    if arguments.augmented or config["data"]["drawn"]:
        stream = assemble.make_stream(config, sources)
        sizes = sizes_of_stream(stream, arguments.inputs)
        return config["name"], sizes, side, own, f"as {arguments.inputs} training inputs show them"
    return config["name"], sizes_of_sources(sources.values(), side), side, own, "letterboxed"


def _tell(row: Mapping[str, Any]) -> None:
    anchors = " ".join(f"{width:g}x{height:g}" for width, height in row["anchors"])
    width = max(map(len, (*BESIDE, OWN)))
    text = f"{row['name']:{width}}  {row['k']:2}  average IoU {row['average_iou']:.4f}  {anchors}"
    print(text, flush=True)


def _row(name: str, anchors: NDArray[np.float64], sizes: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "name": name,
        "k": len(anchors),
        "average_iou": round(average_iou(sizes, anchors), 4),
        "anchors": np.round(anchors, 1).tolist(),
    }


def main() -> int:
    """The console script."""
    return run_command(lambda: run(parser().parse_intermixed_args()))


if __name__ == "__main__":
    sys.exit(main())
