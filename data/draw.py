"""Boxes, labels and contact sheets, drawn so that a person can read them.

Pictures are uint8 (H, W, 3) RGB; every function gives a new one. Small pictures are enlarged first
(`enlarge`), so that a label on 128 pixels is as sharp as on 1,000.
"""

from __future__ import annotations

import colorsys
import contextlib
import importlib.util
import os
import tempfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from wordtree.errors import UserError

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]

UNKNOWN: Colour = (160, 160, 160)
_GOLDEN = 0.6180339887498949  # steps of this part of the circle never come close to each other


def node_colour(node: int) -> Colour:
    """The colour of a node, always the same; siblings, whose numbers follow, differ widely. Grey
    for -1, an object whose label is unknown."""
    if node < 0:
        return UNKNOWN
    hue = node * _GOLDEN % 1
    lightness = (0.55, 0.45, 0.65)[node % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_boxes(
    image: Picture,
    boxes: ArrayLike,
    texts: Sequence[str] | None = None,
    colours: Sequence[Colour] | None = None,
    *,
    enlarge: int = 1,
) -> Picture:
    """Boxes with their labels on strips of the box's colour.

    boxes: (n, 4) xyxy in pixels of `image`. texts: one a box, "" for none. colours: one a box,
    for instance `node_colour(node)`; without them a text decides its colour.
    enlarge: the picture is made this many times larger before anything is drawn.
    """
    return _draw(image, boxes, texts, colours, enlarge=enlarge, dashed=False)


def draw_regions(
    image: Picture,
    regions: ArrayLike,
    texts: Sequence[str] | None = None,
    colours: Sequence[Colour] | None = None,
    *,
    enlarge: int = 1,
) -> Picture:
    """As `draw_boxes`, with dashed outlines just inside the regions, and labels inside too: the
    parts of an input in which label-only photos stand."""
    return _draw(image, regions, texts, colours, enlarge=enlarge, dashed=True)


def enlarged(image: Picture, factor: int) -> Picture:
    """The picture `factor` times as large, smoothly."""
    height, width = image.shape[:2]
    if factor == 1:
        return image.copy()
    return np.array(_picture(image).resize((width * factor, height * factor), Image.BICUBIC))


def contact_sheet(
    images: Sequence[Picture],
    columns: int,
    *,
    gap: int = 6,
    ground: Colour = (255, 255, 255),
    captions: Sequence[str] | None = None,
) -> Picture:
    """Pictures in rows of `columns`, each centred in a cell of the largest one's size.

    gap: pixels between cells and around them. captions: one a picture, written below it.
    """
    if not images or columns < 1:
        raise ValueError(f"a sheet of {len(images)} pictures in {columns} columns")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = max(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    size = _text_size(height, width)
    below = round(size * 1.6) if captions is not None else 0
    sheet = Image.new(
        "RGB",
        (columns * (width + gap) + gap, rows * (height + below + gap) + gap),
        ground,
    )
    pen = ImageDraw.Draw(sheet)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        x = gap + column * (width + gap) + (width - image.shape[1]) // 2
        y = gap + row * (height + below + gap) + (height - image.shape[0]) // 2
        sheet.paste(_picture(image), (x, y))
        if captions is not None:
            left = gap + column * (width + gap)
            top = gap + row * (height + below + gap) + height + below // 8
            text = _fitted(captions[number], size, width)
            pen.text((left, top), text, fill=_ink(ground), font=_font(size))
    return np.array(sheet)


def write_jpeg(path: str | Path, image: Picture, *, quality: int = 92) -> None:
    """Writes a picture whole or not at all: beside its place, then renamed. UserError where the
    folder cannot be written."""
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            # Without subsampling, since thin coloured lines are what these pictures are about.
            _picture(image).save(file, "JPEG", quality=quality, subsampling=0)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        raise UserError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}; give a folder that "
            "can be written and has room"
        ) from error


