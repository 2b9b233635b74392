"""What flows through the data room: a photo with its truth, a network input, a batch.

Legend of dimension letters, for the whole project: B images, P photos, A anchors, H W grid,
R rows, N nodes, G groups, C channels, T truths, L labels. Boxes are `xyxy` in pixels; which
image's pixels is said at every place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Kind = Literal["boxed", "label_only", "background"]
KINDS: tuple[Kind, ...] = ("boxed", "label_only", "background")


def _no_boxes() -> NDArray[np.float32]:
    return np.zeros((0, 4), np.float32)


def _no_nodes() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


def _no_flags() -> NDArray[np.bool_]:
    return np.zeros(0, bool)


@dataclass(frozen=True)
class Sample:
    """One photo and what is known about it. Nodes are indices of the run's tree.

    image: uint8 (H, W, 3), RGB.
    kind: `boxed` (every object of its exhaustive nodes has a box), `label_only`, `background`.
    boxes: float32 (n, 4), xyxy in pixels of `image`.
    nodes: int64 (n,), -1 where the object's label is unknown: box and objectness, no class loss.
    ignore: bool (n,), crowds and null categories: neither truth nor background.
    labels: int64 (k,), nodes that the photo shows somewhere.
    absent: int64, nodes verified not to be in the photo.
    exhaustive: int64 nodes that are completely boxed, None for all of the source's.
    masks: bool (n, H, W) or None.
    source, index, path: where the photo is from; original_size: (height, width) of the file.
    """

    image: NDArray[np.uint8]
    kind: Kind
    boxes: NDArray[np.float32] = field(default_factory=_no_boxes)
    nodes: NDArray[np.int64] = field(default_factory=_no_nodes)
    ignore: NDArray[np.bool_] = field(default_factory=_no_flags)
    labels: NDArray[np.int64] = field(default_factory=_no_nodes)
    absent: NDArray[np.int64] = field(default_factory=_no_nodes)
    exhaustive: NDArray[np.int64] | None = None
    masks: NDArray[np.bool_] | None = None
    source: str = ""
    index: int = 0
    path: str = ""
    original_size: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if not (count == len(self.nodes) == len(self.ignore)):
            raise ValueError(
                f"{self.path or self.source}: {count} boxes, {len(self.nodes)} nodes and "
                f"{len(self.ignore)} ignore flags; each box needs one of both"
            )

    def replace(self, **changes: Any) -> Sample:
        """A copy with the named fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Input:
    """One network input: an image and the photos that stand in it.

    image: uint8 (H, W, 3), RGB, the network's size.
    samples: the photos; their `boxes` are in pixels of this image, their `image` is not used.
    regions: float32 (len(samples), 4), xyxy in pixels of this image: where each photo stands,
        padding left out.
    position: its place in the endless stream.
    broken: (path, reason) of the photos that could not be read and were replaced.
    """

    image: NDArray[np.uint8]
    samples: tuple[Sample, ...]
    regions: NDArray[np.float32]
    position: int = 0
    broken: tuple[tuple[str, str], ...] = ()


@dataclass
class Batch:
    """Network inputs and a flat table of the photos in them (contract.md, "Samples and batches").

    images: uint8 (B, 3, H, W), RGB. Boxes are xyxy in pixels of these images.
    photo_*: one entry a photo (P); photo_image is the index of its image in the batch,
        photo_kind an index into `KINDS`. truth_*: one entry a box (T). label_*: one entry a
        photo-level label (L). exhaustive_*: pairs; a photo without a pair is exhaustive for all
        of its source's nodes.
    """

    images: Tensor
    photo_image: Tensor
    photo_box: Tensor
    photo_kind: Tensor
    photo_source: list[str]
    photo_index: list[int]
    photo_path: list[str]
    exhaustive_photo: Tensor
    exhaustive_node: Tensor
    truth_photo: Tensor
    truth_box: Tensor
    truth_node: Tensor
    truth_ignore: Tensor
    label_photo: Tensor
    label_node: Tensor
    position: Tensor
    truth_mask: Tensor | None = None
    broken: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    def _map_tensors(self, change: Any) -> Batch:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Batch(**{k: change(v) if isinstance(v, Tensor) else v for k, v in values.items()})

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on `device`; towards a GPU without waiting."""
        # The other way round a copy that nobody waits for may be read before it is there.
        waits = torch.device(device).type == "cpu"
        return self._map_tensors(lambda t: t.to(device, non_blocking=not waits))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory, from which a GPU copies without waiting."""
        return self._map_tensors(lambda t: t.pin_memory())


def collate(inputs: Sequence[Input]) -> Batch:
    """Inputs of one size into a Batch, photos in the order of the inputs and of their tiles."""
    photos = [
        (image, sample, region)
        for image, one in enumerate(inputs)
        for sample, region in zip(one.samples, one.regions, strict=True)
    ]
    samples = [sample for _, sample, _ in photos]

    def owners(sizes: list[int]) -> Tensor:
        return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes).long())

    def joined(arrays: list[NDArray[Any]], empty: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.concatenate([empty, *arrays]))

    exhaustive = [s.exhaustive if s.exhaustive is not None else _no_nodes() for s in samples]
    shape = inputs[0].image.shape
    if any(one.image.shape != shape for one in inputs):
        raise ValueError(f"inputs of several sizes: {sorted({one.image.shape for one in inputs})}")
    pixels = np.empty((len(inputs), shape[2], *shape[:2]), np.uint8)
    for planes, one in zip(pixels, inputs, strict=True):
        cv2.split(one.image, list(planes))  # in place, 8 times as fast as a transposing copy
    return Batch(
        images=torch.from_numpy(pixels),
        photo_image=torch.tensor([image for image, _, _ in photos], dtype=torch.int64),
        photo_box=joined([region[None] for _, _, region in photos], _no_boxes()),
        photo_kind=torch.tensor([KINDS.index(s.kind) for s in samples], dtype=torch.int64),
        photo_source=[s.source for s in samples],
        photo_index=[s.index for s in samples],
        photo_path=[s.path for s in samples],
        exhaustive_photo=owners([len(e) for e in exhaustive]),
        exhaustive_node=joined(exhaustive, _no_nodes()),
        truth_photo=owners([len(s.boxes) for s in samples]),
        truth_box=joined([s.boxes for s in samples], _no_boxes()),
        truth_node=joined([s.nodes for s in samples], _no_nodes()),
        truth_ignore=joined([s.ignore for s in samples], _no_flags()),
        label_photo=owners([len(s.labels) for s in samples]),
        label_node=joined([s.labels for s in samples], _no_nodes()),
        position=torch.tensor([one.position for one in inputs], dtype=torch.int64),
        broken=[entry for one in inputs for entry in one.broken],
    )
