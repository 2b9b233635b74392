"""Photos with boxes in the layout of YOLO: a `data.yaml`, and a text file of labels a photo.

The label file of a photo is found by its path: the last `/images/` in it becomes `/labels/` (where
there is none it lies beside the photo), and its ending `.txt`. Its numbers are fractions of the
photo's width and height, for which boxed photos are opened. An empty label file says that the photo
shows no object; a label file that is missing says nothing, and the user decides what that means.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from data.sample import Kind
from data.sources.annotated_photos import AnnotatedPhotos, Exhaustive
from data.sources.categories import category_nodes
from data.sources.file_index import Problems
from data.sources.progress import told
from data.sources.yolo_labels import Corners, label_path, read_labels
from data.sources.yolo_yaml import list_photos, read_data_yaml
from wordtree.errors import UserError

if TYPE_CHECKING:
    from wordtree import LabelMap, WordTree

Unlabelled = Literal["skip", "background", "refuse"]
# No fraction, however the object is cut by the photo's edge.
_PIXELS = 2.0
_SCORED = "that look like predictions with a confidence"


class YoloSource(AnnotatedPhotos):
    """The photos of one split of a data.yaml, in the order of its lists; folders by path.

    Attributes are `AnnotatedPhotos`'s. An object of a class that data.yaml lacks, or that is null
    in the label map, is an ignore region.
    """

    def __init__(
        self,
        yaml: str | Path,
        *,
        tree: WordTree,
        split: str = "train",
        folder: str | Path | None = None,
        label_map: LabelMap | None = None,
        kind: Kind = "boxed",
        name: str = "yolo",
        unlabelled: Unlabelled = "skip",
        exhaustive: Exhaustive = "source",
    ) -> None:
        """yaml: the data.yaml. split: its key `train`, `val` or `test`.

        folder: what its paths start from; its own `path` where None.
        label_map: the classes' names -> nodes; without one, each name must be a key of `tree`.
        unlabelled: what a photo without a label file is: left out and counted (`skip`), a photo
        without objects (`background`), or a mistake (`refuse`).
        Raises UserError for a file or folder that cannot be used.
        """
        if unlabelled not in ("skip", "background", "refuse"):
            raise UserError(
                f"{yaml} has unlabelled={unlabelled}; choose skip, background or refuse"
            )
        content = read_data_yaml(yaml)
        nodes = category_nodes(content.names.values(), tree, label_map, yaml)
        problems = Problems()
        root, photos = list_photos(content, split, folder, problems)
        kept, image, classes, corners, lost = _read(
            yaml,
            photos,
            "background" if kind == "background" else unlabelled,
            problems,
            needed=kind != "background",
            key_points=content.key_points,
        )
        boxes = np.array(corners, np.float64).reshape(-1, 4)
        if kind != "label_only":
            _refuse_pixels(yaml, boxes, [photos[kept[row]] for row in image[:1]])
        row_of = {number: row for row, number in enumerate(content.names)}
        rows = np.array([row_of.get(number, -1) for number in classes], np.int64)
        for at in np.flatnonzero(rows < 0):
            problems.add(
                "objects of a class that data.yaml lacks (now ignore regions)",
                f"{label_path(photos[kept[image[at]]])} class {classes[at]}",
            )
        node = np.append(nodes, -1)[rows]
        start = root.rstrip("/") + "/"
        super().__init__(
            name=name,
            kind=kind,
            where=yaml,
            folder=root,
            file_names=[photos[at].removeprefix(start) for at in kept],
            image=np.array(image, np.int64),
            node=node,
            ignore=node < 0,
            boxes=boxes,
            categories=nodes,
            exhaustive=exhaustive,
            fractions=True,
            lost=lost,
            problems=problems,
        )


def _read(
    yaml: str | Path,
    photos: list[str],
    unlabelled: Unlabelled,
    problems: Problems,
    *,
    needed: bool,
    key_points: bool,
) -> tuple[list[int], list[int], list[int], list[Corners], list[int]]:
    """Which photos are kept, of each object the place of its photo among these, its class and its
    corners, and the places of photos with lines that are no object. needed: without any label file
    there is nothing to learn from."""
    kept: list[int] = []
    image: list[int] = []
    classes: list[int] = []
    corners: list[Corners] = []
    lost: list[int] = []
    what = "taken as background" if unlabelled == "background" else "left out"
    missing = 0
    with told(f"reading the label files of {yaml}", len(photos)) as advance:
        for at, photo in enumerate(photos):
            advance(1)
            place = label_path(photo)
            try:
                file = read_labels(place, key_points=key_points)
            except OSError as error:
                problems.add("label files that cannot be read", f"{place}: {error.strerror}")
                continue
            if file is None:
                missing += 1
                if needed:
                    problems.add(f"photos without a label file: {what}", photo)
                if unlabelled == "background":
                    kept.append(at)
                continue
            for line in file.wrong:
                problems.add("label lines that are no object", f"{place} line {line}")
            for line in file.scored:
                problems.add(f"label lines {_SCORED}", f"{place} line {line}")
            if file.wrong or file.scored:
                lost.append(len(kept))
            image += [len(kept)] * len(file.classes)
            classes += file.classes
            corners += file.corners
            kept.append(at)
    if missing == len(photos) and needed:
        raise UserError(
            f"none of the {missing} photos of {yaml} has a label file (the first would be "
            f"{label_path(photos[0])}); correct the layout, or declare them background"
        )
    if missing and unlabelled == "refuse":
        raise UserError(
            f"{yaml} has {problems}; make label files (empty ones for photos without objects), or "
            "choose unlabelled=skip or background"
        )
    return kept, image, classes, corners, lost


def _refuse_pixels(yaml: str | Path, boxes: NDArray[np.float64], first: list[str]) -> None:
    finite = boxes[np.isfinite(boxes).all(1)]
    if len(finite) and (np.abs(finite) > _PIXELS).any(1).mean() > 0.5:
        raise UserError(
            f"the label files of {yaml} have pixels (the first is {label_path(first[0])}), but "
            "YOLO's are fractions; divide them by the photos' width and height"
        )
