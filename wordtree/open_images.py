"""The hierarchy of Open Images' boxable classes: labels of its own, some with several parents."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from wordtree.errors import UserError
from wordtree.formats.text import read_text
from wordtree.graph import LabelGraph, all_labels, label_fault, make_graph, refuse_cycle
from wordtree.labels import LabelMap

_HEADER = ["LabelName", "DisplayName"]


def read_open_images(
    hierarchy: str | Path, class_descriptions: str | Path | None = None
) -> LabelGraph:
    """The graph of `bbox_labels_600_hierarchy.json`; keys are MIDs such as `/m/0bt9lr`.

    A class stands below every class that has it as `Subcategory`. As `Part` it is no kind of the
    class above it (a wheel is no car): one that is nothing but a part is a top node. The outermost
    entry (Entity, `/m/0bl9f`) is the root of builds and no label.

    class_descriptions: the CSV of MID and display name, with or without its header; names of
    classes that the hierarchy lacks are left out, and a class that it lacks is named by its MID.
    Raises UserError for a file that is no such hierarchy, a cycle, faults in the descriptions.
    """
    file = Path(hierarchy)
    try:
        top = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{file} is not JSON ({error}); give Open Images' bbox_labels_600_hierarchy.json"
        ) from None
    root, above = _edges(file, top)
    names = _display_names(Path(class_descriptions)) if class_descriptions else {}
    if names and not names.keys() & above.keys():
        raise UserError(
            f"{class_descriptions} names none of the {len(above)} classes of {file}; give the "
            f"class-descriptions-boxable.csv of the same release"
        )
    graph = make_graph(above, root=root, names=names)
    try:
        return refuse_cycle(graph)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None


def open_images_label_map(graph: LabelGraph) -> LabelMap:
    """The label map of all classes of `read_open_images`: display name to MID, by MID.

    Raises UserError where two classes have one display name.
    """
    names = dict(zip(graph.keys, graph.names, strict=True))
    targets: dict[str, str] = {}
    for key in sorted(all_labels(graph)):
        other = targets.setdefault(names[key], key)
        if other != key:
            raise UserError(
                f"the classes {other} and {key} are both named {names[key]!r}; rename one in the "
                f"class descriptions"
            )
    return LabelMap("open_images", targets)


def _edges(file: Path, top: Any) -> tuple[str, dict[str, dict[str, None]]]:
    """The root's MID, and for each other class its parents, in the order of the file."""
    root = _mid(file, top, "the outermost entry")
    above: dict[str, dict[str, None]] = {}
    stack = [(root, top)]
    while stack:
        mid, entry = stack.pop()
        below = []
        for kind in ("Subcategory", "Part"):
            children = entry.get(kind, [])
            if not isinstance(children, list):
                raise UserError(f"{file}: the {kind} of {mid} is no list; take a whole copy of it")
            for child in children:
                key = _mid(file, child, f"a {kind} of {mid}")
                parents = above.setdefault(key, {})
                if kind == "Subcategory":
                    parents[mid] = None
                below.append((key, child))
        stack.extend(reversed(below))
    if not above:
        raise UserError(f"{file}: {root} has no Subcategory and no Part; take a whole copy of it")
    return root, above


def _mid(file: Path, entry: Any, where: str) -> str:
    mid = entry.get("LabelName") if isinstance(entry, dict) else None
    fault = label_fault(mid)
    if fault:
        found = f"the LabelName {mid!r}" if mid is not None else "no LabelName"
        raise UserError(
            f"{file}: {where} has {found}; give Open Images' bbox_labels_600_hierarchy.json"
        )
    return str(mid)


def _display_names(file: Path) -> dict[str, str]:
    reader = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    names: dict[str, str] = {}
    line = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) and not (cells == _HEADER and not names):
                if len(cells) != 2 or not all(cells):
                    raise UserError(
                        f"{file}, line {line}: {','.join(row)[:60]!r} is not a MID and a display "
                        f"name; give Open Images' class-descriptions-boxable.csv"
                    )
                mid, name = cells
                if names.setdefault(mid, name) != name:
                    raise UserError(
                        f"{file}, line {line}: {mid} is named {name!r}, but {names[mid]!r} before; "
                        f"remove one"
                    )
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{file}, line {line}: not CSV ({error}); take a whole copy of it"
        ) from None
    if not names:
        raise UserError(f"{file} has no names; give Open Images' class-descriptions-boxable.csv")
    return names
