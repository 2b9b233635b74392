"""Which photos a set of shards holds, and what stands beside each: webdataset's conventions.

Members with one path up to the first dot of the base name are one sample: `a/1.jpg`, `a/1.cls`
and `a/1.json` are the photo, the label and the rest of sample `a/1`, wherever in the shard they
stand. In the other usual layout the class is the member's folder: `n02094433/1.JPEG`.
"""

from __future__ import annotations

import glob
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data.images import PHOTO_ENDINGS
from data.root import data_path, data_root
from data.sources.file_index import Problems
from data.sources.shard_index import ShardIndex, index_shards
from data.sources.tar_members import MAX_TEXT
from wordtree.errors import UserError
from wordtree.formats.text import read_lines, read_text

LabelFrom = Literal["folder", "cls", "txt", "json"]
LABELS_FROM: tuple[LabelFrom, ...] = ("folder", "cls", "txt", "json")
_MAX_SHARDS = 100_000
_RANGE = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})")
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class ShardPhoto:
    """A photo in a shard: number of the shard, name, place and size of the member, and the
    contents of the text members of its sample by ending (`cls`, `txt`, `json`), None of one that is
    longer than MAX_TEXT."""

    shard: int
    name: str
    offset: int
    size: int
    texts: Mapping[str, bytes | None]

    @property
    def folder(self) -> str:
        """The last folder of the member's name, empty where there is none."""
        return self.name.split("/")[-2] if "/" in self.name else ""


def find_shards(patterns: str | Sequence[str], *, root: Path | None = None) -> list[Path]:
    """The shards of a path or pattern, or of a list of them, in the order given.

    A pattern has braces (`train-{000..146}.tar`, `{a,b}.tar`) or the shell's `*`, `?`, `[...]`,
    whose matches come sorted. Relative ones start from `data_root(root)`. Raises UserError where
    one matches nothing or a shard is named twice.
    """
    found: list[Path] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|pipe:", pattern):
            raise UserError(
                f"the shard {pattern} lies on a server; copy it to a disk first, or mount its "
                "storage, since photos are read in any order"
            )
        for path in _expanded(pattern):
            if glob.has_magic(path) and not _below(path, root).exists():
                matches = sorted(glob.glob(str(_below(path, root))))
                if not matches:
                    raise UserError(
                        f"no file matches the shards {_below(path, root)}; correct the pattern, or "
                        "set WORDTREE_DATA to the folder that holds your data sets"
                    )
                found += map(Path, matches)
            else:
                found.append(data_path(path, root=root))
    if not found:
        raise UserError("no shards are named; give shards=PATTERN or a list of paths")
    for path, again in itertools.pairwise(sorted(map(os.path.abspath, found))):
        if path == again:
            raise UserError(f"the shard {path} is named twice; name it once")
    return found


def list_photos(
    paths: Sequence[Path], problems: Problems, *, photo: str | None = None
) -> tuple[list[ShardIndex], list[ShardPhoto]]:
    """The shards' indexes and their photos, shard after shard, in the order of the members.

    photo: the ending that is the photo (`jpg`), where samples have several; None: any ending that
    a photo may have. What is no photo is counted in `problems`. Raises UserError where shards
    cannot be used, where a sample has two photos, and where there is no photo at all.
    """
    photo = photo.removeprefix(".") if photo else None
    indexes = index_shards(paths)
    photos = [
        one
        for number, index in enumerate(indexes)
        for one in _photos(number, index, problems, photo)
    ]
    if not photos:
        found = f" (found: {problems})" if problems else ""
        endings = f".{photo}" if photo else ", ".join(sorted(PHOTO_ENDINGS))
        raise UserError(
            f"{named_shards(paths)} hold no photo{found}; a photo is a member whose name is, from "
            f"its first dot on, {endings}"
        )
    return indexes, photos


def label_namer(file: str | Path | None) -> Callable[[str], str]:
    """From a label as it is written to its name: the same, or, with a text file of a name a line,
    the name on the line of that number, counted from 0. Raises UserError, then and later."""
    if file is None:
        return str
    names = [line.strip() for line in read_lines(Path(file))]

    def named(label: str) -> str:
        if not label.isdecimal() or int(label) >= len(names):
            raise UserError(
                f"the label {label!r} is no line of {file}, which has {len(names)}, counted from "
                "0; leave label_names out where labels are names"
            )
        return names[int(label)]

    return named