def _umask() -> int:
    # mkstemp makes files for the owner alone, and the mask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _draw(
    image: Picture,
    boxes: ArrayLike,
    texts: Sequence[str] | None,
    colours: Sequence[Colour] | None,
    *,
    enlarge: int,
    dashed: bool,
) -> Picture:
    corners = np.nan_to_num(np.asarray(boxes, np.float64).reshape(-1, 4)) * enlarge
    # A picture of boxes that went wrong must still be drawn.
    low, high = np.sort(corners.reshape(-1, 2, 2), axis=1).transpose(1, 0, 2)
    corners = np.concatenate([low, high], 1)
    texts = [""] * len(corners) if texts is None else texts
    colours = [_text_colour(text) for text in texts] if colours is None else colours
    canvas = _picture(enlarged(image, enlarge))
    pen = ImageDraw.Draw(canvas)
    size = _text_size(canvas.height, canvas.width)
    line = max(1, round(size / 8))
    limit = np.array([canvas.width - 1, canvas.height - 1] * 2)
    places: list[Rectangle] = []
    for corner, colour in zip(corners, colours, strict=True):
        left, top, right, bottom = np.rint(corner).clip(0, limit).astype(int).tolist()
        places.append((left, top, right, bottom))
        outline = _dashes if dashed else _outline
        outline(pen, (left, top, right, bottom), colour, line)
    # Labels last, so that no line crosses a text.
    taken: list[Rectangle] = []
    for place, text, colour in zip(places, texts, colours, strict=True):
        if text:
            taken.append(_label(pen, canvas.size, place, text, colour, size, taken, inside=dashed))
    return np.array(canvas)


def _outline(pen: ImageDraw.ImageDraw, box: Rectangle, colour: Colour, width: int) -> None:
    left, top, right, bottom = box
    # A thin dark line outside keeps a light box visible on a light ground.
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(20, 20, 20))
    pen.rectangle(box, outline=colour, width=width)


def _dashes(pen: ImageDraw.ImageDraw, box: Rectangle, colour: Colour, width: int) -> None:
    left, top, right, bottom = box
    dash = 6 * width
    for x in range(left, right, 2 * dash):
        end = min(x + dash, right)
        pen.rectangle((x, top, end, min(top + width, bottom)), fill=colour)
        pen.rectangle((x, max(bottom - width, top), end, bottom), fill=colour)
    for y in range(top, bottom, 2 * dash):
        end = min(y + dash, bottom)
        pen.rectangle((left, y, min(left + width, right), end), fill=colour)
        pen.rectangle((max(right - width, left), y, right, end), fill=colour)


def _label(
    pen: ImageDraw.ImageDraw,
    canvas: tuple[int, int],
    box: Rectangle,
    text: str,
    colour: Colour,
    size: int,
    taken: Sequence[Rectangle],
    *,
    inside: bool,
) -> Rectangle:
    """Writes `text` on a strip near `box` where it covers no other strip, if there is such a
    place; gives the strip's place."""
    pad = max(1, size // 5)
    font = _font(size)
    text = _fitted(text, size, canvas[0] - 2 * pad)
    width = round(font.getlength(text)) + 2 * pad
    height = sum(font.getmetrics()) + pad
    left, top, right, bottom = box
    within = [(left, top), (left, bottom - height), (right - width, top)]
    outside = [(left, top - height), (left, bottom + 1), (right - width, top - height)]
    tries = within if inside else outside + within
    # Below the last try, one strip after the other, as a list.
    tries = tries + [(left, top + step * height) for step in range(1, 8)]
    strips = [_pushed_inside(x, y, width, height, canvas) for x, y in tries]
    at = next((s for s in strips if not any(_overlap(s, t) for t in taken)), strips[0])
    pen.rectangle((at[0], at[1], at[2] - 1, at[3] - 1), fill=colour)
    pen.text((at[0] + pad, at[1] + pad // 2), text, fill=_ink(colour), font=font)
    return at


def _pushed_inside(x: int, y: int, width: int, height: int, canvas: tuple[int, int]) -> Rectangle:
    x, y = max(0, min(x, canvas[0] - width)), max(0, min(y, canvas[1] - height))
    return x, y, x + width, y + height


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _fitted(text: str, size: int, width: int) -> str:
    """One line of at most `width` pixels, cut with an ellipsis."""
    # No label that fits has more letters; a name of 10 kB must not cost a second to measure.
    text = "".join(c if c.isprintable() else " " for c in text[: max(1, width)])
    text = " ".join(text.split())
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = font.getlength(text[:middle] + "…") <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[:low].rstrip() + "…"


def _text_size(height: int, width: int) -> int:
    """Letters of about a thirtieth of the picture, 11 pixels at least: less cannot be read."""
    return int(np.clip(round(min(height, width) / 28), 11, 40))


def _text_colour(text: str) -> Colour:
    return node_colour(zlib.crc32(text.encode("utf-8", "replace")))


def _ink(ground: Colour) -> Colour:
    red, green, blue = ground
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    return (0, 0, 0) if light > 128 else (255, 255, 255)


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib carries DejaVu Sans, whose letters go far beyond English; it need not be imported
    # for that, which would take half a second.
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise RuntimeError("matplotlib, a requirement of this project, is not installed")
    file = Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


def _picture(image: Picture) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image))
