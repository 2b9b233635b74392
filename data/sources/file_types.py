"""From the options of a config to sources of annotation files and folders (for the catalogue).

Each type has two functions: what labels a tree must have for it, and the source itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from data.root import data_path
from data.sources import Source
from data.sources.annotated_photos import refuse_missing_folder
from data.sources.coco import CocoSource
from data.sources.coco_file import coco_categories
from data.sources.file_index import Problems
from data.sources.image_folder import ImageFolderSource, class_folders
from data.sources.table import TableSource, table_labels
from data.sources.voc import VocSource, voc_names
from data.sources.yolo import YoloSource
from data.sources.yolo_yaml import read_data_yaml
from wordtree import LabelMap, UserError, WordTree

Options = Mapping[str, Any]
Labels = Callable[[Options, Path | None], Sequence[str]]
_WNID = re.compile(r"n\d{8}")


def label_map(options: Options) -> LabelMap | None:
    """The label map that the options name, if they do."""
    given = options.get("label_map")
    return LabelMap.load(given) if given else None


def unless_mapped(written: Labels) -> Labels:
    """The keys of the label map where the options name one, else what `written` reads."""

    @wraps(written)
    def labels(options: Options, root: Path | None) -> Sequence[str]:
        given = label_map(options)
        return written(options, root) if given is None else given.keys()

    return labels


def wnids(names: Sequence[str], where: str, things: str) -> list[str]:
    """The names, which must be wnids: a tree that is built of WordNet has no other keys.

    where, things: for the message, `WHERE has COUNT THINGS that are no wnid`.
    """
    strange = [name for name in names if not _WNID.fullmatch(name)]
    if strange:
        found = Problems()
        for name in strange:
            found.add("that are no wnid such as n02094433", repr(name))
        text = str(found).removeprefix(f"{len(strange)} ")
        raise UserError(
            f"{where} has {len(strange)} {things} {text}; name a label map (wordtree-suggest "
            "writes one), or give a tree that has them with tree.file"
        )
    return list(names)


# -- COCO ----------------------------------------------------------------------------------------


@unless_mapped
def coco_labels(options: Options, root: Path | None) -> Sequence[str]:
    """The names of the categories."""
    file = data_path(options["annotations"], root=root)
    return wnids(coco_categories(file), str(file), "categories")


def open_coco(name: str, options: Options, tree: WordTree, root: Path | None, seed: int) -> Source:
    """annotations, images, label_map, kind, exhaustive."""
    del seed
    return CocoSource(
        data_path(options["annotations"], root=root),
        data_path(options["images"], root=root),
        tree=tree,
        label_map=label_map(options),
        name=name,
        **_given(options, "kind", "exhaustive"),
    )


# -- folders of photos ---------------------------------------------------------------------------


@unless_mapped
def folder_labels(options: Options, root: Path | None) -> Sequence[str]:
    """The names of the class folders."""
    if options["kind"] == "background":
        return []
    folder = data_path(options["folder"], root=root)
    refuse_missing_folder(folder)
    names = class_folders(folder)
    return wnids(names, f"the image folder {folder}", "class folders")


def open_folder(
    name: str, options: Options, tree: WordTree, root: Path | None, seed: int
) -> Source:
    """folder, kind, label_map."""
    del seed
    return ImageFolderSource(
        data_path(options["folder"], root=root),
        kind=options["kind"],
        tree=tree,
        label_map=label_map(options),
        name=name,
    )


# -- Pascal VOC ----------------------------------------------------------------------------------


@unless_mapped
def voc_labels(options: Options, root: Path | None) -> Sequence[str]:
    """The names of the objects."""
    folder = data_path(options["folder"], root=root)
    need_boxes = options.get("kind") != "label_only"
    names = voc_names(folder, options.get("split"), need_boxes=need_boxes)
    return wnids(names, str(folder), "object names")


def open_voc(name: str, options: Options, tree: WordTree, root: Path | None, seed: int) -> Source:
    """folder, split, images, label_map, kind, difficult, exhaustive."""
    del seed
    images = options.get("images")
    return VocSource(
        data_path(options["folder"], root=root),
        tree=tree,
        images=data_path(images, root=root) if images else None,
        label_map=label_map(options),
        name=name,
        **_given(options, "split", "kind", "difficult", "exhaustive"),
    )


# -- YOLO ----------------------------------------------------------------------------------------


@unless_mapped
def yolo_labels(options: Options, root: Path | None) -> Sequence[str]:
    """The names of the classes."""
    file = data_path(options["yaml"], root=root)
    return wnids([*read_data_yaml(file).names.values()], str(file), "class names")


def open_yolo(name: str, options: Options, tree: WordTree, root: Path | None, seed: int) -> Source:
    """yaml, split, folder, label_map, kind, unlabelled, exhaustive."""
    del seed
    folder = options.get("folder")
    return YoloSource(
        data_path(options["yaml"], root=root),
        tree=tree,
        folder=data_path(folder, root=root) if folder else None,
        label_map=label_map(options),
        name=name,
        **_given(options, "split", "kind", "unlabelled", "exhaustive"),
    )


# -- tables --------------------------------------------------------------------------------------


@unless_mapped
def labels_of_table(options: Options, root: Path | None) -> Sequence[str]:
    """The labels of the table."""
    file = data_path(options["table"], root=root)
    names = table_labels(file, options.get("columns"), kind=options.get("kind"))
    return wnids(names, str(file), "labels")


def open_table(name: str, options: Options, tree: WordTree, root: Path | None, seed: int) -> Source:
    """table, images, columns, label_map, kind, exhaustive."""
    del seed
    return TableSource(
        data_path(options["table"], root=root),
        data_path(options["images"], root=root),
        tree=tree,
        label_map=label_map(options),
        name=name,
        **_given(options, "columns", "kind", "exhaustive"),
    )


def _given(options: Options, *names: str) -> dict[str, Any]:
    """Those options that were given, so that the source's own defaults hold for the others."""
    return {name: options[name] for name in names if options.get(name) is not None}
