"""A folder of class folders: photos that show their class somewhere; or a folder of background."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.images import PHOTO_ENDINGS, read_image
from data.sample import KINDS, Kind, Sample
from data.sources.annotated_photos import refuse_missing_folder
from data.sources.categories import known_nodes, refuse_unknown
from data.sources.counts import Counts, count_labels
from data.sources.file_index import FileIndex, Problems
from wordtree.errors import UserError

if TYPE_CHECKING:
    from wordtree import LabelMap, WordTree


class ImageFolderSource:
    """The photos of a folder, sorted by path.

    `label_only`: FOLDER/CLASS/**/photo, CLASS being a key of the tree (a wnid) or, with a label
    map, a category's name. `background`: FOLDER/**/photo, none of which shows any node.
    nodes: int64, ascending, what the class folders stand for; labelled_nodes: those that have
    photos. problems: what was left out, counted, with examples.

    Folders and files whose names start with a dot are not looked at.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        kind: Kind,
        tree: WordTree | None = None,
        label_map: LabelMap | None = None,
        name: str = "image_folder",
    ) -> None:
        """Lists the folder. Raises UserError where it is missing, holds no photo, or has a class
        folder that is not known (the nearest known one named)."""
        if kind not in KINDS:
            raise UserError(
                f"the image folder {folder} is declared kind={kind}; choose label_only or "
                "background"
            )
        self.name, self.kind, self._folder = name, kind, str(folder)
        self.problems = Problems()
        refuse_missing_folder(folder)
        if kind == "background":
            photos = sorted(self._photos(self._folder))
            labels = np.full(len(photos), -1, np.int64)
            self.nodes: NDArray[np.int64] = np.zeros(0, np.int64)
        elif kind == "label_only":
            if tree is None:
                raise ValueError("a label-only image folder needs the tree")
            photos, labels = self._classes(known_nodes(tree, label_map), label_map is not None)
        else:
            raise UserError(
                f"the image folder {folder} is declared {kind}, but has no boxes; declare it "
                "label_only or background, or give its boxes in a COCO file"
            )
        if not photos:
            found = f" (found: {self.problems})" if self.problems else ""
            raise UserError(
                f"the image folder {folder} holds no photo{found}; give the folder that holds the "
                "class folders"
                if kind == "label_only"
                else f"the image folder {folder} holds no photo{found}; correct the path"
            )
        self._paths = FileIndex(os.path.relpath(path, self._folder) for path in photos)
        self._labels = labels
        self.labelled_nodes: NDArray[np.int64] = np.unique(labels[labels >= 0])

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, index: int) -> str:
        """Where photo `index` lies."""
        return os.path.join(self._folder, self._paths[index])

    def labels(self, index: int) -> NDArray[np.int64]:
        """The nodes that photo `index` shows somewhere, without reading it."""
        label = self._labels[index : index + 1]
        return label[label >= 0]

    def counts(self) -> Counts:
        """Photos of each node."""
        return count_labels(np.arange(len(self)), self._labels, photos=len(self))

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:  # noqa: ARG002
        """Photo `index` with its label. Raises BrokenPhoto."""
        path = self.path(index)
        image = read_image(path)
        return Sample(
            image=image,
            kind=self.kind,
            labels=self.labels(index),
            source=self.name,
            index=index,
            path=path,
            original_size=image.shape[:2],
        )

    def _classes(self, known: dict[str, int], mapped: bool) -> tuple[list[str], NDArray[np.int64]]:
        entries = self._entries()
        remedy = (
            "add them to the label map (null leaves one out)"
            if mapped
            else "build the tree with them, move them away, or name a label map"
        )
        refuse_unknown(
            f"the image folder {self._folder} has",
            "class folders",
            [entry.name for entry in entries],
            known,
            "that are not known",
            remedy,
        )
        photos: list[str] = []
        labels: list[int] = []
        nodes: set[int] = set()
        for entry in entries:
            found = sorted(self._photos(entry.path))
            node = known[entry.name]
            if node < 0:
                for path in found:
                    self.problems.add(
                        "photos of classes that the label map leaves out",
                        os.path.relpath(path, self._folder),
                    )
                continue
            nodes.add(node)
            if not found:
                self.problems.add("class folders without a photo", entry.name)
            photos += found
            labels += [node] * len(found)
        self.nodes = np.array(sorted(nodes), np.int64)
        return photos, np.array(labels, np.int64)

    def _entries(self) -> list[os.DirEntry[str]]:
        """The class folders, by name."""
        folders = []
        for entry in _visible(self._folder):
            # Not entry.is_dir, which raises for a link to itself.
            if os.path.isdir(entry.path):
                folders.append(entry)
            else:
                self.problems.add("files outside of a class folder", entry.name)
        return folders

    def _photos(self, folder: str) -> Iterator[str]:
        def unread(error: OSError) -> None:
            name = os.path.relpath(error.filename, self._folder)
            self.problems.add("folders that cannot be read", f"{name}: {error.strerror}")

        for where, below, files in os.walk(folder, onerror=unread):
            below[:] = sorted(one for one in below if not one.startswith("."))
            for one in below:
                # A link may lead back to a folder above: photos would be read without end.
                if os.path.islink(os.path.join(where, one)):
                    name = os.path.relpath(os.path.join(where, one), self._folder)
                    self.problems.add("links to folders inside a class (not followed)", name)
            for file in sorted(files):
                path = os.path.join(where, file)
                if file.startswith("."):
                    continue
                if os.path.splitext(file)[1].lower() in PHOTO_ENDINGS:
                    yield path
                else:
                    self.problems.add(
                        "files that are no photos", os.path.relpath(path, self._folder)
                    )


def class_folders(folder: str | Path) -> list[str]:
    """The names of the class folders, ascending. Raises UserError where they cannot be read."""
    return [entry.name for entry in _visible(str(folder)) if os.path.isdir(entry.path)]


def _visible(folder: str) -> list[os.DirEntry[str]]:
    try:
        found = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"the image folder {folder} cannot be read ({error.strerror}); give yourself the right "
            "to read it"
        ) from error
    return [entry for entry in found if not entry.name.startswith(".")]
