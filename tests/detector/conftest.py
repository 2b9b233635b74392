"""Predictions and batches made by hand, for the tests of losses and inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from data.sample import KINDS, Batch, Input, Sample, collate
from detector.boxes import decode
from detector.predictions import Predictions
from wordtree import WordTree
from wordtree.probability.classifiers import make_classifier
from wordtree.probability.tables import TreeTables


@pytest.fixture(scope="session")
def make_predictions(small_tree: WordTree) -> Callable[..., Predictions]:
    """Random predictions of a given shape (B, A, H, W), everything a leaf with gradient."""

    def make(
        shape: tuple[int, int, int, int] = (1, 1, 4, 4),
        *,
        stride: int = 8,
        classifier: str = "siblings",
        share: bool = False,
        channels: int = 6,
        seed: int = 0,
        centre_range: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Predictions:
        generator = torch.Generator().manual_seed(seed)
        images, anchors, height, width = shape
        rows = images * anchors * height * width

        def normal(*size: int, scale: float = 1.0) -> torch.Tensor:
            return (torch.randn(*size, generator=generator, dtype=dtype) * scale).requires_grad_()

        sizes = torch.tensor([[12.0, 12.0], [24.0, 16.0], [8.0, 20.0]], dtype=dtype)[:anchors]
        offsets = normal(rows, 4, scale=0.5)
        row = torch.arange(rows)
        x, y = row % width, row // width % height
        anchor = row // (width * height) % anchors
        sets = 1 if share else anchors
        tables = TreeTables.from_tree(small_tree)
        return Predictions(
            objectness=normal(rows),
            boxes=decode(offsets, x, y, sizes[anchor], stride, centre_range),
            offsets=offsets,
            anchors=sizes,
            stride=stride,
            centre_range=centre_range,
            shape=shape,
            class_features=normal(images, channels, height, width),
            class_weight=[normal(len(small_tree), channels) for _ in range(sets)],
            class_bias=[normal(len(small_tree)) for _ in range(sets)],
            classifier=make_classifier(classifier, tables),
        )

    return make


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """Photos given as (image, region, kind, truths, labels) into a Batch of `images` inputs.

    truths: (x1, y1, x2, y2, node) or (..., node, True) for one to ignore; labels: nodes.
    """

    def make(
        photos: Sequence[tuple], *, images: int = 1, size: tuple[int, int] = (32, 32)
    ) -> Batch:
        inputs = []
        for number in range(images):
            samples, regions = [], []
            for image, region, kind, truths, labels in photos:
                if image != number:
                    continue
                assert kind in KINDS
                samples.append(
                    Sample(
                        np.zeros((1, 1, 3), np.uint8),
                        kind,
                        boxes=np.array([t[:4] for t in truths], np.float32).reshape(-1, 4),
                        nodes=np.array([t[4] for t in truths], np.int64),
                        ignore=np.array([len(t) > 5 and t[5] for t in truths], bool),
                        labels=np.array(labels, np.int64),
                        path=f"photo{len(samples)}",
                    )
                )
                regions.append(region)
            inputs.append(
                Input(
                    np.zeros((*size, 3), np.uint8),
                    tuple(samples),
                    np.array(regions, np.float32).reshape(-1, 4),
                    position=number,
                )
            )
        return collate(inputs)

    return make
