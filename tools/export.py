"""`wordtree-export`: builds a tree from the labels of data sets, or reads one, and writes it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tools.command import make_parser, run_command
from wordtree.builder import BuildReport, build
from wordtree.errors import UserError
from wordtree.formats import FORMATS, write
from wordtree.formats.darknet import read_darknet, read_labels
from wordtree.formats.text import read_text, write_text
from wordtree.labels import LabelMap
from wordtree.presets import CHOICES, PRESETS
from wordtree.tree import WordTree

EXAMPLE = """\
  wordtree-export --coco instances_train2017.json --imagenet ILSVRC/train --out tree
  wordtree-export --labels wnids.txt --preset darknet9k --out tree --format darknet,json
  wordtree-export --darknet 9k.tree --subtree dog --out dogs"""
ENDINGS = {form.name: ending for ending, form in FORMATS.items()}
BUILD_OPTIONS = ("root", "walk", *CHOICES, "edits", "preset")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = make_parser("wordtree-export", __doc__, EXAMPLE)
    data = command.add_argument_group("data sets to build a tree of, any mix")
    data.add_argument("--coco", metavar="F", action="append", default=[], help="a COCO JSON file")
    data.add_argument(
        "--map",
        metavar="F",
        default="coco80",
        help="label map of the COCO categories: a YAML file or a packaged name (coco80)",
    )
    data.add_argument(
        "--imagenet",
        metavar="DIR",
        action="append",
        default=[],
        help="a folder of folders named by wnid",
    )
    data.add_argument(
        "--labels",
        metavar="F",
        action="append",
        default=[],
        help="a file with one key or name a line",
    )
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
            f"--format has no {unknown[0] if unknown else 'value'!r}; there is {', '.join(ENDINGS)}"
        )
    maps, loose = _data_sets(arguments)
    options = {name: getattr(arguments, name) for name in BUILD_OPTIONS}
    if arguments.tree or arguments.darknet:
        tree = _ready_tree(arguments, options, given=bool(maps or loose))
    elif maps or loose:
        tree, report = build([*maps, *loose], **options)
        print(report.table(), end="")
        if arguments.report:
            _write_report(report, Path(arguments.report))
    else:
        raise UserError("nothing to export: give --coco, --imagenet, --labels, --tree or --darknet")
    if arguments.subtree:
        tree = tree.subtree(arguments.subtree)
    print(tree)
    _write(tree, [] if arguments.subtree else maps, formats, Path(arguments.out))


def _data_sets(arguments: Any) -> tuple[list[LabelMap], list[str]]:
    maps = [_coco(Path(file), LabelMap.load(arguments.map)) for file in arguments.coco]
    maps += [LabelMap.from_folders(folder) for folder in arguments.imagenet]
    labels = [label for file in arguments.labels for label in read_labels(Path(file))]
    unique: dict[str, LabelMap] = {}
    for found in maps:
        known = unique.get(found.dataset)
        targets = {**known.targets, **found.targets} if known else found.targets
        unique[found.dataset] = LabelMap(found.dataset, targets)
    return list(unique.values()), labels


def _coco(file: Path, label_map: LabelMap) -> LabelMap:
    """The part of the label map that a COCO file's categories need, in the order of their ids."""
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON ({error}); give a COCO annotation file") from None
    categories = content.get("categories") if isinstance(content, dict) else None
    try:
        rows = sorted((int(row["id"]), str(row["name"])) for row in categories or [])
    except (TypeError, KeyError, ValueError):
        rows = []
    if not rows:
        raise UserError(f"{file} has no `categories` with id and name; give a COCO annotation file")
    return label_map.select((name for _, name in rows), source=str(file))


def _ready_tree(arguments: Any, options: dict[str, Any], *, given: bool) -> WordTree:
    file = arguments.tree or arguments.darknet
    useless = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    useless += ["--report"] if arguments.report else []
    if given or useless:
        raise UserError(
            f"{file} is a tree already, so {useless[0] if useless else 'data sets'} cannot be "
            f"given with it; leave one of them out"
        )
    return WordTree.load(file) if arguments.tree else read_darknet(Path(file))


def _write_report(report: BuildReport, file: Path) -> None:
    text = report.to_json() + "\n" if file.suffix == ".json" else report.table(shown=sys.maxsize)
    write_text(file, text)


def _write(tree: WordTree, maps: list[LabelMap], formats: list[str], out: Path) -> None:
    written = []
    for word in formats:
        file = out / f"wordtree{ENDINGS[word]}"
        write(tree, file)
        written.append(file.name)
    if "darknet" in formats:
        for label_map in maps:
            label_map.write_darknet(out / f"{label_map.dataset}.map", tree)
            written.append(f"{label_map.dataset}.map")
    print(f"wrote {', '.join(written)} to {out}")


def main() -> int:
    """The console command; gives its exit code."""
    return run_command(lambda: export(parser().parse_args()))


if __name__ == "__main__":
    sys.exit(main())
