"""What `wordtree-export` is given: data sets with their labels, or a tree that is there already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordtree.annotation_files import read_categories
from wordtree.errors import UserError
from wordtree.formats.darknet import read_darknet, read_labels, read_map
from wordtree.graph import LabelGraph, all_labels
from wordtree.inspection.repair import repair
from wordtree.labels import LabelMap
from wordtree.tree import WordTree

# From old node numbers to new ones; the second argument is the file's name, for messages.
Moved = Callable[[NDArray[np.int64], str], NDArray[np.int64]]
DATA_SETS = (
    *("coco", "imagenet", "lvis", "names", "labels"),
    *("csv", "open_images", "descriptions"),
)


@dataclass
class Labels:
    """The labels to build a tree of.

    maps: one a data set. loose: keys and names without a data set. graph: the hierarchy that they
    stand in, WordNet's nouns where None. images: how many photos a key's folder has.
    """

    maps: list[LabelMap] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    graph: LabelGraph | None = None
    images: dict[str, int] = field(default_factory=dict)


def read_labels_given(arguments: Any) -> Labels:
    """Reads every data set that the flags name; UserError where they do not fit together."""
    given = Labels(graph=_hierarchy(arguments))
    maps = list(_coco_maps(arguments.coco, arguments.map))
    for folder in arguments.imagenet:
        label_map, photos = _image_folder(folder)
        maps.append(label_map)
        for key, count in photos.items():
            given.images[key] = given.images.get(key, 0) + count
    maps += [_lvis(Path(file)) for file in arguments.lvis]
    maps += [_names(Path(file), given.graph) for file in arguments.names]
    if arguments.open_images and given.graph is not None:
        from wordtree.open_images import open_images_label_map

        maps.append(open_images_label_map(given.graph))
    given.maps = _merged(maps)
    given.loose = [label for file in arguments.labels for label in read_labels(Path(file))]
    if given.graph is not None and not given.maps and not given.loose:
        given.loose = all_labels(given.graph)
    return given


def _hierarchy(arguments: Any) -> LabelGraph | None:
    if arguments.csv and arguments.open_images:
        raise UserError("--csv and --open-images are two hierarchies; give one of them")
    if arguments.csv:
        from wordtree.hierarchies import read_hierarchy

        return read_hierarchy(arguments.csv)
    if arguments.open_images:
        from wordtree.open_images import read_open_images

        return read_open_images(arguments.open_images, arguments.descriptions)
    if arguments.descriptions:
        raise UserError("--descriptions belongs to --open-images; give that hierarchy too")
    return None


def _coco_maps(files: Sequence[str], maps: Sequence[str]) -> Iterable[LabelMap]:
    """A map for each COCO file; maps beyond those stand for themselves."""
    names = [*maps] or ["coco80"] * bool(files)
    if 1 < len(names) < len(files):
        raise UserError(
            f"--map was given {len(names)} times and --coco {len(files)} times; give one map for "
            f"all COCO files or one for each, in their order"
        )
    paired = names * len(files) if len(names) == 1 and files else names
    found = []
    for file, name in zip(files, paired, strict=False):
        categories = [row.name for row in read_categories(file)]
        twice = [name for name in categories if categories.count(name) > 1]
        if twice:
            raise UserError(
                f"{file}: two categories are named {twice[0]!r}, so a map cannot tell them apart; "
                f"rename one"
            )
        found.append(LabelMap.load(name).select(categories, source=file))
    return [*found, *map(LabelMap.load, paired[len(files) :])]


def _image_folder(folder: str) -> tuple[LabelMap, dict[str, int]]:
    label_map = LabelMap.from_folders(folder)
    path = Path(folder)
    if not (path / label_map.categories[0]).is_dir():
        path = path / "train"
    photos = {
        key: sum(not entry.name.startswith(".") for entry in (path / key).iterdir())
        for key in label_map.categories
    }
    return label_map, photos


def _lvis(file: Path) -> LabelMap:
    from wordtree.lvis import lvis_label_map

    label_map, unknown = lvis_label_map(file)
    for category in unknown:
        print(f"{file}: {category}; its category is left out")
    return label_map


def _names(file: Path, graph: LabelGraph | None) -> LabelMap:
    """Names of the user's own, each with the one key that it can mean."""
    from wordtree.suggest import resolve
    from wordtree.wordnet import NounGraph

    where = NounGraph.embedded() if graph is None else graph
    targets: dict[str, str] = {}
    faults = []
    for name in read_labels(file):
        try:
            targets[name] = where.keys[resolve(where, name)]
        except UserError as error:
            faults.append(str(error))
    if faults:
        more = f" (and {len(faults) - 1} other names)" if len(faults) > 1 else ""
        raise UserError(
            f"{file}: {faults[0]}{more}; wordtree-suggest {file} --out map.yaml writes a map to "
            f"correct, which --map takes"
        )
    return LabelMap(file.stem, targets)


def _merged(maps: Iterable[LabelMap]) -> list[LabelMap]:
    unique: dict[str, LabelMap] = {}
    for found in maps:
        known = unique.get(found.dataset)
        both = known.targets.keys() & found.targets.keys() if known else set()
        other = [name for name in found.targets if name in both and known
                 and known.targets[name] != found.targets[name]]  # fmt: skip
        if other:
            raise UserError(
                f"two maps of the data set {found.dataset} have another key each for {other[0]!r}; "
                f"give one of them another `dataset:`"
            )
        targets = {**known.targets, **found.targets} if known else found.targets
        unique[found.dataset] = LabelMap(found.dataset, targets)
    return list(unique.values())


def read_tree_given(arguments: Any, options: dict[str, Any]) -> tuple[WordTree, list[LabelMap]]:
    """Reads the one tree and the maps that belong to it; repaired where that is asked for."""
    file = arguments.tree or arguments.darknet
    useless = [f"--{name.replace('_', '-')}" for name in DATA_SETS if getattr(arguments, name)]
    useless += [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    useless += ["--report"] if arguments.report else []
    if useless:
        raise UserError(
            f"{file} is a tree already, so {useless[0]} cannot be given with it; leave one of "
            f"them out"
        )

    moved: Moved | None = None
    if arguments.repair:
        if arguments.tree and Path(file).suffix.lower() != ".tree":
            raise UserError(f"--repair mends darknet's .tree files, not {file}; leave it out")
        repaired = repair(Path(file))
        print("\n".join(repaired.changes or ["nothing to repair"]))
        tree, moved = repaired.tree, repaired.remapped
    else:
        tree = WordTree.load(file) if arguments.tree else read_darknet(Path(file))
    maps = [
        _numbered(Path(name), tree, moved) if name.endswith(".map") else LabelMap.load(name)
        for name in arguments.map
    ]
    for label_map in maps:
        label_map.nodes(tree)  # refuses a key that the tree lacks
    return tree, maps


def _numbered(file: Path, tree: WordTree, moved: Moved | None) -> LabelMap:
    """A darknet map without its categories' names: they are called by their lines."""
    old = read_map(file)
    nodes = (moved(old, str(file)) if moved else old).tolist()
    high = [line for line, node in enumerate(nodes, 1) if not 0 <= node < len(tree)]
    if high:
        raise UserError(
            f"{file}, line {high[0]}: there is no node {nodes[high[0] - 1]} in a tree of "
            f"{len(tree)}; take the tree that the map was made for"
        )
    return LabelMap(file.stem, {f"line {at}": tree.keys[node] for at, node in enumerate(nodes, 1)})
