"""The `data.yaml` of a YOLO data set: its classes, and where its photos lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data.images import PHOTO_ENDINGS
from data.sources.file_index import Problems
from wordtree.errors import UserError
from wordtree.formats.text import read_lines, read_text

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DataYaml:
    """file: the data.yaml itself. names: class number -> name. key_points: whether its label lines
    go on with key points after the box. splits: `train`, `val`, `test` as written."""

    file: Path
    root: str
    names: dict[int, str]
    key_points: bool
    splits: dict[str, list[str]]


def read_data_yaml(path: str | Path) -> DataYaml:
    """Reads the file; `names` may be a list or a mapping of numbers.

    What it would have downloaded is not looked at. Raises UserError for what is no data.yaml.
    """
    file = Path(path)
    try:
        content = yaml.safe_load(read_text(file))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{file}, line {line}: {error.problem or 'not YAML'}; correct it") from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise UserError(f"{file} is no YAML that can be read ({reason}); correct it") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} holds no keys; give the data.yaml of a YOLO data set")
    names = _names(file, content)
    root = content.get("path") or ""
    if not isinstance(root, str):
        raise UserError(f"path of {file} is no text; give the folder of the data set")
    splits = {
        split: _entries(file, split, content[split]) for split in SPLITS if content.get(split)
    }
    return DataYaml(file, root, names, "kpt_shape" in content, splits)


def _names(file: Path, content: dict[Any, Any]) -> dict[int, str]:
    given, count = content.get("names"), content.get("nc")
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not isinstance(given, dict) or not given:
        raise UserError(
            f"{file} has no names; give the data.yaml of a YOLO data set, with its classes"
        )
    names = {}
    for number, name in given.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise UserError(
                f"names of {file} has a key that is no number (a {type(number).__name__}); number "
                "the classes from 0"
            )
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise UserError(
                f"class {number} of {file} is no text (a {type(name).__name__}); put its name in "
                "quotes"
            )
        names[number] = str(name)
    if isinstance(count, int) and count != len(names):
        raise UserError(f"{file} says nc: {count}, but has {len(names)} names; correct one of them")
    return names


def _entries(file: Path, split: str, given: Any) -> list[str]:
    entries = given if isinstance(given, list) else [given]
    if not all(isinstance(entry, str) and entry for entry in entries):
        raise UserError(
            f"{split} of {file} is neither a folder, a list of folders nor a .txt file; correct it"
        )
    return entries


def list_photos(
    content: DataYaml, split: str, folder: str | Path | None, problems: Problems
) -> tuple[str, list[str]]:
    """The folder that paths start from, and the absolute paths of a split's photos, each once.

    folder: instead of the file's own `path`. A relative `path` starts from the folder of the
    data.yaml. Lists of photos start from the folder of the list.
    """
    if split not in content.splits:
        there = ", ".join(content.splits) or "none at all"
        raise UserError(f"{content.file} has no split {split!r}; it has {there}")
    beside = os.path.abspath(content.file.parent)
    root = (
        os.path.abspath(folder)
        if folder is not None
        else os.path.join(beside, os.path.expanduser(content.root))
    )
    root = os.path.normpath(root)
    found: list[str] = []
    for entry in content.splits[split]:
        place = _place(content.file, split, root, entry)
        found += _listed(place) if place.endswith(".txt") else sorted(_below(place))
    photos = list(dict.fromkeys(found))
    if len(photos) < len(found):
        problems.add("photos listed twice", split, count=len(found) - len(photos))
    if not photos:
        raise UserError(f"{split} of {content.file} has no photo; correct its folders")
    return root, photos


def _place(file: Path, split: str, root: str, entry: str) -> str:
    place = os.path.normpath(os.path.join(root, os.path.expanduser(entry)))
    # Roboflow writes ../train/images into a data.yaml that stands beside train.
    above = os.path.normpath(os.path.join(root, entry[3:])) if entry.startswith("../") else place
    for one in (place, above):
        if os.path.isdir(one) or (one.endswith(".txt") and os.path.isfile(one)):
            return one
    raise UserError(
        f"{split} of {file} is {place}, which is neither a folder nor a .txt file there; correct "
        "it, or give the folder that its paths start from (folder=...)"
    )


def _below(place: str) -> Iterator[str]:
    for where, below, files in os.walk(place):
        below[:] = [one for one in below if not one.startswith(".")]
        for file in files:
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in PHOTO_ENDINGS:
                yield os.path.join(where, file)


def _listed(place: str) -> list[str]:
    start = os.path.dirname(place)
    lines = (line.strip() for line in read_lines(Path(place)))
    return [os.path.normpath(os.path.join(start, line)) for line in lines if line]
