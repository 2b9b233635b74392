"""What every backbone is."""

from __future__ import annotations

from torch import nn


class Backbone(nn.Module):
    """Photos (B, 3, H, W), already normalised, sides multiples of 32 -> {stride: features}.

    channels: of the features by stride. mean, scale: the network's input is (x - mean) * scale
    for x in 0..255; a number, or one a channel.
    """

    channels: dict[int, int]
    mean: float | tuple[float, float, float]
    scale: float | tuple[float, float, float]
