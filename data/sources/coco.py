"""Photos with boxes from a COCO annotation file and a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.sample import Kind
from data.sources.annotated_photos import AnnotatedPhotos, Exhaustive
from data.sources.categories import category_nodes
from data.sources.coco_file import read_coco_file

if TYPE_CHECKING:
    from wordtree import LabelMap, WordTree


class CocoSource(AnnotatedPhotos):
    """The images of a COCO file that are on disk, in the order of the file.

    image_ids: (n,), as the file has them; the other attributes are `AnnotatedPhotos`'s.

    A crowd, and an object whose category is null in the label map, is an ignore region; the latter
    has node -1. Boxes are made sane by the rules of `data.boxes`.
    """

    def __init__(
        self,
        annotations: str | Path,
        images: str | Path,
        *,
        tree: WordTree,
        label_map: LabelMap | None = None,
        kind: Kind = "boxed",
        name: str = "coco",
        exhaustive: Exhaustive = "source",
    ) -> None:
        """annotations: the JSON file; images: the folder its file names start from.

        label_map: the categories' names -> nodes; without one, each name must be a key of `tree`.
        kind: `boxed`; `label_only` takes the nodes of each photo's objects and forgets the boxes;
        `background` takes the images of a file without annotations.
        exhaustive: `source`, or `photo` where only a photo's own classes are completely boxed.
        Raises UserError for a file or folder that cannot be used.
        """
        file = read_coco_file(
            annotations, need_annotations=kind != "background", need_boxes=kind != "label_only"
        )
        categories = category_nodes(file.category_names, tree, label_map, annotations)
        # Row -1, an unknown category, reads the last entry.
        node = np.append(categories, -1)[file.category]
        # In place: COCO's x, y, width, height of millions of boxes need not be held twice.
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is dropped
            file.boxes[:, 2:] += file.boxes[:, :2]
        super().__init__(
            name=name,
            kind=kind,
            where=annotations,
            folder=images,
            file_names=file.file_names,
            image=file.image,
            node=node,
            ignore=file.crowd | (node < 0),
            boxes=file.boxes,
            sizes=file.sizes,
            categories=categories,
            exhaustive=exhaustive,
            lost=file.lost,
            problems=file.problems,
        )
        self.image_ids: NDArray[Any] = file.image_ids[self.rows]
