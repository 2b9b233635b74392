"""Where photos come from: one file a source. Every source speaks `Sample`.

A source reads nothing when it is made but its annotation file or its folder's listing, keeps a
light index (arrays, so that forked workers share its memory), can be pickled, and never writes to
the user's folders.
"""

from __future__ import annotations

from typing import Protocol

from data.sample import Kind, Sample
from data.sources.counts import Counts, count_boxes, count_labels

__all__ = ["Counts", "Source", "count_boxes", "count_labels"]


class Source(Protocol):
    """Photos by number, of one declared kind.

    name: stands in `Sample.source`, logs and reports. kind: what the caller declared the photos to
    be; a source never concludes it from a label that is missing.

    A source that knows its truths without reading photos (every source of files does) has one
    method more, `counts() -> Counts`: boxes and photos of each node, made with one call of
    `count_boxes` or `count_labels` on its index. The mixture report at the head of a training log
    is made of it, `data/sources/coco.py` and `image_folder.py` show it.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    def __len__(self) -> int: ...

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:
        """Photo `index` and what is known of it; boxes are xyxy in its own pixels.

        size: (height, width) at which a source that draws its photos draws them; a source of files
        ignores it. Raises `BrokenPhoto`.
        """
        ...
