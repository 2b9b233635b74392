"""What stands behind the emoji: a bank of drawn textures, cut, mirrored and re-coloured."""

from __future__ import annotations

import random
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

BANK = 240
SIDE = 224  # pixels; larger scenes get an enlarged cut


@cache
def backgrounds() -> NDArray[np.uint8]:
    """uint8 (BANK, SIDE, SIDE, 3), made once a process (0.8 s, 36 MB), the same everywhere.

    In turn: gradients of two colours, low-frequency noise, stripes, checks; all with fine noise.
    """
    rng = np.random.default_rng(20161225)  # any number; the date of the paper's first version
    makers = (_gradient, _clouds, _stripes, _checks)
    bank = np.empty((BANK, SIDE, SIDE, 3), np.uint8)
    for at in range(BANK):
        smooth = makers[at % len(makers)](rng)
        grain = rng.normal(0, rng.uniform(0, 14), (SIDE, SIDE)).astype(np.float32)
        bank[at] = np.clip(smooth + grain[..., None], 0, 255)
    return bank


def background(height: int, width: int, draw: random.Random) -> NDArray[np.uint8]:
    """uint8 (height, width, 3), C-contiguous and the caller's own: a cut of a texture.

    Mirrored or not, with red and blue exchanged or not, at a contrast of a quarter to .7: a texture
    must not be louder than what stands on it.
    """
    texture = backgrounds()[int(draw.random() * BANK)]
    enlarge = max(1.0, height / SIDE, width / SIDE)
    rows, columns = min(SIDE, round(height / enlarge)), min(SIDE, round(width / enlarge))
    top = int(draw.random() * (SIDE - rows + 1))
    left = int(draw.random() * (SIDE - columns + 1))
    cut = texture[top : top + rows, left : left + columns]
    contrast = 0.25 + 0.45 * draw.random()
    # the shift stays in what the contrast leaves free, so nothing is cut off at black or white
    shift = draw.random() * 255 * (1 - contrast)
    cut = cv2.convertScaleAbs(cut, alpha=contrast, beta=shift)
    if draw.random() < 0.5:
        cut = cv2.flip(cut, 1)
    if draw.random() < 0.5:
        cut = cv2.cvtColor(cut, cv2.COLOR_RGB2BGR)
    if enlarge > 1:
        cut = cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR)
    return cut


def _colour(rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.uniform(0, 255, 3).astype(np.float32)


def _ramp(rng: np.random.Generator) -> NDArray[np.float32]:
    """(SIDE, SIDE): distance along a random direction, in pixels."""
    angle = rng.uniform(0, 2 * np.pi)
    across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    return (across * np.cos(angle) + down * np.sin(angle)).astype(np.float32)


def _blend(
    weight: NDArray[np.float32], first: NDArray[np.float32], second: NDArray[np.float32]
) -> NDArray[np.float32]:
    return first + weight[..., None] * (second - first)


def _gradient(rng: np.random.Generator) -> NDArray[np.float32]:
    ramp = _ramp(rng)
    # several turns over the texture, so that a small cut shows a gradient too
    turn = (1 - np.cos(ramp * (2 * np.pi * rng.uniform(0.4, 2.5) / SIDE))) / 2
    return _blend(turn.astype(np.float32), _colour(rng), _colour(rng))


def _clouds(rng: np.random.Generator) -> NDArray[np.float32]:
    cells = int(rng.integers(3, 24))
    coarse = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
    base = _colour(rng)
    fine = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return base + np.float32(rng.uniform(0.2, 0.8)) * (fine - base)


def _stripes(rng: np.random.Generator) -> NDArray[np.float32]:
    wave = np.sin(_ramp(rng) * (2 * np.pi / rng.uniform(6, 48)))
    first = _colour(rng)
    second = first + np.float32(rng.uniform(0.2, 0.8)) * (_colour(rng) - first)
    return _blend(np.clip(0.5 + 2 * wave, 0, 1).astype(np.float32), first, second)


def _checks(rng: np.random.Generator) -> NDArray[np.float32]:
    side = int(rng.integers(5, 32))
    across, down = np.meshgrid(np.arange(SIDE) // side, np.arange(SIDE) // side)
    first = _colour(rng)
    second = first + np.float32(rng.uniform(0.15, 0.7)) * (_colour(rng) - first)
    return _blend(((across + down) % 2).astype(np.float32), first, second)
