"""wordtree-predict: boxes with back-off labels for photos, folders and videos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.draw import write_jpeg
from data.images import PHOTO_ENDINGS, BrokenPhoto, read_image
from detector.evaluation.predictions_file import write_predictions
from detector.inference.predictor import Predictor
from tools.command import make_parser, run_command
from wordtree.errors import UserError

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
EXAMPLE = "wordtree-predict runs/latest photos/ dog.jpg --threshold 0.6 --out found"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = make_parser("wordtree-predict", __doc__, EXAMPLE)
    options.add_argument("run", help="a run folder, or RUN/weights/X")
    options.add_argument("inputs", nargs="+", help="photos, folders of photos, videos")
    options.add_argument("--out", help="folder of the pictures (default: RUN/predict)")
    add_inference_options(options)
    return options


def add_inference_options(options: argparse.ArgumentParser) -> None:
    """The options that every command which runs a network has."""
    options.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    options.add_argument(
        "--threshold", type=float, help="back-off: a deeper label needs a probability above this"
    )
    options.add_argument(
        "--objectness", type=float, help="rows with P(object) at or below this are dropped"
    )


def open_predictor(arguments: argparse.Namespace) -> Predictor:
    """The predictor of `arguments.run` with the inference options."""
    from tools.assemble import choose_device  # opens the sources too, which --help need not

    return Predictor.from_pretrained(
        arguments.run,
        device=choose_device(arguments.device),
        threshold=arguments.threshold,
        objectness=arguments.objectness,
    )


def out_folder(arguments: argparse.Namespace, name: str) -> Path:
    """`--out`, else RUN/`name`, also where `arguments.run` is RUN/weights/X."""
    run = Path(arguments.run)
    if not (run / "weights").is_dir():
        # A checkpoint's folder holds what its manifest lists, nothing else.
        run = run.resolve().parent.parent
    out = Path(arguments.out or run / name)
    out.mkdir(parents=True, exist_ok=True)
    return out


def frames(path: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Every frame of a video, RGB, with the name its picture gets."""
    import cv2

    video = cv2.VideoCapture(str(path))
    number = 0
    while True:
        good, frame = video.read()
        if not good:
            break
        yield f"{path.name}-{number:06d}", np.ascontiguousarray(frame[..., ::-1])
        number += 1
    video.release()
    if number == 0:
        raise UserError(f"{path} holds no frame that can be decoded; give another file.")


def unused(name: str, used: set[str]) -> str:
    """`name`, or name-2, name-3, ...: photos of two folders may share a name, pictures must not."""
    found, number = name, 1
    while found in used:
        number += 1
        found = f"{name}-{number}"
    used.add(found)
    return found


def images(inputs: list[str], broken: list[str]) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:
    """(file name, name for what is made of it, pixels) of every input.

    The second is the first, made different where photos share it. Broken photos of a folder go
    to `broken`. A missing input is found before the first is read.
    """
    used: set[str] = set()
    for name, pixels in _read(inputs, broken):
        yield name, unused(name, used), pixels


def _read(inputs: list[str], broken: list[str]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for text in inputs:
        if not Path(text).exists():
            raise UserError(f"{text} does not exist; give a photo, a folder of photos or a video.")
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in PHOTO_ENDINGS)
            if not inside:
                raise UserError(f"{path} holds no photo ({', '.join(sorted(PHOTO_ENDINGS))}).")
            for photo in inside:
                try:
                    yield str(photo.relative_to(path)).replace("/", "-"), read_image(photo)
                except BrokenPhoto as error:
                    broken.append(str(photo))
                    print(f"skipped {photo}: {error.reason}", file=sys.stderr)
        elif path.suffix.lower() in VIDEO_ENDINGS:
            yield from frames(path)
        else:
            try:
                yield path.name, read_image(path)
            except BrokenPhoto as error:
                raise UserError(f"{path} cannot be read: {error.reason}.") from error


def predict(arguments: argparse.Namespace) -> None:
    """Writes a picture an input, and predictions.json."""
    predictor = open_predictor(arguments)
    out = out_folder(arguments, "predict")
    records, broken, count = [], [], 0
    for name, picture, pixels in images(arguments.inputs, broken):
        found = predictor.predict(pixels)[0]
        write_jpeg(out / f"{picture}.jpg", found.draw(pixels))
        records += [{**record, "file_name": name} for record in found.to_coco(count)]
        labels = ", ".join(
            f"{label} {score:.2f}" for label, score in zip(found.names, found.scores, strict=True)
        )
        print(f"{name}: {labels or _nothing(predictor, pixels)}")
        count += 1
    write_predictions(out / "predictions.json", records)
    skipped = f", {len(broken)} broken photos skipped" if broken else ""
    print(f"{count} pictures and predictions.json in {out}{skipped}")


def _nothing(predictor: Predictor, pixels: NDArray[np.uint8]) -> str:
    """What is said where no row passes: the best one, so that a young network is not a riddle."""
    best = predictor.best_candidate(pixels)
    return (
        f"nothing found above objectness {predictor.objectness:g}; the best candidate is "
        f"{best.names[0]} {best.scores[0]:.2f}, --objectness lowers the bar"
    )


def main() -> int:
    """The console script."""
    return run_command(lambda: predict(parser().parse_args()))


if __name__ == "__main__":
    sys.exit(main())
