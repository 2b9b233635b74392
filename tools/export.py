"""`wordtree-export`: builds a tree from the labels of data sets, or reads one, and writes it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.command import make_parser, run_command
from tools.export_inputs import read_labels_given, read_tree_given
from wordtree.builder import BuildReport, build
from wordtree.errors import UserError
from wordtree.formats import FORMATS, write
from wordtree.formats.darknet import read_labels
from wordtree.formats.text import write_text
from wordtree.graph import as_graph
from wordtree.inspection.remap import remap, stand_ins_table
from wordtree.labels import LabelMap
from wordtree.presets import CHOICES, PRESETS
from wordtree.tree import WordTree

EXAMPLE = """\
  wordtree-export --coco instances_train2017.json --imagenet ILSVRC/train --out tree
  wordtree-export --map voc20 --labels wnids.txt --out tree --format json,html
  wordtree-export --csv parts.csv --out tree --format json,html
  wordtree-export --darknet 9k.tree --subtree dog --out dogs
  wordtree-export --darknet broken.tree --map coco9k.map --repair --out mended"""
# A format with several endings is written with its last one.
ENDINGS = {form.name: ending for ending, form in FORMATS.items()}
BUILD_OPTIONS = ("root", "walk", *CHOICES, "edits", "preset")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = make_parser("wordtree-export", __doc__, EXAMPLE)
    data = command.add_argument_group("data sets to build a tree of, any mix, each repeatable")
    files = {
        "coco": ("F", "a COCO JSON file"),
        "map": (
            "F",
            "label map: a YAML file or a packaged name (coco80, voc20, ilsvrc1000, det200); the "
            "first belong to the COCO files in their order (coco80 where none is given), others "
            "are data sets of their own; with a tree also darknet's .map",
        ),
        "imagenet": ("DIR", "a folder of folders named by wnid"),
        "lvis": ("F", "an LVIS JSON file, whose categories carry synsets"),
        "names": ("F", "names of your own, one a line; ambiguous ones are refused"),
        "labels": ("F", "a file with one key or name a line"),
    }
    for flag, (kind, text) in files.items():
        data.add_argument(f"--{flag}", metavar=kind, action="append", default=[], help=text)
    own = command.add_argument_group("a hierarchy of your own instead of WordNet")
    own.add_argument("--csv", metavar="F", help="child and parent, as CSV or YAML")
    own.add_argument("--open-images", metavar="F", help="Open Images' hierarchy (JSON)")
    own.add_argument("--descriptions", metavar="F", help="Open Images' class descriptions (CSV)")
    ready = command.add_argument_group("or one tree").add_mutually_exclusive_group()
    ready.add_argument("--tree", metavar="F", help="a tree file, its format by its ending")
    ready.add_argument("--darknet", metavar="F", help="a darknet tree, whatever its ending")
    out = command.add_argument_group("output")
    out.add_argument("--out", metavar="DIR", required=True, help="folder for wordtree.*")
    out.add_argument(
        "--format",
        default="darknet,json",
        help=f"of {', '.join(ENDINGS)}, with commas between (darknet,json)",
    )
    out.add_argument("--subtree", metavar="KEY", help="only this node and what is below it")
    out.add_argument(
        "--prune", metavar="FILE", help="without the nodes of this file (one a line) and below"
    )
    out.add_argument(
        "--repair", action="store_true", help="re-order a darknet tree, its names and its --map"
    )
    out.add_argument("--report", metavar="FILE", help="the build report, as .json or as text")
    options = command.add_argument_group("how to build (docs/wordtree.md)")
    options.add_argument(
        "--preset", help=f"named options: {', '.join(PRESETS)}; others given beside it win"
    )
    options.add_argument("--root", help="where the walk up ends (physical_entity.n.01)")
    options.add_argument("--walk", help="`root`, or a synset above it")
    options.add_argument("--edits", metavar="F", help="hand edits: a CSV file or darknet9k")
    for option, values in CHOICES.items():
        options.add_argument(
            f"--{option.replace('_', '-')}", choices=values, help=f"default {values[0]}"
        )
    return command


def export(arguments: Any) -> None:
    """Does what the parsed arguments ask for, and prints what was built and written."""
    formats = [word.strip() for word in arguments.format.split(",") if word.strip()]
    unknown = [word for word in formats if word not in ENDINGS]
    if unknown or not formats:
        raise UserError(
            f"--format has no {repr(unknown[0]) if unknown else 'value'}; there is "
            f"{', '.join(ENDINGS)}"
        )
    options = {name: getattr(arguments, name) for name in BUILD_OPTIONS}
    images: Mapping[str, int] = {}
    if arguments.tree or arguments.darknet:
        whole, maps = read_tree_given(arguments, options)
    elif arguments.repair:
        raise UserError("--repair mends a tree that is there; give it with --darknet")
    else:
        given = read_labels_given(arguments)
        if not given.maps and not given.loose:
            raise UserError(
                "nothing to export: give a data set (--coco, --imagenet, --lvis, --names, "
                "--labels, --map), a hierarchy (--csv, --open-images) or a tree (--tree, --darknet)"
            )
        whole, report = build([*given.maps, *given.loose], graph=given.graph, **options)
        maps, images = given.maps, given.images
        print(report.table(), end="")
        if arguments.report:
            _write_report(report, Path(arguments.report))
    tree = whole.subtree(arguments.subtree) if arguments.subtree else whole
    if arguments.prune:
        tree = tree.prune(read_labels(Path(arguments.prune)))
    if not len(tree):
        raise UserError(
            f"{arguments.prune} leaves nothing of the tree; keep at least one node"
            if arguments.prune and len(whole)
            else "the data sets have no label at all (every category is null?); give one a key"
        )
    if tree is not whole:
        maps = [_following(label_map, whole, tree) for label_map in maps]
        tree = _with_labels(tree, maps)
    print(tree)
    _write(tree, maps, images, formats, Path(arguments.out))


def _following(label_map: LabelMap, whole: WordTree, part: WordTree) -> LabelMap:
    """The map for a part of its tree: the nearest kept ancestor stands for a node that was cut."""
    above = whole.parent.tolist()
    graph = as_graph(
        {
            key: whole.keys[up] if up >= 0 else None
            for key, up in zip(whole.keys, above, strict=True)
        }
    )
    followed, stand_ins = remap(label_map.with_keys_of(whole), part, graph)
    if stand_ins:
        print(f"{label_map.dataset}, whose nodes were cut:\n{stand_ins_table(stand_ins, part)}")
    return followed


def _with_labels(tree: WordTree, maps: list[LabelMap]) -> WordTree:
    """The tree in which what a map has come to point to is labelled."""
    labelled = tree.labelled.copy()
    for label_map in maps:
        nodes = label_map.nodes(tree)
        labelled[nodes[nodes >= 0]] = True
    return WordTree(tree.keys, tree.parent, tree.names, labelled)


def _write_report(report: BuildReport, file: Path) -> None:
    text = report.to_json() + "\n" if file.suffix == ".json" else report.table(shown=sys.maxsize)
    write_text(file, text)


def _write(
    tree: WordTree,
    maps: list[LabelMap],
    images: Mapping[str, int],
    formats: list[str],
    out: Path,
) -> None:
    written = []
    for word in formats:
        file = out / f"wordtree{ENDINGS[word]}"
        if word == "html":
            from wordtree.formats.html import write_html

            data_sets = {label_map.dataset: label_map.nodes(tree) for label_map in maps}
            write_html(tree, file, data_sets=data_sets, images=images or None)
        else:
            write(tree, file)
        written.append(file.name)
    for label_map in maps if "darknet" in formats else []:
        file = out / f"{label_map.dataset}.map"
        nodes = label_map.nodes(tree)
        if (nodes < 0).any():
            left_out = label_map.categories[int((nodes < 0).argmax())]
            print(
                f"{file.name} is not written: {int((nodes < 0).sum())} of its categories have no "
                f"node ({left_out!r} first), and a darknet map has a node for each"
            )
            continue
        label_map.write_darknet(file, tree)
        written.append(file.name)
    print(f"wrote {', '.join(written)} to {out}")


def main() -> int:
    """The console command; gives its exit code."""
    return run_command(lambda: export(parser().parse_args()))


if __name__ == "__main__":
    sys.exit(main())
