"""From the options of a config to a source of shards; the catalogue lists it.

Beside ShardSource's own arguments: `shards` is a pattern or a list (`find_shards`), `classes` a
list or a place in a JSON file (`read_classes`); relative paths start from the data root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.root import data_path
from data.sources import Source
from data.sources.file_types import label_map, wnids
from data.sources.shard_samples import find_shards, named_shards, read_classes
from data.sources.shards import ShardSource, written_labels
from wordtree import WordTree

Options = Mapping[str, Any]
_ARGUMENTS = ("labels", "label_names", "boxes", "inclusive", "classes", "exhaustive", "photo")
TAKES = ("label_map", *_ARGUMENTS)


def shard_labels(options: Options, root: Path | None) -> Sequence[str]:
    """The keys of the label map, else the classes, else the labels that the shards have."""
    given = label_map(options)
    if given is not None:
        return given.keys()
    shards, arguments = _arguments(options, root)
    labels = arguments["classes"] or written_labels(shards, **arguments)
    return wnids(labels, where=named_shards(shards), things="labels")


def open_shards(
    name: str, options: Options, tree: WordTree, root: Path | None, seed: int
) -> Source:
    """shards, kind, and the options of TAKES."""
    del seed
    shards, arguments = _arguments(options, root)
    return ShardSource(shards, tree=tree, label_map=label_map(options), name=name, **arguments)


def _arguments(options: Options, root: Path | None) -> tuple[list[Path], dict[str, Any]]:
    """The shards, and what ShardSource is told beside them and the label map."""
    names = ("kind", *_ARGUMENTS)
    arguments = {name: options[name] for name in names if options.get(name) is not None}
    arguments["classes"] = read_classes(options.get("classes"), root=root)
    for key in ("boxes", "label_names"):
        if key in arguments and arguments[key] != "json":
            arguments[key] = data_path(arguments[key], root=root)
    return find_shards(options["shards"], root=root), arguments
