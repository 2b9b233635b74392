"""`wordtree-inspect`: what is in a tree, what is wrong with it, and how two trees differ.

stats      how many nodes, leaves, groups, how deep, groups of one
lint       what is wrong with a darknet tree, what it would do, and what to do about it
diff       nodes added, removed, moved, renamed between two trees
path       the nodes above a node, top first
remap      which nodes a label map wants that the tree lacks, and what stands in for them
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from tools.command import make_parser, run_command
from wordtree.inspection.difference import difference
from wordtree.inspection.lint import Problem, lint
from wordtree.inspection.path_table import gloss, path_entry, path_text
from wordtree.inspection.remap import remap, stand_ins_table
from wordtree.inspection.statistics import statistics, statistics_table
from wordtree.labels import LabelMap
from wordtree.tree import WordTree
from wordtree.wording import named, plural

EXAMPLE = """\
  wordtree-inspect lint 9k.tree --map coco9k.map --categories coco.names
  wordtree-inspect path 9k.tree dog --json
  wordtree-inspect stats --help"""
FILES = """\
In X.tree line i, counted from 0, is node i: its key and the number of its parent's line. So
`n05220461 0` stands below the file's first line, and -1 means that nothing stands above. Parents
come before their children, siblings side by side. X.names and X.labels have a line for each node.

