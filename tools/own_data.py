"""What own data bring along: lines of a config that their owner alone can fill, and a tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wordtree import BuildReport, UserError, WordTree, build
from wordtree.formats.text import read_lines

# OmegaConf's mark for a value that must be given.
UNFILLED = "???"


def refuse_unfilled(config: Mapping[str, Any]) -> None:
    """UserError that names every key whose value is still `???`."""
    keys = list(_unfilled(config))
    if keys:
        raise UserError(
            f"{', '.join(keys)} {'is' if len(keys) == 1 else 'are'} not filled in yet; give "
            f"{keys[0]}=... on the command line, or fill the ??? in conf/data/own.yaml"
        )


def _unfilled(node: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _unfilled(value, f"{prefix}.{name}" if prefix else str(name))
    elif node == UNFILLED:
        yield prefix


def load_tree(path: str | Path) -> tuple[WordTree, BuildReport]:
    """The tree of a file: any format that WordTree.load reads, or a hierarchy with all its labels
    (YAML, or a CSV whose header has `child`); its report says no more than how large it is."""
    file = Path(path)
    if not file.is_file():
        raise UserError(f"tree.file={path} is not there; give the file of a tree")
    ending = file.suffix.lower()
    if ending in (".yaml", ".yml") or (ending == ".csv" and _has_child(file)):
        from wordtree.graph import all_labels
        from wordtree.hierarchies import read_hierarchy

        graph = read_hierarchy(file)
        return build(all_labels(graph), graph=graph)
    tree = WordTree.load(file)
    if not len(tree):
        raise UserError(f"tree.file={path} has no nodes; give the file of a tree")
    report = BuildReport(
        options={"file": str(path)},
        root="",
        labels=int(tree.labelled.sum()),
        nodes=len(tree),
        tree_hash=tree.hash,
    )
    return tree, report


def _has_child(file: Path) -> bool:
    head = next((line for line in read_lines(file) if line.strip()), "")
    return "child" in [cell.strip().strip('"') for cell in head.split(",")]
