"""A narrow trunk for CPUs: 0.9 M weights, a few milliseconds a small photo."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detector.network.backbones.backbone import Backbone
from detector.network.blocks import ConvBlock, ResidualBlock
from wordtree.errors import UserError

STEMS = {2: 3, 4: 6}  # the first convolution's kernel by its stride


class Narrow(Backbone):
    """Stages of a 3 x 3 convolution of stride 2 and some residual blocks.

    widths: channels of the stages; blocks: residual blocks of each. stem: stride of the first
    stage, whose convolution is 3 x 3 at stride 2 and 6 x 6 at stride 4.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        blocks: Sequence[int] = (0, 0, 1, 2, 1),
        stem: int = 2,
    ) -> None:
        super().__init__()
        if stem not in STEMS:
            raise UserError(f"backbone narrow: stem={stem} is not known; give 2 or 4")
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
            kernel, stride = (3, 2) if stage else (STEMS[stem], stem)
            first = ConvBlock(previous, width, kernel, stride=stride)
            self.stages.append(nn.Sequential(first, *(ResidualBlock(width) for _ in range(count))))
            self.channels[stem * 2**stage] = width
            previous = width

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """x: (B, 3, H, W), normalised -> features by stride."""
        features = {}
        for stride, stage in zip(self.channels, self.stages, strict=True):
            features[stride] = x = stage(x)
        return features
