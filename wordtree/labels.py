"""What a data set's categories mean: a map from category names to keys of a tree."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from wordtree.errors import UserError
from wordtree.formats.darknet import read_map, write_map
from wordtree.formats.text import read_lines, read_text, write_text
from wordtree.tree import WordTree
from wordtree.wording import short

PACKAGED = Path(__file__).with_name("label_maps")
_WNID = re.compile(r"n\d{8}")

# A key; several keys: their lowest common ancestor; None: left out on purpose. An int is a node
# of the one tree that a darknet map belongs to.
Target = str | tuple[str, ...] | int | None


@dataclass(frozen=True)
class LabelMap:
    """A data set's name and, for each of its categories in order, what it points to."""

    dataset: str
    targets: Mapping[str, Target]

    @property
    def categories(self) -> tuple[str, ...]:
        """The names of the categories, in order."""
        return tuple(self.targets)

    def keys(self) -> list[str]:
        """The keys to build a tree of, in the order of the categories, each once."""
        found: dict[str, None] = {}
        for target in self.targets.values():
            if isinstance(target, int):
                raise UserError(
                    f"the map {self.dataset} points to nodes of one tree by number; give that "
                    f"tree to read_darknet to have keys"
                )
            if target is not None:
                found.update(dict.fromkeys((target,) if isinstance(target, str) else target))
        return list(found)

    def nodes(self, tree: WordTree) -> NDArray[np.int64]:
        """int64: the node of each category in this tree, -1 where it is left out on purpose.

        Raises UserError for a category whose key the tree lacks.
        """
        result = np.full(len(self.targets), -1, np.int64)
        for at, (category, target) in enumerate(self.targets.items()):
            if target is not None:
                result[at] = self._node(tree, category, target)
        return result

    def _node(self, tree: WordTree, category: str, target: str | tuple[str, ...] | int) -> int:
        where = f"category {category!r} of {self.dataset}"
        if isinstance(target, int):
            if not 0 <= target < len(tree):
                raise UserError(
                    f"{where} is node {target}, but the tree has {len(tree)}; take the tree that "
                    f"the map was made for"
                )
            return target
        try:
            keys = (target,) if isinstance(target, str) else target
            members = [_index(tree, key) for key in keys]
        except UserError as error:
            raise UserError(
                f"{where}: {error}; build the tree with this map, or "
                f"let wordtree-inspect remap say what stands in"
            ) from None
        node = members[0]
        for other in members[1:]:
            node = int(tree.lca(node, other)) if node >= 0 else -1
        if node < 0:
            raise UserError(
                f"{where} is one of {', '.join(map(str, target))}, which have no common ancestor "
                f"in the tree; choose one of them, or null"
            )
        return node

    def with_keys_of(self, tree: WordTree) -> LabelMap:
        """The same map with the tree's keys for names, and without node numbers."""
        targets: dict[str, Target] = {}
        for category, target in self.targets.items():
            if isinstance(target, tuple):
                targets[category] = tuple(tree.keys[_index(tree, key)] for key in target)
            elif target is None:
                targets[category] = None
            else:
                targets[category] = tree.keys[self._node(tree, category, target)]
        return LabelMap(self.dataset, targets)

    def select(self, categories: Iterable[str], *, source: str = "") -> LabelMap:
        """The map of these categories alone, in their order; UserError for an unknown one."""
        wanted = list(dict.fromkeys(categories))
        unknown = [category for category in wanted if category not in self.targets]
        if unknown:
            close = difflib.get_close_matches(unknown[0], self.targets, n=3)
            hint = f"; near to it are {', '.join(map(repr, close))}" if close else ""
            more = f" (and {len(unknown) - 1} other categories)" if len(unknown) > 1 else ""
            raise UserError(
                f"{source or 'the data set'} has the category {unknown[0]!r}{more}, which the "
                f"label map {self.dataset} lacks{hint}; add it to a map of your own"
            )
        return LabelMap(self.dataset, {category: self.targets[category] for category in wanted})

    # -- files -------------------------------------------------------------------------------

    @classmethod
    def load(cls, name: str | Path) -> LabelMap:
        """Reads a YAML file, or a map that comes with the package (`coco80`)."""
        path = Path(name)
        packaged = PACKAGED / f"{name}.yaml"
        if not path.exists() and path.name == str(name) and packaged.exists():
            path = packaged
        elif not path.exists():
            known = sorted(file.stem for file in PACKAGED.glob("*.yaml"))
            raise UserError(
                f"there is no label map {str(name)!r}: neither a file nor one of the packaged "
                f"maps ({', '.join(known)})"
            )
        try:
            content = yaml.load(read_text(path), Loader=_StrictLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise UserError(f"{path}, line {line}: {error.problem or 'not YAML'}") from None
        except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError) as error:
            # PyYAML lets dates and numbers that are none out as Python's own errors.
            reason = (str(error).splitlines() or ["damaged"])[0]
            raise UserError(
                f"{path}: not YAML that can be read ({reason}); put names in quotes"
            ) from None
        return cls._checked(path, content)

    @classmethod
    def _checked(cls, path: Path, content: Any) -> LabelMap:
        if not isinstance(content, dict) or not isinstance(content.get("map"), dict):
            raise UserError(f"{path}: a label map has `dataset: NAME` and `map:` with categories")
        extra = set(content) - {"dataset", "map"}
        if extra:
            raise UserError(
                f"{path}: a label map has dataset and map, not {min(map(str, extra))!r}"
            )
        targets: dict[str, Target] = {}
        for category, target in content["map"].items():
            if not isinstance(category, str):
                raise UserError(f"{path}: category {category!r} is no text; put it in quotes")
            if isinstance(target, list) and target and all(isinstance(k, str) for k in target):
                targets[category] = tuple(target)
            elif target is None or (isinstance(target, str) and target):
                targets[category] = target
            else:
                raise UserError(
                    f"{path}: category {category!r} points to {target!r}; give a key, a list of "
                    f"keys, or null to leave it out"
                )
        dataset = content.get("dataset", path.stem)
        if not isinstance(dataset, str) or not re.fullmatch(r"[^/\\\s\0][^/\\\n\0]*", dataset):
            raise UserError(f"{path}: the dataset {dataset!r} is no name for a file; change it")
        return cls(dataset, targets)

    def save(self, path: str | Path, comments: Mapping[str, str] | None = None) -> None:
        """Writes a YAML file; `comments` (category -> text, e.g. a gloss) stand behind the keys."""
        lines = [f"dataset: {_scalar(self.dataset)}", "map:"]
        for category, target in self.targets.items():
            if isinstance(target, int):
                raise UserError("a map of node numbers has no YAML form; read it with its tree")
            if target is None:
                value = "null"
            elif isinstance(target, str):
                value = _scalar(target)
            else:
                value = f"[{', '.join(map(_scalar, target))}]"
            comment = " ".join((comments or {}).get(category, "").split())
            name = _scalar(category)
            # YAML reads a key of over 1,024 characters only where it is announced.
            name = name if len(name) < 1000 else f"? {name}\n  "
            lines.append(f"  {name}: {value}" + (f"  # {comment}" if comment else ""))
        write_text(Path(path), "\n".join(lines) + "\n")

    @classmethod
    def read_darknet(
        cls, map: str | Path, names: str | Path, tree: WordTree | None = None
    ) -> LabelMap:
        """Reads darknet's `.map` (a node a category) with the categories' `.names`.

        With the tree that the map belongs to, the targets are its keys; else node numbers, which
        serve for `nodes` alone.
        """
        nodes = read_map(Path(map)).tolist()
        categories = [line.strip() for line in read_lines(Path(names))]
        if len(nodes) != len(categories):
            raise UserError(
                f"{map} has {len(nodes)} lines and {names} has {len(categories)}; they must agree "
                f"line by line"
            )
        if len(set(categories)) < len(categories):
            twice = next(name for name in categories if categories.count(name) > 1)
            raise UserError(f"{names}: the category {twice!r} stands there twice; rename one")
        numbered = cls(Path(map).stem, dict(zip(categories, nodes, strict=True)))
        if tree is None:
            return numbered
        keys = (tree.keys[node] for node in numbered.nodes(tree).tolist())
        return cls(numbered.dataset, dict(zip(categories, keys, strict=True)))

    def write_darknet(self, path: str | Path, tree: WordTree) -> None:
        """Writes a `.map`: the node of each category; UserError where one is left out."""
        nodes = self.nodes(tree).tolist()
        if -1 in nodes:
            raise UserError(
                f"{path}: category {self.categories[nodes.index(-1)]!r} is left out (null), which "
                f"a darknet map cannot say; map it, or write another format"
            )
        write_map(nodes, Path(path))

    @classmethod
    def from_folders(cls, folder: str | Path) -> LabelMap:
        """The map of a folder of folders named by wnid (or of its `train` folder)."""
        path = Path(folder)
        found = _folders(path)
        if found == ["train"] or ("train" in found and not any(map(_WNID.fullmatch, found))):
            path = path / "train"
            found = _folders(path)
        if not found:
            raise UserError(f"{path} has no folders; give one that has a folder of photos a label")
        for name in found:
            if not _WNID.fullmatch(name):
                raise UserError(
                    f"{path / name} is not named by a wnid (such as n02094433); rename it, or let "
                    f"wordtree-suggest write a label map of these folders"
                )
        whole = Path(folder).resolve()
        dataset = whole.parent.name if whole.name == "train" else whole.name
        return cls(dataset or whole.name, {name: name for name in found})

    @classmethod
    def from_keys(cls, dataset: str, keys: Sequence[str]) -> LabelMap:
        """The map of a data set whose categories are keys themselves."""
        return cls(dataset, {key: key for key in keys})


def _folders(path: Path) -> list[str]:
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a folder") from None
    return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _scalar(text: str) -> str:
    """A YAML scalar; in quotes where YAML would read it as something else than this text."""
    plain = re.fullmatch(r"[A-Za-z0-9][\w.() -]*", text) and text == text.strip()
    if plain and yaml.safe_load(text) == text:
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{short(text)} is a name that UTF-8 cannot write; correct it") from None
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"


def _index(tree: WordTree, key: str) -> int:
    """The node of a key or unique name, else of the one noun that a synset name or word means."""
    try:
        return tree.index(key)
    except UserError:
        from wordtree.suggest import resolve
        from wordtree.wordnet import NounGraph

        nouns = NounGraph.embedded()
        try:
            found = nouns.keys[resolve(nouns, key)]
        except UserError:
            found = ""
        if found not in tree:
            raise
        return tree.index(found)


class _StrictLoader(yaml.SafeLoader):
    """YAML with each key once: plain YAML silently takes the last of two."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, float, bool, type(None))):
            problem = f"{key!r} is no name of a category"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        if key in result:
            problem = f"{key!r} stands there twice; remove one"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        result[key] = loader.construct_object(value_node, deep=True)
    return result


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
