"""wordtree-explain: where the network looked for each detection of a photo (Grad-CAM)."""

from __future__ import annotations

import argparse
import sys

from data.draw import write_jpeg
from detector.explain import explain
from tools.command import make_parser, run_command
from tools.predict import add_inference_options, images, open_predictor, out_folder

PICTURE_SIDE = 384  # pixels; the overlay of a smaller photo is enlarged to about this
EXAMPLE = "wordtree-explain runs/latest dog.jpg --node animal"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = make_parser("wordtree-explain", __doc__, EXAMPLE)
    options.add_argument("run", help="a run folder, or RUN/weights/X")
    options.add_argument("inputs", nargs="+", help="photos, folders of photos, videos")
    options.add_argument("--out", help="folder of the pictures (default: RUN/explain)")
    options.add_argument("--node", help="explain this node (key or name), not the returned one")
    options.add_argument("--layer", default="neck", help="module whose map is used, e.g. neck")
    options.add_argument("--most", type=int, default=8, help="detections a photo, best first")
    add_inference_options(options)
    return options


def run(arguments: argparse.Namespace) -> None:
    """Writes one overlay a detection; without detections one for the best candidate."""
    predictor = open_predictor(arguments)
    node = predictor.tree[arguments.node].index if arguments.node else None
    out = out_folder(arguments, "explain")
    broken: list[str] = []
    for name, picture, pixels in images(arguments.inputs, broken):
        found = predictor.predict(pixels)[0]
        if len(found) == 0:
            print(f"{name}: nothing above the thresholds; explaining the best candidate")
            found = predictor.best_candidate(pixels)
        explained = explain(
            predictor,
            pixels,
            found,
            node=node,
            layer=arguments.layer,
            most=arguments.most,
            enlarge=max(1, round(PICTURE_SIDE / max(pixels.shape[:2]))),
        )
        for number, one in enumerate(explained):
            path = out / f"{picture}-{number}.jpg"
            write_jpeg(path, one.overlay)
            print(f"{path}: {one.text}")


def main() -> int:
    """The console script."""
    return run_command(lambda: run(parser().parse_args()))


if __name__ == "__main__":
    sys.exit(main())