def named_shards(paths: Sequence[Path]) -> str:
    """`the shards A` or `the shards A and 3 more`, for messages."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"the shards {paths[0]}{more}"


def read_classes(given: Any, *, root: Path | None = None) -> list[str] | None:
    """The labels that count: None for all, a list of them, or `{file: F.json, key: K}`, the list
    under that key of a JSON file. Raises UserError."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        if set(given) != {"file", "key"}:
            raise UserError(
                f"classes has the keys {', '.join(map(str, given))}; give a list of labels, or "
                "file (a JSON file) and key (where in it the list stands)"
            )
        if not all(isinstance(one, str) for one in given.values()):
            raise UserError(f"classes is {str(dict(given))[:100]}; give file and key as text")
        path = data_path(given["file"], root=root)
        try:
            content = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not JSON ({error}); correct the file") from None
        if not isinstance(content, dict) or given["key"] not in content:
            keys = ", ".join(content) if isinstance(content, dict) else "no object"
            raise UserError(
                f"{path} has no {given['key']!r} (it has {keys[:200]}); correct the key"
            )
        given = content[given["key"]]
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise UserError(f"classes is {str(given)[:100]}; give a list of labels, in quotes")
    return given


def label_of(photo: ShardPhoto, labels: LabelFrom, shard: Path | str) -> str | None:
    """The label of a photo: its folder, the text of `.cls` or `.txt`, or `label` of `.json`; None
    where there is none. Raises UserError for a member that holds no label."""
    if labels == "folder":
        return photo.folder or None
    if labels not in photo.texts:
        return None
    where = f"the .{labels} member of {photo.name!r} in {shard}"
    if labels == "json":
        label = read_json(photo, shard).get("label")
        if label is None:
            return None
        if not isinstance(label, str | int) or isinstance(label, bool):
            raise UserError(f"{where} has the label {label!r}; give a name or a number")
        return str(label)
    try:
        text = _text(photo, labels, where).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise UserError(f"{where} is no UTF-8 text; write it again") from None
    if not text or "\n" in text:
        raise UserError(f"{where} holds {text[:40]!r}; give one label in one line")
    return text


def read_json(photo: ShardPhoto, shard: Path | str) -> dict[str, Any]:
    """The object in a sample's `.json` member; an empty one where it has none."""
    if "json" not in photo.texts:
        return {}
    where = f"the .json member of {photo.name!r} in {shard}"
    try:
        content = json.loads(_text(photo, "json", where))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error}); write it again") from None
    if not isinstance(content, dict):
        raise UserError(f"{where} holds no JSON object; give one with `label`, or `boxes`")
    return content


def _text(photo: ShardPhoto, ending: str, where: str) -> bytes:
    text = photo.texts[ending]
    if text is None:
        raise UserError(
            f"{where} is longer than a text beside a photo may be, which is {MAX_TEXT:,} bytes; "
            "shorten it"
        )
    return text


def _photos(
    number: int, index: ShardIndex, problems: Problems, wanted: str | None
) -> Iterator[ShardPhoto]:
    photos: dict[str, int] = {}
    texts: dict[str, dict[str, bytes | None]] = {}
    keys: list[str] = []
    where = os.path.basename(index.shard.path)
    for row in range(len(index)):
        name = index.names[row]
        folder, base = os.path.split(name)
        stem, _, ending = base.partition(".")
        key, ending = os.path.join(folder, stem), ending.lower()
        if ending in LABELS_FROM:
            kept = index.texts[row] if index.sizes[row] <= MAX_TEXT else None
            texts.setdefault(key, {})[ending] = kept
            keys.append(key)
        elif not stem or f".{ending}" not in PHOTO_ENDINGS:
            problems.add("members that are no photos", f"{where}/{name}")
        elif wanted is None or ending == wanted.lower():
            if key in photos:
                raise UserError(
                    f"the sample {key!r} of the shard {index.shard.path} has two photos "
                    f"({index.names[photos[key]]!r} and {name!r}); say which ending is the photo "
                    "(photo: jpg)"
                )
            photos[key] = row
    for key in dict.fromkeys(keys):
        if key not in photos:
            problems.add("samples without a photo", f"{where}/{key}")
    for key, row in photos.items():
        yield ShardPhoto(
            number,
            index.names[row],
            int(index.offsets[row]),
            int(index.sizes[row]),
            texts.get(key, {}),
        )


def _expanded(pattern: str) -> Iterable[str]:
    """`{0..3}` counts, zeros in front kept as the first number has them; `{a,b}` lists."""
    if re.search(r"\{[^}]*\{", pattern):
        raise UserError(
            f"the shards {pattern} have braces inside of braces; give a list of patterns"
        )
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    counted = _RANGE.fullmatch(found[1])
    if counted:
        first, last = int(counted[1]), int(counted[2])
        if not first <= last < first + _MAX_SHARDS:
            raise UserError(
                f"the shards {pattern} count from {first} to {last}; count upwards, to "
                f"{_MAX_SHARDS:,} shards at most"
            )
        width = len(counted[1]) if counted[1].startswith("0") else 1
        words: Iterable[str] = (f"{one:0{width}}" for one in range(first, last + 1))
    else:
        words = found[1].split(",")
    before, after = pattern[: found.start()], pattern[found.end() :]
    return itertools.chain.from_iterable(_expanded(f"{before}{word}{after}") for word in words)


def _below(path: str, root: Path | None) -> Path:
    given = Path(path).expanduser()
    return given if given.is_absolute() else data_root(root) / given
