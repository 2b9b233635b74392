"""Samples, and batches made of them."""

import numpy as np
import pytest
import torch

from data.sample import KINDS, Batch, Input, Sample, collate


def photo(kind: str = "boxed", boxes: int = 0, **more) -> Sample:
    known = {
        "boxes": np.arange(4 * boxes, dtype=np.float32).reshape(-1, 4),
        "nodes": np.arange(boxes),
        "ignore": np.arange(boxes) % 2 == 1,
    }
    return Sample(np.zeros((8, 8, 3), np.uint8), kind, **(known | more))


def one(*samples: Sample, position: int = 0, value: int = 0, broken=()) -> Input:
    regions = np.array([[8 * i, 0, 8 * i + 8, 16] for i in range(len(samples))], np.float32)
    image = np.full((16, 32, 3), value, np.uint8)
    image[0, 1] = (1, 2, 3)
    return Input(image, samples, regions.reshape(-1, 4), position, broken)


def test_boxes_nodes_and_ignore_must_be_of_one_length() -> None:
    with pytest.raises(ValueError, match="2 boxes, 1 nodes"):
        photo(boxes=2, nodes=np.zeros(1, np.int64))


def test_a_batch_is_the_flat_table_of_its_photos_as_a_loop_would_write_it() -> None:
    a = photo(boxes=3, source="coco", index=5, path="a.jpg", exhaustive=np.array([4, 6]))
    b = photo("label_only", labels=np.array([7, 8]), source="folder", path="b.jpg")
    c = photo("background", path="c.jpg")
    d = photo(boxes=1, path="d.jpg")
    inputs = [
        one(a, b, position=40, value=9, broken=(("x.jpg", "cut"),)),
        one(position=41),
        one(c, d, position=42),
    ]
    batch = collate(inputs)

    assert len(batch) == 3
    assert batch.images.shape == (3, 3, 16, 32)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous()
    assert batch.images[0, :, 0, 1].tolist() == [1, 2, 3]
    assert batch.images[0, :, 5, 5].tolist() == [9, 9, 9]
    rows = {name: [] for name in ("image", "kind", "truth", "label", "exhaustive")}
    photos = [(i, s) for i, x in enumerate(inputs) for s in x.samples]
    for number, (image, sample) in enumerate(photos):
        rows["image"].append(image)
        rows["kind"].append(KINDS.index(sample.kind))
        for box, node, ignore in zip(sample.boxes, sample.nodes, sample.ignore, strict=True):
            rows["truth"].append((number, box.tolist(), int(node), bool(ignore)))
        rows["label"] += [(number, int(label)) for label in sample.labels]
        exhaustive = [] if sample.exhaustive is None else sample.exhaustive.tolist()
        rows["exhaustive"] += [(number, node) for node in exhaustive]
    assert batch.photo_image.tolist() == rows["image"]
    assert batch.photo_kind.tolist() == rows["kind"]
    truths = (batch.truth_photo, batch.truth_box, batch.truth_node, batch.truth_ignore)
    assert list(zip(*(t.tolist() for t in truths), strict=True)) == rows["truth"]
    labels = (batch.label_photo.tolist(), batch.label_node.tolist())
    assert list(zip(*labels, strict=True)) == rows["label"]
    pairs = (batch.exhaustive_photo.tolist(), batch.exhaustive_node.tolist())
    assert list(zip(*pairs, strict=True)) == rows["exhaustive"]
    assert batch.photo_box[1].tolist() == [8, 0, 16, 16]
    assert batch.photo_source == ["coco", "folder", "", ""]
    assert batch.photo_path == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert batch.position.tolist() == [40, 41, 42]
    assert batch.broken == [("x.jpg", "cut")]


def test_types_do_not_depend_on_what_a_batch_holds() -> None:
    full = collate([one(photo(boxes=2, labels=np.array([1]), exhaustive=np.array([1])))])
    for empty in (collate([one()]), collate([one(photo("label_only"))])):
        for name, value in vars(full).items():
            if isinstance(value, torch.Tensor):
                other = getattr(empty, name)
                assert (other.dtype, other.shape[1:]) == (value.dtype, value.shape[1:]), name


def test_moving_a_batch_moves_every_tensor_and_keeps_the_rest() -> None:
    batch = collate([one(photo(boxes=2, path="a.jpg"), position=3)])
    moved = batch.to("meta")
    assert isinstance(moved, Batch)
    for name, value in vars(moved).items():
        if isinstance(value, torch.Tensor):
            assert value.device.type == "meta", name
    assert moved.photo_path == ["a.jpg"]
    assert batch.images.device.type == "cpu"
    assert moved.truth_mask is None
