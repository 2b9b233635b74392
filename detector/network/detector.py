"""The network: backbone, neck and head, built from plain names and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from detector.network.backbones import build_backbone
from detector.network.head import Head
from detector.network.necks import build_neck
from detector.predictions import Predictions
from wordtree import WordTree
from wordtree.probability.classifiers import Classifier, make_classifier
from wordtree.probability.tables import TreeTables


class Detector(nn.Module):
    """A one-stage detector over a tree of labels.

    tree: the labels; objectness stands for the tree's build root. classifier: `siblings`, `flat`.
    backbone, neck: names, with their options as plain dicts. stride: pixels a cell of the one
    level that predicts. anchors: (width, height) in pixels of the input. head: options of `Head`.
    """

    def __init__(
        self,
        tree: WordTree,
        *,
        classifier: str = "siblings",
        backbone: str = "darknet19",
        backbone_options: dict[str, Any] | None = None,
        neck: str = "none",
        neck_width: int = 0,
        stride: int = 32,
        anchors: Sequence[Sequence[float]] = ((32.0, 32.0),),
        head: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = build_backbone(backbone, **(backbone_options or {}))
        self.neck = build_neck(neck, self.backbone.channels, stride=stride, width=neck_width)
        self.head = Head(
            self.neck.out_channels,
            nodes=len(tree),
            anchors=anchors,
            stride=stride,
            **(head or {}),
        )
        self.stride = stride
        self.register_buffer("mean", _per_channel(self.backbone.mean), persistent=False)
        self.register_buffer("scale", _per_channel(self.backbone.scale), persistent=False)
        self._classifier_name = classifier
        self._tables = {torch.device("cpu"): TreeTables.from_tree(tree)}
        self._classifiers: dict[torch.device, Classifier] = {}

    def tables(self, device: torch.device) -> TreeTables:
        """The tree's tables on `device`; moved once for each."""
        if device not in self._tables:
            # Tensors born in inference mode could not serve a later backward pass.
            with torch.inference_mode(False):
                self._tables[device] = self._tables[torch.device("cpu")].to(device)
        return self._tables[device]

    def classifier(self, device: torch.device) -> Classifier:
        """The classifier with its tables on `device`; made once for each."""
        if device not in self._classifiers:
            with torch.inference_mode(False):
                tables = self.tables(device)
                self._classifiers[device] = make_classifier(self._classifier_name, tables)
        return self._classifiers[device]

    def forward(self, images: Tensor) -> Predictions:
        """images: uint8 or float in 0..255, (B, 3, H, W), RGB; sides multiples of 32."""
        mean, scale = cast(Tensor, self.mean), cast(Tensor, self.scale)
        images = (images.to(mean.dtype) - mean) * scale
        images = images.contiguous(memory_format=torch.channels_last)
        return self.head(self.neck(self.backbone(images)), self.classifier(images.device))


def _per_channel(value: float | Sequence[float]) -> Tensor:
    """A number, or one a channel, in the shape that broadcasts over (B, 3, H, W)."""
    values = [value] * 3 if isinstance(value, float | int) else list(value)
    return torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)
