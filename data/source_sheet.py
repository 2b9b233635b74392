"""Photos of a source as a person should see them before training, with what is known of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.draw import UNKNOWN, Picture, contact_sheet, draw_regions
from data.draw_truths import draw_labels, draw_truths
from data.images import BrokenPhoto
from data.sample import Sample
from data.sources import Source
from wordtree import WordTree
from wordtree.errors import UserError

_SIDE = 400  # pixels of a photo's longer side on a sheet: with four columns, a screen's width


def sheet_of(
    source: Source,
    tree: WordTree,
    *,
    photos: int,
    size: tuple[int, int],
    broken: list[tuple[str, str]],
    columns: int = 4,
) -> Picture:
    """A contact sheet of photos spread evenly over a source, as it reads them.

    size: (height, width) at which a source that draws its photos draws them. Photos that cannot be
    read are added to `broken` as (path, reason), and the next of the source takes their place;
    UserError where none can be read.
    """
    samples = spread_photos(source, photos, size=size, broken=broken)
    return contact_sheet(
        [picture_of_sample(sample, tree) for sample in samples],
        columns=columns,
        captions=[caption(sample) for sample in samples],
    )


def spread_photos(
    source: Source, photos: int, *, size: tuple[int, int], broken: list[tuple[str, str]]
) -> list[Sample]:
    """At most `photos` photos of a source, spread evenly, in its order, none twice."""
    count = len(source)
    starts = np.arange(min(photos, count)) * count // max(1, min(photos, count))
    samples: list[Sample] = []
    for start, stop in zip(starts.tolist(), [*starts.tolist()[1:], count], strict=True):
        for index in range(start, stop):
            try:
                samples.append(source.read(index, size=size))
                break
            except BrokenPhoto as error:
                broken.append((error.path, error.reason))
    if not samples:
        raise UserError(
            f"none of the {count} photos of source {source.name} can be read; the last was "
            f"{broken[-1][0]}: {broken[-1][1]}"
        )
    return samples


def caption(sample: Sample) -> str:
    """Source, number and file of a photo."""
    file = Path(sample.path).name
    # The path of a photo that was drawn ends with its number.
    return f"{sample.source} {sample.index}" + (f": {file}" if file != str(sample.index) else "")


def picture_of_sample(sample: Sample, tree: WordTree, *, side: int = _SIDE) -> Picture:
    """The photo on a white square of `side` pixels, as large as it fits, with its boxes, or with
    an outline and its photo-level labels."""
    height, width = sample.image.shape[:2]
    factor = side / max(height, width)
    new = max(1, round(width * factor)), max(1, round(height * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    left, top = (side - new[0]) // 2, (side - new[1]) // 2
    # A square for all, so that all letters have one size, and labels of thin photos have room.
    picture = np.full((side, side, 3), 255, np.uint8)
    picture[top : top + new[1], left : left + new[0]] = cv2.resize(
        sample.image, new, interpolation=how
    )
    scale = np.array([new[0] / width, new[1] / height] * 2)
    region = np.array([left, top, left + new[0], top + new[1]])
    boxes = sample.boxes * scale + [left, top, left, top]
    picture = draw_truths(picture, boxes, sample.nodes, sample.ignore, tree)
    if sample.kind == "label_only":
        return draw_labels(picture, region, sample.labels, tree)
    if sample.kind == "background":
        return draw_regions(picture, [region], ["background"], [UNKNOWN])
    return picture
