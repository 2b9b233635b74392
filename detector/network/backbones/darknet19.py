"""Darknet-19 (YOLO9000, table 6) without its classifier: yolo9000.cfg's layers 0 to 22."""

from __future__ import annotations

from torch import Tensor, nn

from detector.network.backbones.backbone import Backbone
from detector.network.blocks import ConvBlock
from wordtree.errors import UserError

# (channels, kernel) of a convolution, None for a 2 x 2 maximum; places are the cfg's numbers.
LAYERS: tuple[tuple[int, int] | None, ...] = (
    (32, 3),
    None,
    (64, 3),
    None,
    (128, 3),
    (64, 1),
    (128, 3),
    None,
    (256, 3),
    (128, 1),
    (256, 3),
    None,
    (512, 3),
    (256, 1),
    (512, 3),
    (256, 1),
    (512, 3),
    None,
    (1024, 3),
    (512, 1),
    (1024, 3),
    (512, 1),
    (1024, 3),
)


class Darknet19(Backbone):
    """Features at strides 2 to 32, each taken before the maximum that halves it.

    width: factor on all channels, rounded to multiples of 8; 1 is darknet's, whose weights fit
    layer by layer (`layers.N` is layer N of the cfg). deepest: the last stride that is built.
    """

    def __init__(self, *, width: float = 1.0, deepest: int = 32) -> None:
        super().__init__()
        if deepest not in (2, 4, 8, 16, 32):
            raise UserError(
                f"backbone darknet19: deepest={deepest} is not 2, 4, 8, 16 or 32; choose one"
            )
        self.mean, self.scale = 0.0, 1 / 255  # darknet's inputs are 0..1
        self.layers = nn.ModuleList()
        self.channels = {}
        previous, stride = 3, 1
        for layer in LAYERS:
            if layer is None:
                if stride == deepest:
                    break
                self.layers.append(nn.MaxPool2d(2, 2))
                stride *= 2
                continue
            channels = max(8, round(layer[0] * width / 8) * 8)
            self.layers.append(ConvBlock(previous, channels, layer[1]))
            previous = channels
            if stride > 1:
                self.channels[stride] = channels

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """x: (B, 3, H, W), normalised -> features by stride."""
        features, stride = {}, 1
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool2d):
                stride *= 2
            x = layer(x)
            if stride > 1:
                features[stride] = x
        return features
