"""A narrow trunk for CPUs: 0.9 M weights, a few milliseconds a small photo."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detector.network.backbones.backbone import Backbone
from detector.network.blocks import ConvBlock, ResidualBlock
from wordtree.errors import UserError


class Narrow(Backbone):
    """Stages of a 3 x 3 convolution of stride 2 and some residual blocks.

    widths: channels of the stages at strides 2, 4, 8, ... blocks: residual blocks a stage.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (16, 32, 64, 128, 160),
        blocks: Sequence[int] = (0, 0, 1, 2, 1),
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks):
            raise UserError(
                f"backbone narrow: {len(widths)} widths and {len(blocks)} blocks were given; "
                "give one of each a stage"
            )
        # Grey 127 pads the inputs, and becomes 0 like a convolution's own padding.
        self.mean, self.scale = 127.0, 1 / 64
        self.stages = nn.ModuleList()
        self.channels = {}
        previous = 3
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            first = ConvBlock(previous, width, 3, stride=2)
            self.stages.append(nn.Sequential(first, *(ResidualBlock(width) for _ in range(count))))
            self.channels[2 ** (stage + 1)] = width
            previous = width

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """x: (B, 3, H, W), normalised -> features by stride."""
        features = {}
        for stride, stage in zip(self.channels, self.stages, strict=True):
            features[stride] = x = stage(x)
        return features
