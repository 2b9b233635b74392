"""Photos with boxes from a COCO annotation file and a folder of images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from data.boxes import sane_boxes
from data.images import BrokenPhoto, read_image
from data.sample import Kind, Sample
from data.sources.coco_file import CocoFile, read_coco_file
from data.sources.file_index import FileIndex, Problems, nearest
from wordtree.errors import UserError

if TYPE_CHECKING:
    from wordtree import LabelMap, WordTree


class CocoSource:
    """The images of a COCO file that are on disk, in the order of the file.

    image_ids: (n,), as the file has them. sizes: int64 (n, 2), height and width as the file states
    them, 0 where it does not. nodes: int64, ascending, all nodes that its categories stand for; a
    boxed photo is exhaustive for these. labelled_nodes: those of them that occur. problems: what
    was left out or set right, counted, with examples.

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
        exhaustive: Literal["source", "photo"] = "source",
    ) -> None:
        """annotations: the JSON file; images: the folder its file names start from.

        label_map: the categories' names -> nodes; without one, each name must be a key of `tree`.
        kind: `boxed`; `label_only` takes the nodes of each photo's objects and forgets the boxes;
        `background` takes the images of a file without annotations.
        exhaustive: `source`, or `photo` where only a photo's own classes are completely boxed.
        Raises UserError for a file or folder that cannot be used.
        """
        self.name, self.kind, self._own_classes = name, kind, exhaustive == "photo"
        self._folder = str(images)
        file = read_coco_file(annotations, need_annotations=kind != "background")
        if kind == "background" and len(file.image):
            raise UserError(
                f"{annotations} is declared background but has {len(file.image)} annotations; "
                "declare it boxed or label_only"
            )
        self.problems: Problems = file.problems
        category_nodes = _category_nodes(file.category_names, tree, label_map, annotations)
        self.nodes: NDArray[np.int64] = np.unique(category_nodes[category_nodes >= 0])
        # Row -1, an unknown category, reads the last entry.
        nodes = np.append(category_nodes, -1)[file.category]
        ignore = file.crowd | (nodes < 0)
        boxes, kept = self._sane(file)
        image, nodes, ignore = file.image[kept], nodes[kept], ignore[kept]

        photos = self._on_disk(file, annotations)
        if kind == "label_only":
            photos = self._labelled(photos, image[~ignore], file)
        order = np.argsort(image, kind="stable")
        starts = np.searchsorted(image[order], photos, side="left")
        ends = np.searchsorted(image[order], photos, side="right")
        rows = np.concatenate(
            [np.zeros(0, np.int64), *map(np.arange, starts, ends)], dtype=np.int64
        )
        rows = order[rows]
        self._offsets = np.concatenate([[0], np.cumsum(ends - starts)])
        self._boxes, self._nodes, self._ignore = boxes[rows], nodes[rows], ignore[rows]
        self._paths = FileIndex(file.file_names[i] for i in photos)
        self.image_ids: NDArray[Any] = file.image_ids[photos]
        self.sizes: NDArray[np.int64] = file.sizes[photos]
        self.labelled_nodes: NDArray[np.int64] = np.unique(self._nodes[~self._ignore])

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, index: int) -> str:
        """Where photo `index` lies."""
        return os.path.join(self._folder, self._paths[index])

    def truth(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        """Boxes (n, 4) xyxy in pixels of the photo, nodes (n,) and ignore (n,) of photo `index`,
        without reading the photo."""
        rows = slice(self._offsets[index], self._offsets[index + 1])
        return self._boxes[rows], self._nodes[rows], self._ignore[rows]

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:  # noqa: ARG002
        """Photo `index` with its truth. Raises BrokenPhoto, also where the photo has not the size
        that the annotation file states: its boxes would be elsewhere."""
        path = self.path(index)
        image = read_image(path)
        height, width = image.shape[:2]
        stated = self.sizes[index]
        if (stated > 0).all() and tuple(stated) != (height, width):
            raise BrokenPhoto(
                path,
                f"{width} x {height} pixels, where the annotation file says "
                f"{stated[1]} x {stated[0]}",
            )
        boxes, nodes, ignore = self.truth(index)
        sane = sane_boxes(boxes, (height, width))
        boxes, nodes, ignore = sane.boxes, nodes[sane.kept], ignore[sane.kept]
        own = np.unique(nodes[~ignore])
        sample = Sample(
            image=image,
            kind=self.kind,
            source=self.name,
            index=index,
            path=path,
            original_size=(height, width),
        )
        if self.kind == "label_only":
            return sample.replace(labels=own)
        return sample.replace(
            boxes=boxes,
            nodes=nodes,
            ignore=ignore,
            exhaustive=own if self._own_classes else None,
        )

    def _sane(self, file: CocoFile) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        corners = np.concatenate([file.boxes[:, :2], file.boxes[:, :2] + file.boxes[:, 2:]], 1)
        sizes = np.where(file.sizes > 0, file.sizes, np.inf)[file.image]
        sane = sane_boxes(corners, sizes)
        for fault, touched in sane.faults.items():
            rows = np.flatnonzero(touched)
            for row in rows[:10]:
                name = file.file_names[file.image[row]]
                self.problems.add(f"boxes {fault}", f"{name} {file.boxes[row].tolist()}")
            if len(rows) > 10:
                self.problems.add(f"boxes {fault}", "", count=len(rows) - 10)
        return sane.boxes, sane.kept

    def _on_disk(self, file: CocoFile, annotations: str | Path) -> NDArray[np.int64]:
        if not os.path.isdir(self._folder):
            raise UserError(
                f"the image folder {self._folder} does not exist; correct the path, or set "
                "WORDTREE_DATA to the folder that holds your data sets"
            )
        listings: dict[str, set[str]] = {}
        present = np.zeros(len(file.file_names), bool)
        for row, name in enumerate(file.file_names):
            below, base = os.path.split(name)
            if below not in listings:
                folder = os.path.join(self._folder, below)
                listings[below] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
            present[row] = base in listings[below]
            if not present[row]:
                self.problems.add("images not on disk", name)
        if not present.any():
            raise UserError(
                f"none of the {len(present)} images of {annotations} is in {self._folder} (the "
                f"first is {file.file_names[0]!r}); give the folder its file names start from"
            )
        return np.flatnonzero(present)

    def _labelled(
        self, photos: NDArray[np.int64], image: NDArray[np.int64], file: CocoFile
    ) -> NDArray[np.int64]:
        labelled = np.isin(photos, image)
        for row in photos[~labelled]:
            self.problems.add("images without a label", file.file_names[row])
        return photos[labelled]


def _category_nodes(
    names: list[str], tree: WordTree, label_map: LabelMap | None, path: str | Path
) -> NDArray[np.int64]:
    """A node for each category's name, -1 where the label map says null."""
    if label_map is None:
        known = {key: row for row, key in enumerate(tree.keys)}
        whose, remedy = "that are no keys of the tree", "name a label map"
    else:
        known = dict(zip(label_map.categories, label_map.nodes(tree).tolist(), strict=True))
        whose = "that the label map lacks"
        remedy = "add them to the map (null leaves one out)"
    unknown = Problems()
    for name in names:
        if name not in known:
            near = nearest(name, list(known)) if len(unknown.examples.get(whose, ())) < 10 else ""
            unknown.add(whose, f"{name!r}{near}")
    if unknown:
        count = unknown.counts[whose]
        text = str(unknown).replace(f"{count} ", f"{count} categories ", 1)
        raise UserError(f"{path} has {text}; {remedy}")
    return np.array([known[name] for name in names], np.int64)
