"""Sources by name, so that a config can list them: each says its labels, then opens on a tree.

One more kind of data set is one file beside this one and one entry in SOURCE_TYPES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.root import data_path
from data.sources import Source
from data.sources.coco import CocoSource
from data.sources.emoji import EmojiPhotos, EmojiScenes, emoji_halves, emoji_keys, emoji_nodes
from data.sources.image_folder import ImageFolderSource
from wordtree import LabelMap, UserError, WordTree

Options = Mapping[str, Any]


@dataclass(frozen=True)
class SourceType:
    """labels: (options, root) -> the keys that a tree must have for it, before there is a tree.
    open: (name, options, tree, root, seed) -> the source itself."""

    labels: Callable[[Options, Path | None], Sequence[str]]
    open: Callable[[str, Options, WordTree, Path | None, int], Source]


def _label_map(options: Options) -> LabelMap | None:
    given = options.get("label_map")
    return LabelMap.load(given) if given else None


def _coco_labels(options: Options, root: Path | None) -> Sequence[str]:
    del root
    label_map = _label_map(options)
    if label_map is None:
        raise UserError(
            f"the coco source of {options.get('annotations')} has no label_map; name one "
            "(coco80, or your own YAML file) that says which nodes its categories are"
        )
    return label_map.keys()


def _open_coco(name: str, options: Options, tree: WordTree, root: Path | None, seed: int) -> Source:
    del seed
    return CocoSource(
        data_path(options["annotations"], root=root),
        data_path(options["images"], root=root),
        tree=tree,
        label_map=_label_map(options),
        kind=options.get("kind", "boxed"),
        name=name,
        exhaustive=options.get("exhaustive", "source"),
    )


def _folder_labels(options: Options, root: Path | None) -> Sequence[str]:
    label_map = _label_map(options)
    if label_map is not None:
        return label_map.keys()
    if options["kind"] == "background":
        return []
    folder = data_path(options["folder"], root=root)
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")


def _open_folder(
    name: str, options: Options, tree: WordTree, root: Path | None, seed: int
) -> Source:
    del seed
    return ImageFolderSource(
        data_path(options["folder"], root=root),
        kind=options["kind"],
        tree=tree,
        label_map=_label_map(options),
        name=name,
    )


def _emoji_labels(options: Options, root: Path | None) -> Sequence[str]:
    del options, root
    return emoji_keys()


def _emoji_half(tree: WordTree, name: str) -> Any:
    boxed, label_only = emoji_halves(tree)
    halves = {"boxed": boxed, "label_only": label_only, "all": emoji_nodes(tree)}
    if name not in halves:
        raise UserError(f"emoji nodes={name} is not known; choose {', '.join(halves)}.")
    return halves[name]


def _drawing(options: Options) -> dict[str, Any]:
    return {k: v for k, v in options.items() if k not in ("type", "nodes", "seed", "weight")}


def _open_scenes(
    name: str, options: Options, tree: WordTree, root: Path | None, seed: int
) -> Source:
    del root
    return EmojiScenes(
        tree,
        _emoji_half(tree, options["nodes"]),
        name=name,
        seed=options.get("seed", seed),
        **_drawing(options),
    )


def _open_photos(
    name: str, options: Options, tree: WordTree, root: Path | None, seed: int
) -> Source:
    del root
    return EmojiPhotos(
        tree,
        _emoji_half(tree, options["nodes"]),
        _emoji_half(tree, "boxed"),
        name=name,
        seed=options.get("seed", seed),
        **_drawing(options),
    )


SOURCE_TYPES: dict[str, SourceType] = {
    "coco": SourceType(_coco_labels, _open_coco),
    "image_folder": SourceType(_folder_labels, _open_folder),
    "emoji_scenes": SourceType(_emoji_labels, _open_scenes),
    "emoji_photos": SourceType(_emoji_labels, _open_photos),
}


def _type(name: str, options: Options) -> SourceType:
    if options.get("type") not in SOURCE_TYPES:
        raise UserError(
            f"source {name} has type={options.get('type')}; choose {', '.join(SOURCE_TYPES)}."
        )
    return SOURCE_TYPES[options["type"]]


def source_labels(sources: Mapping[str, Options], *, root: Path | None = None) -> list[str]:
    """The keys of all labels of the named sources, each once, ascending.

    root: the folder that relative paths start from; None: WORDTREE_DATA's.
    """
    found = {
        key
        for name, options in sources.items()
        for key in _type(name, options).labels(options, root)
    }
    return sorted(found)


def open_sources(
    sources: Mapping[str, Options], tree: WordTree, *, root: Path | None = None, seed: int = 0
) -> dict[str, Source]:
    """Opens each named source on the tree; those that draw their photos get seeds made
    from `seed` unless their options have one. Raises UserError for files that are missing or
    broken."""
    # Two sources that draw must not show the same scenes: each has a seed of its own.
    return {
        name: _type(name, options).open(name, options, tree, root, seed * 1000 + place)
        for place, (name, options) in enumerate(sources.items())
    }
