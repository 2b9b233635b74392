"""The truths of a photo drawn on it: boxes with names, ignore regions, photo-level labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.draw import UNKNOWN, Picture, draw_boxes, draw_regions, node_colour
from wordtree import WordTree

# Boxes up to which each gets its name, in a photo that fills its picture.
EACH = 8


def draw_truths(
    picture: Picture,
    boxes: ArrayLike,
    nodes: ArrayLike,
    ignore: ArrayLike,
    tree: WordTree,
    *,
    texts: list[str] | None = None,
) -> Picture:
    """Boxes in their nodes' colours, and ignore regions dashed in grey.

    boxes: (n, 4) xyxy in pixels of `picture`; nodes: (n,), -1 where unknown; ignore: bool (n,).
    texts: one a box, those of `box_texts` by default.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    nodes, ignore = np.asarray(nodes, np.int64), np.asarray(ignore, bool)
    texts = box_texts(boxes, nodes, ignore, tree) if texts is None else texts
    colours = [node_colour(node) for node in nodes.tolist()]
    regions, truths = np.flatnonzero(ignore).tolist(), np.flatnonzero(~ignore).tolist()
    picture = draw_regions(
        picture,
        boxes[regions],
        [texts[row] for row in regions],
        [UNKNOWN] * len(regions),
    )
    return draw_boxes(
        picture,
        boxes[truths],
        [texts[row] for row in truths],
        [colours[row] for row in truths],
    )


def draw_labels(picture: Picture, region: ArrayLike, nodes: ArrayLike, tree: WordTree) -> Picture:
    """A dashed outline round a label-only photo with the names of its nodes.

    region: (4,) xyxy in pixels of `picture`; nodes: int64 (k,).
    """
    found = np.asarray(nodes, np.int64).tolist()
    text = ", ".join(tree.names[node] for node in found) or "no label"
    colour = node_colour(found[0]) if found else UNKNOWN
    return draw_regions(picture, np.asarray(region)[None], [text], [colour])


def box_texts(
    boxes: NDArray[np.float64],
    nodes: NDArray[np.int64],
    ignore: NDArray[np.bool_],
    tree: WordTree,
    *,
    each: int = EACH,
) -> list[str]:
    """A text a box of one photo: its name, "object" where that is unknown, or "ignored".

    Where there are more than `each`, texts on texts could not be read: the largest box of each
    class alone has one, with the number of all; its colour tells the others.
    """
    kinds = np.where(ignore, -2, nodes)

    def name(kind: int) -> str:
        return tree.names[kind] if kind >= 0 else ("object" if kind == -1 else "ignored")

    if len(kinds) <= each:
        return [name(kind) for kind in kinds.tolist()]
    texts = [""] * len(kinds)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    for kind in np.unique(kinds).tolist():
        rows = np.flatnonzero(kinds == kind)
        texts[rows[areas[rows].argmax()]] = name(kind) + (f" × {len(rows)}" * (len(rows) > 1))
    return texts
