"""Sources by name, so that a config can list them: each says its labels, then opens on a tree.

One more kind of data set is one file beside this one and one entry in SOURCE_TYPES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.sources import Source, file_types, shard_type
from data.sources.emoji import EmojiPhotos, EmojiScenes, emoji_halves, emoji_keys, emoji_nodes
from data.sources.file_index import nearest
from data.sources.option_types import check_option_types
from wordtree import UserError, WordTree

Options = Mapping[str, Any]


@dataclass(frozen=True)
class SourceType:
    """labels: (options, root) -> the keys that a tree must have for it, before there is a tree.
    open: (name, options, tree, root, seed) -> the source itself.
    needs, takes: the options that it must and may have beside `type` and `weight`."""

    labels: Callable[[Options, Path | None], Sequence[str]]
    open: Callable[[str, Options, WordTree, Path | None, int], Source]
    needs: Sequence[str] = ()
    takes: Sequence[str] = ()


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
    "coco": SourceType(
        file_types.coco_labels,
        file_types.open_coco,
        needs=("annotations", "images"),
        takes=("label_map", "kind", "exhaustive"),
    ),
    "image_folder": SourceType(
        file_types.folder_labels,
        file_types.open_folder,
        needs=("folder", "kind"),
        takes=("label_map",),
    ),
    "voc": SourceType(
        file_types.voc_labels,
        file_types.open_voc,
        needs=("folder",),
        takes=("split", "images", "label_map", "kind", "difficult", "exhaustive"),
    ),
    "yolo": SourceType(
        file_types.yolo_labels,
        file_types.open_yolo,
        needs=("yaml",),
        takes=("split", "folder", "label_map", "kind", "unlabelled", "exhaustive"),
    ),
    "table": SourceType(
        file_types.labels_of_table,
        file_types.open_table,
        needs=("table", "images"),
        takes=("columns", "label_map", "kind", "exhaustive"),
    ),
    "shards": SourceType(
        shard_type.shard_labels,
        shard_type.open_shards,
        needs=("shards", "kind"),
        takes=shard_type.TAKES,
    ),
    "emoji_scenes": SourceType(
        _emoji_labels,
        _open_scenes,
        needs=("nodes",),
        takes=("seed", "objects", "length", "canvas", "size_range", "fresh", "masks"),
    ),
    "emoji_photos": SourceType(
        _emoji_labels,
        _open_photos,
        needs=("nodes",),
        takes=("seed", "length", "canvas", "size_range", "extra_rate", "fresh"),
    ),
}


def _type(name: str, options: Options) -> SourceType:
    if str(options.get("type")) not in SOURCE_TYPES:
        raise UserError(
            f"source {name} has type={options.get('type')}; choose {', '.join(SOURCE_TYPES)}."
        )
    found = SOURCE_TYPES[options["type"]]
    known = [*found.needs, *found.takes]
    what = f"source {name} (type={options['type']})"
    for option in options:
        if option not in ("type", "weight", *known):
            raise UserError(
                f"{what} has no option {option!r}{nearest(str(option), known)}; it has "
                f"{', '.join(known)}."
            )
    lacking = [option for option in found.needs if options.get(option) in (None, "")]
    if lacking:
        raise UserError(f"{what} needs {', '.join(lacking)}; it has {', '.join(known)}.")
    check_option_types(what, options)
    return found


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
