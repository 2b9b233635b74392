"""Widths and heights of the boxes that a network will see, in pixels of its input."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.boxes import sane_boxes
from data.images import BrokenPhoto, read_size
from data.letterbox import Letterbox
from data.loader import Stream
from data.sources import Source
from data.sources.coco_file import read_coco_file
from data.sources.progress import told
from wordtree import UserError

Sizes = NDArray[np.float64]


def sizes_of_file(path: str | Path, image_size: int) -> Sizes:
    """(n, 2) of a COCO file's boxes, each photo letterboxed to a square of `image_size`; crowds
    are left out. UserError where the file does not state the sizes of its photos."""
    file = read_coco_file(path)
    without = (file.sizes <= 0).any(1)
    if without.any():
        raise UserError(
            f"{path} does not state width and height of {file.file_names[int(without.argmax())]}; "
            "add them, or name an experiment, whose photos are looked at"
        )
    kept = ~file.crowd
    corners = np.concatenate([file.boxes[:, :2], file.boxes[:, :2] + file.boxes[:, 2:]], 1)[kept]
    photos = file.sizes[file.image[kept]]
    sane = sane_boxes(corners, photos)
    return _letterboxed(sane.boxes, photos[sane.kept], image_size)


def sizes_of_sources(sources: Iterable[Source], image_size: int) -> Sizes:
    """(n, 2) of all boxes of the boxed sources, each photo letterboxed to a square of
    `image_size`; ignore regions are left out. Photos are read only where their size or boxes are
    not known without; broken ones are named and skipped."""
    found = [np.zeros((0, 2))]
    for source in sources:
        if source.kind != "boxed":
            continue
        with told(f"looking at the boxes of {source.name}", len(source)) as advance:
            for index in range(len(source)):
                advance(1)
                try:
                    boxes, size = _truth(source, index)
                except BrokenPhoto as error:
                    print(f"skipped {error.path}: {error.reason}", file=sys.stderr)
                    continue
                found.append(_letterboxed(boxes, np.tile(size, (len(boxes), 1)), image_size))
    return np.concatenate(found)


def sizes_of_stream(stream: Stream, inputs: int) -> Sizes:
    """(n, 2) of the truths in the first inputs of the training stream: cropped, scaled and pasted
    into mosaics as they will be. Broken photos are named."""
    found = [np.zeros((0, 2))]
    with told("drawing inputs", inputs) as advance:
        for position in range(inputs):
            one = stream[position]
            advance(1)
            for path, reason in one.broken:
                print(f"skipped {path}: {reason}", file=sys.stderr)
            for sample in one.samples:
                boxes = sample.boxes[~sample.ignore].astype(np.float64)
                found.append(boxes[:, 2:] - boxes[:, :2])
    sizes = np.concatenate(found)
    return sizes[(sizes > 0).all(1)]


def _truth(source: Any, index: int) -> tuple[NDArray[Any], tuple[int, int]]:
    """Boxes of a photo, ignore regions left out, and its (height, width)."""
    if not hasattr(source, "sizes"):
        sample = source.read(index)
        return sample.boxes[~sample.ignore], sample.image.shape[:2]
    boxes, _, ignore = source.truth(index)
    stated = source.sizes[index]
    height, width = stated if (stated > 0).all() else read_size(source.path(index))
    return boxes[~ignore], (int(height), int(width))


def _letterboxed(boxes: NDArray[Any], photos: NDArray[Any], image_size: int) -> Sizes:
    """Widths and heights of boxes (n, 4) of photos of these sizes (n, 2: height, width)."""
    shapes, which = np.unique(photos.reshape(-1, 2).astype(np.int64), axis=0, return_inverse=True)
    square = (image_size, image_size)
    fits = [Letterbox.fit((int(height), int(width)), square) for height, width in shapes]
    # (horizontal, vertical), the order of widths and heights.
    scales = np.array([fit.scales[::-1] for fit in fits], np.float64).reshape(-1, 2)
    given = boxes.astype(np.float64)
    return (given[:, 2:] - given[:, :2]) * scales[which.reshape(-1)]
