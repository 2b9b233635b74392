"""Hierarchies of one's own from files: a CSV of child and parent, or YAML.

Either is read as rows of child, parent and name, each with its line; what rows must obey is
checked in one place. `build(labels, graph=read_hierarchy(FILE))` makes the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from wordtree.errors import UserError
from wordtree.graph import LabelGraph, label_fault, make_graph, missing_parents, refuse_cycle
from wordtree.hierarchy_rows import Row, csv_rows, yaml_rows

_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": csv_rows,
    ".yaml": yaml_rows,
    ".yml": yaml_rows,
}


def read_hierarchy(path: str | Path) -> LabelGraph:
    """Reads a hierarchy; the ending says the format.

    `.csv`: the header `child,parent` or `child,parent,name`, then a row for each parent of a
    child, the parent empty for a top node.
    `.yaml`, `.yml`: either `parents:` with child: parent, [parents] or null; or `tree:` with
    labels nested in labels, null below a leaf, [labels] for several leaves. Beside it, if wanted,
    `names:` with label: name.

    Where no label is a top node, the one parent that is no child is the root: it stands above the
    top nodes and is no label. Raises UserError with the line of the first fault.
    """
    file = Path(path)
    read = _READERS.get(file.suffix.lower())
    if read is None:
        raise UserError(
            f"{file}: a hierarchy ends in {', '.join(_READERS)}, not {file.suffix or 'nothing'!r}; "
            f"a tree file is read by WordTree.load"
        )
    return _graph(file, read(file))


def _graph(file: Path, rows: Iterable[Row]) -> LabelGraph:
    above: dict[str, dict[str, int]] = {}  # child -> parent -> line
    tops: dict[str, int] = {}
    names: dict[str, tuple[str, int]] = {}
    for line, child, parent, name in rows:
        for label in (child, parent) if parent else (child,):
            fault = label_fault(label)
            if fault:
                raise UserError(f"{file}, line {line}: the label {label!r} {fault}")
        if name:
            earlier, at = names.setdefault(child, (name, line))
            if earlier != name:
                raise UserError(
                    f"{file}, line {line}: {child!r} has the name {name!r}, but {earlier!r} in "
                    f"line {at}; give it one name"
                )
        if parent is None:
            continue
        parents = above.setdefault(child, {})
        if parents or child in tops:
            fault = _again(child, parent, parents, tops.get(child))
            if fault:
                raise UserError(f"{file}, line {line}: {fault}; remove one")
        if parent:
            parents[parent] = line
        else:
            tops[child] = line
    root = _root(file, above)
    for label, (name, line) in names.items():
        if label not in above and label != root:
            raise UserError(
                f"{file}, line {line}: the name {name!r} is given to {label!r}, which is no label "
                f"of the hierarchy; correct one of them"
            )
    graph = make_graph(above, root=root, names={label: name for label, (name, _) in names.items()})
    try:
        return refuse_cycle(graph, lambda child, parent: str(above[child][parent]))
    except UserError as error:
        raise UserError(f"{file}: {error}") from None


def _again(child: str, parent: str, parents: Mapping[str, int], top: int | None) -> str:
    """Why a child cannot have this parent after those of earlier lines; empty where it can."""
    if parent in parents:
        return f"{child!r} stands below {parent!r} in line {parents[parent]} already"
    if top is not None:
        now = f", here below {parent!r}" if parent else ""
        return f"{child!r} is a top node in line {top} already{now}"
    if parents and not parent:
        other, line = next(iter(parents.items()))
        return f"{child!r} is a top node here, and stands below {other!r} in line {line}"
    return ""


def _root(file: Path, above: Mapping[str, Mapping[str, int]]) -> str:
    """The one parent that is no label, where no label is a top node; else empty."""
    if not above:
        raise UserError(f"{file} has no labels; give each a row with its parent")
    missing = missing_parents(above)
    if not missing or (len(missing) == 1 and all(above.values())):
        return missing[0] if missing else ""
    child, line = next(
        (child, parents[missing[0]]) for child, parents in above.items() if missing[0] in parents
    )
    more = f" (and {len(missing) - 1} more like it)" if len(missing) > 1 else ""
    raise UserError(
        f"{file}, line {line}: the parent {missing[0]!r} of {child!r}{more} is no label of the "
        f"hierarchy; correct it, or add it, without a parent if it is a top node"
    )