Exit code 0: no problems, or only warnings and notes; 2: errors, or a file that cannot be read.
"""


class Command(NamedTuple):
    """A subcommand: its options beside `--json`, what it does, its text for `--help`."""

    add_options: Callable[[argparse.ArgumentParser], object]
    run: Callable[[Any], int | None]
    description: str
    example: str


def _print_json(content: object) -> None:
    print(json.dumps(content, indent=1, ensure_ascii=False))


# -- stats -----------------------------------------------------------------------------------


def _stats(arguments: Any) -> None:
    tree = WordTree.load(arguments.tree)
    if arguments.json:
        _print_json(statistics(tree).to_dict())
    else:
        print(statistics_table(tree), end="")


# -- lint ------------------------------------------------------------------------------------


def _lint_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--map",
        metavar="F",
        action="append",
        default=[],
        help="a data set's darknet .map to check too; may be given several times",
    )
    command.add_argument(
        "--categories",
        metavar="F",
        action="append",
        default=[],
        help="the data set's .names, one for each --map (X.names beside X.map)",
    )


def _lint(arguments: Any) -> int:
    path = Path(arguments.tree)
    problems = lint(path, maps=arguments.map, categories=arguments.categories)
    counts = Counter(problem.severity for problem in problems)
    if arguments.json:
        _print_json([asdict(problem) for problem in problems])
        return 2 if counts["error"] else 0
    beside = [path.with_suffix(ending) for ending in (".names", ".labels")]
    files = [path, *(file for file in beside if path.suffix == ".tree" and file.exists())]
    names = [file.name for file in [*files, *map(Path, arguments.map)]]
    said = [plural(counts[word], word) for word in ("error", "warning", "note") if counts[word]]
    if not counts["error"] and not counts["warning"]:
        said.insert(0, "no problems")
    print(f"{', '.join(names)}: {', '.join(said)}")
    for at, problem in enumerate(problems):
        print(_problem_text(problem, names))
        # One remedy serves all problems of a kind, which stand together.
        if problem.remedy not in [following.remedy for following in problems[at + 1 : at + 2]]:
            print(f"    {problem.remedy}")
    return 2 if counts["error"] else 0


def _problem_text(problem: Problem, names: list[str]) -> str:
    file, text = names[0], problem.problem
    for name in names[1:]:
        if text.startswith(f"{name}: "):
            file, text = name, text.removeprefix(f"{name}: ")
    where = file if problem.line is None else f"{file}, line {problem.line}"
    return f"{problem.severity}: {where}: {text}"


# -- diff ------------------------------------------------------------------------------------


def _diff(arguments: Any) -> None:
    found = difference(WordTree.load(arguments.tree), WordTree.load(arguments.second))
    if arguments.json:
        _print_json(found.to_dict())
    else:
        print(found.table(sys.maxsize) if arguments.all else found.table(), end="")


def _diff_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("second", metavar="TREE2", help="the other tree file")
    command.add_argument("--all", action="store_true", help="show all, not ten of each kind")


# -- path ------------------------------------------------------------------------------------


def _path(arguments: Any) -> None:
    tree = WordTree.load(arguments.tree)
    entries = [path_entry(tree, index) for index in tree.index(arguments.keys).tolist()]
    if arguments.json:
        _print_json(entries)
    else:
        print("\n\n".join(map(path_text, entries)))


# -- remap -----------------------------------------------------------------------------------


def _remap_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--map",
        metavar="F",
        required=True,
        help="a label map: a YAML file or a packaged name (coco80)",
    )
    command.add_argument("--out", metavar="F", help="writes the map with the stand-ins (YAML)")


def _remap(arguments: Any) -> None:
    tree = WordTree.load(arguments.tree)
    new, found = remap(LabelMap.load(arguments.map), tree)
    if arguments.json:
        _print_json([asdict(entry) for entry in found])
    else:
        print(stand_ins_table(found, tree), end="")
    if arguments.out:
        wanted: dict[str, list[str]] = {}
        for entry in found:
            wanted.setdefault(entry.category, []).append(named(entry.wanted, entry.wanted_name))
        comments = {
            category: f"{'left out' if new.targets[category] is None else 'stands in'} for "
            f"{', '.join(keys)}"
            for category, keys in wanted.items()
        }
        for category, target in new.targets.items():
            meaning = gloss(target) if isinstance(target, str) else None
            comments[category] = "; ".join(filter(None, [comments.get(category), meaning]))
        new.save(arguments.out, comments)
        if not arguments.json:
            print(f"wrote {arguments.out}")


# -- the command -----------------------------------------------------------------------------

COMMANDS = {
    "stats": Command(
        lambda _: None,
        _stats,
        "How many nodes, leaves and groups a tree has, and how they are spread.",
        "wordtree-inspect stats 9k.tree",
    ),
    "lint": Command(
        _lint_options,
        _lint,
        f"What is wrong with a darknet tree (or another tree file), and what to do.\n\n{FILES}",
        EXAMPLE.splitlines()[0],
    ),
    "diff": Command(
        _diff_options,
        _diff,
        "What two trees differ in, node by node, found by their keys.\n"
        "Exit code 0 whether they differ or not.",
        "wordtree-inspect diff old.tree new.json --all",
    ),
    "path": Command(
        lambda command: command.add_argument(
            "keys", metavar="KEY", nargs="+", help="a key, or a name that one node alone has"
        ),
        _path,
        "The nodes above a node, top first; glosses where keys are WordNet's.",
        "wordtree-inspect path 9k.tree dog n02094433",
    ),
    "remap": Command(
        _remap_options,
        _remap,
        "Which nodes a label map wants that the tree lacks, and what stands in for each: its\n"
        "nearest ancestor in WordNet that the tree has.",
        "wordtree-inspect remap 9k.tree --map coco80 --out coco_9k.yaml",
    ),
}


def parser(name: str | None = None) -> argparse.ArgumentParser:
    """The options of a subcommand; without a name, the command's own."""
    if name is None:
        command = make_parser("wordtree-inspect", __doc__, EXAMPLE)
        command.add_argument("command", choices=COMMANDS, help="each has its own --help")
        return command
    found = COMMANDS[name]
    command = make_parser(f"wordtree-inspect {name}", found.description, found.example)
    command.add_argument("tree", metavar="TREE", help="a tree file, its format by its ending")
    found.add_options(command)
    command.add_argument("--json", action="store_true", help="prints JSON")
    return command


def inspect(words: list[str]) -> int | None:
    """Runs the subcommand that the first word names with the others."""
    if not words or words[0] not in COMMANDS:
        words = [parser().parse_args(words).command]
    return COMMANDS[words[0]].run(parser(words[0]).parse_args(words[1:]))


def main() -> int:
    """The console command; gives its exit code."""
    return run_command(lambda: inspect(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
