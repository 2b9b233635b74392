"""A scene: emoji placed without hiding each other, and pasted onto a background."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.sources.emoji_backgrounds import background
from data.sources.emoji_sprites import EDGE, Sprite, fresh_sprite, sprite_bank

GAIN = (0.65, 1.15)  # of the brightness
MAX_OVERLAP = 0.2  # of two boxes, as a part of the smaller one
MIN_SIDE = 10.0  # pixels; below it no emoji can be told from another

_TRIES = 30

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """A drawn image and the objects that found a place in it.

    image: uint8 (H, W, 3), RGB. boxes: float32 (n, 4), xyxy in its pixels, tight round what was
    pasted. chosen: which of the wanted objects each is. masks: bool (n, H, W), the visible part
    of each, or None where not asked for.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    chosen: list[int]
    masks: NDArray[np.bool_] | None


def draw_scene(
    emoji: Sequence[int],
    sides: Sequence[float],
    size: tuple[int, int],
    draw: random.Random,
    *,
    fresh: bool = False,
    masks: bool = False,
) -> Scene:
    """Draws emoji (numbers in the table) with longer sides of `sides` pixels into size (h, w).

    Looks, brightness, places and background are drawn from `draw`. Each side is kept between
    `MIN_SIDE` and what the image holds. Places are sought for the largest object first; one that
    finds none within 30 tries is left out, so crowded scenes have fewer objects than were wanted,
    never none. What is pasted later hides what was pasted before, at most `MAX_OVERLAP` of the
    smaller box; that order is independent of the sizes.

    fresh: every object is rendered with a look of its own (0.2 ms each); else the bank's looks
    are used where it has the side.
    """
    # The sprite may be a step of the bank and two pixels larger than was asked for.
    most = max(0.96 * min(size) - 2, MIN_SIDE)
    image = background(*size, draw)
    bank = None if fresh else sprite_bank()
    sprites = []
    for number, side in zip(emoji, sides, strict=True):
        side = min(max(side, MIN_SIDE), most)
        sprite = bank.sprite(number, side) if bank else None
        sprites.append(sprite or fresh_sprite(number, side, draw))

    places = _places([alpha.shape for _, alpha in sprites], size, draw)
    order = sorted(places, key=lambda _: draw.random())
    for at in order:
        left, top, right, bottom = places[at]
        gain = GAIN[0] + (GAIN[1] - GAIN[0]) * draw.random()
        _paste(image[top:bottom, left:right], sprites[at], gain)
    return Scene(
        image,
        np.array([places[at] for at in order], np.float32).reshape(-1, 4),
        order,
        _visible(sprites, places, order, size) if masks else None,
    )


def _places(
    shapes: list[tuple[int, int]], size: tuple[int, int], draw: random.Random
) -> dict[int, Box]:
    """Object -> xyxy in whole pixels, for those that found a place."""
    places: dict[int, Box] = {}
    for at in sorted(range(len(shapes)), key=lambda one: -max(shapes[one])):
        height, width = shapes[at]
        for _ in range(_TRIES):
            top = int(draw.random() * (size[0] - height + 1))
            left = int(draw.random() * (size[1] - width + 1))
            box = (left, top, left + width, top + height)
            if not any(_hides(box, other) for other in places.values()):
                places[at] = box
                break
    return places


def _hides(one: Box, other: Box) -> bool:
    """Whether two boxes have more than `MAX_OVERLAP` of the smaller one in common."""
    x1, y1, x2, y2 = one
    u1, v1, u2, v2 = other
    width = (x2 if x2 < u2 else u2) - (x1 if x1 > u1 else u1)
    if width <= 0:
        return False
    height = (y2 if y2 < v2 else v2) - (y1 if y1 > v1 else v1)
    if height <= 0:
        return False
    return width * height > MAX_OVERLAP * min((x2 - x1) * (y2 - y1), (u2 - u1) * (v2 - v1))


def _paste(canvas: NDArray[np.uint8], sprite: Sprite, gain: float) -> None:
    """canvas = gain * colour + (1 - alpha) * canvas, in place; colour is multiplied by alpha."""
    colour, alpha = sprite
    behind = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGR)
    bright = cv2.convertScaleAbs(colour, alpha=gain)
    cv2.add(cv2.multiply(canvas, behind, scale=1 / 255), bright, dst=canvas)


def _visible(
    sprites: list[Sprite], places: dict[int, Box], order: list[int], size: tuple[int, int]
) -> NDArray[np.bool_]:
    masks = np.zeros((len(order), *size), bool)
    for number, at in enumerate(order):
        left, top, right, bottom = places[at]
        opaque = sprites[at][1] > EDGE
        masks[:number, top:bottom, left:right] &= ~opaque
        masks[number, top:bottom, left:right] = opaque
    return masks
