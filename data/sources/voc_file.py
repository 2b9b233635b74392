"""One annotation file of Pascal VOC: its photo's name and size, and its objects as written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from data.sources.file_index import Problems
from wordtree.errors import UserError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """name: its category; corners: xmin, ymin, xmax, ymax as written, NaN where no number."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocFile:
    """photo: the base name that the file gives its photo, may be empty or wrong. size: height and
    width, 0 where it does not say. lost: whether it has objects without a name or a box."""

    photo: str
    size: tuple[int, int]
    objects: tuple[VocObject, ...]
    lost: bool = False


def read_voc_file(path: str | Path, problems: Problems, *, need_boxes: bool = True) -> VocFile:
    """Reads a file; objects without a name or (where they need one) a box are added to `problems`.

    Raises UserError (`NAME.xml: why`) for what is no VOC file. A document type is refused before
    anything of it is looked at, whatever the file's encoding: VOC has none, and entities, which
    may grow without end or name other files, can be declared nowhere else.
    """
    name = os.path.basename(path)
    root = _parse(path, name)
    if root.tag != "annotation":
        raise UserError(f"{name}: <{root.tag}> where VOC has <annotation>")
    objects, lost = [], False
    for entry in root.findall("object"):
        label, box = _text(entry, "name"), entry.find("bndbox")
        if box is None and not need_boxes:
            box = Element("bndbox")
        if not label or box is None:
            lost = True
            problems.add("objects without a name or a box", f"{name} {label or 'no name'}")
            continue
        xmin, ymin, xmax, ymax = (_number(_text(box, corner)) for corner in _CORNERS)
        hard = _text(entry, "difficult") in ("1", "true", "True")
        objects.append(VocObject(label, (xmin, ymin, xmax, ymax), hard))
    size = root.find("size")
    height, width = (0, 0) if size is None else (_side(size, "height"), _side(size, "width"))
    # A path of the machine that wrote it (also one of Windows) says nothing but its last part.
    photo = os.path.basename(_text(root, "filename").replace("\\", "/"))
    return VocFile(photo, (height, width), tuple(objects), lost)


def _parse(path: str | Path, name: str) -> Element:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{name}: {(error.strerror or str(error)).lower()}") from error

    def refuse(*_: Any) -> None:
        raise UserError(f"{name}: it declares a document type, which VOC files do not")

    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
        return builder.close()
    except expat.ExpatError as error:
        what = expat.ErrorString(error.code)
        raise UserError(f"{name}: line {error.lineno} column {error.offset + 1}: {what}") from error
    except (ValueError, LookupError) as error:  # encodings that expat cannot read
        raise UserError(f"{name}: {error}") from error


def _text(entry: Element, tag: str) -> str:
    return (entry.findtext(tag) or "").strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _side(size: Element, tag: str) -> int:
    value = _number(_text(size, tag))
    return int(value) if 1 <= value < 1e9 else 0
