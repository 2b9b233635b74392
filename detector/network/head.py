"""The prediction layers: objectness and boxes densely, class weights applied on demand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from detector.boxes import decode
from detector.network.blocks import ConvBlock, SeparableBlock
from detector.predictions import Predictions
from wordtree.errors import UserError
from wordtree.probability.classifiers import Classifier

TOWERS: dict[str, Callable[[int, int], nn.Module]] = {
    "full": ConvBlock,
    "separable": SeparableBlock,
}


class Head(nn.Module):
    """Features of one level -> Predictions.

    in_channels: of the features. nodes: number of the tree's nodes.
    anchors: widths and heights in pixels of the network's input, one a prior.
    class_tower, box_tower: channels of a convolution before each of the two branches; 0 leaves
        it out (darknet: both branches read the trunk's last layer).
    tower: that convolution by name in TOWERS: `full` 3 x 3 or `separable` 5 x 5.
    share_anchors: one set of class weights for all anchors instead of one an anchor.
    centre_range: a box's centre lies within this many cells of width round its cell's centre;
        1 is YOLOv2's sigmoid, larger values let neighbouring cells predict the same object.
    objectness_prior: the probability of an object that an untrained row gives.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        nodes: int,
        anchors: Sequence[Sequence[float]],
        stride: int,
        class_tower: int = 0,
        box_tower: int = 0,
        tower: str = "full",
        share_anchors: bool = False,
        centre_range: float = 1.0,
        objectness_prior: float = 0.03,
    ) -> None:
        super().__init__()
        self.stride, self.centre_range = stride, centre_range
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32))
        if tower not in TOWERS:
            raise UserError(f"head.tower={tower} is not known; take one of {', '.join(TOWERS)}")
        block = TOWERS[tower]
        self.class_tower = block(in_channels, class_tower) if class_tower else nn.Identity()
        self.box_tower = block(in_channels, box_tower) if box_tower else nn.Identity()
        count = len(anchors)
        self.boxes = nn.Conv2d(box_tower or in_channels, 5 * count, 1)
        nn.init.normal_(self.boxes.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.boxes.bias))
        with torch.no_grad():
            prior = math.log(objectness_prior / (1 - objectness_prior))
            cast(Tensor, self.boxes.bias).view(count, 5)[:, 4] = prior
        channels = class_tower or in_channels
        sets = 1 if share_anchors else count
        self.class_weight = nn.ParameterList(
            nn.Parameter(torch.randn(nodes, channels) * 0.01) for _ in range(sets)
        )
        self.class_bias = nn.ParameterList(nn.Parameter(torch.zeros(nodes)) for _ in range(sets))

    def forward(self, features: Tensor, classifier: Classifier) -> Predictions:
        """features: (B, in_channels, H, W)."""
        anchors = cast(Tensor, self.anchors)
        raw = self.boxes(self.box_tower(features)).float()
        images, _, height, width = raw.shape
        rows = raw.view(images, len(anchors), 5, height, width).permute(0, 1, 3, 4, 2)
        rows = rows.reshape(-1, 5)
        offsets, objectness = rows[:, :4], rows[:, 4].contiguous()
        shape = (images, len(anchors), height, width)
        y = torch.arange(height, device=raw.device).view(1, 1, -1, 1).expand(shape).reshape(-1)
        x = torch.arange(width, device=raw.device).view(1, 1, 1, -1).expand(shape).reshape(-1)
        row_anchors = anchors.view(1, -1, 1, 1, 2).expand(*shape, 2).reshape(-1, 2)
        return Predictions(
            objectness=objectness,
            boxes=decode(offsets, x, y, row_anchors, self.stride, self.centre_range),
            offsets=offsets,
            anchors=anchors,
            stride=self.stride,
            centre_range=self.centre_range,
            shape=shape,
            class_features=self.class_tower(features),
            class_weight=list(self.class_weight),
            class_bias=list(self.class_bias),
            classifier=classifier,
        )
