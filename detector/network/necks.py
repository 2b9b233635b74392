"""Necks: a backbone's levels -> the one level that predicts.

A neck is a module with `out_channels`; forward takes features by stride and gives those at the
stride it was built for. One more neck is one more class here and a line in `NECKS`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from detector.network.blocks import ConvBlock, reorg
from wordtree.errors import UserError

Features = dict[int, Tensor]


class Plain(nn.Module):
    """The backbone's own level; with `width`, a 1 x 1 convolution to that many channels.

    Layers of the backbone below this level would get no gradient: cut them off with its option
    `deepest`.
    """

    def __init__(self, channels: dict[int, int], *, stride: int, width: int) -> None:
        super().__init__()
        self.stride = stride
        self.out_channels = width or channels[stride]
        self.last = ConvBlock(channels[stride], width, 1) if width else nn.Identity()

    def forward(self, features: Features) -> Tensor:
        return self.last(features[self.stride])


class Passthrough(nn.Module):
    """YOLOv2's detection layers (yolov2.cfg 23 to 29): finer features folded into channels.

    Two 3 x 3 convolutions; the level of half the stride through a 1 x 1 convolution to `squeeze`
    channels and darknet's reorg; both side by side, **reorg first**; one 3 x 3 convolution. The
    paper, section 2, describes it without the squeeze. width: channels of the three (0: the
    level's own; darknet: 1024).
    """

    def __init__(
        self, channels: dict[int, int], *, stride: int, width: int, squeeze: int = 64
    ) -> None:
        super().__init__()
        _need_level(channels, stride // 2, neck="passthrough")
        self.stride = stride
        self.out_channels = width = width or channels[stride]
        self.trunk = nn.Sequential(
            ConvBlock(channels[stride], width, 3), ConvBlock(width, width, 3)
        )
        self.squeeze = ConvBlock(channels[stride // 2], squeeze, 1)
        self.last = ConvBlock(4 * squeeze + width, width, 3)

    def forward(self, features: Features) -> Tensor:
        fine = reorg(self.squeeze(features[self.stride // 2]), 2)
        return self.last(torch.cat([fine, self.trunk(features[self.stride])], 1))


class TopDown(nn.Module):
    """From the coarsest level down to `stride`, each step mixed with the finer level.

    A step: 1 x 1 convolution, enlarged (nearest), beside the finer level; then 1 x 1 and 3 x 3
    convolutions, or, at the last level, one 1 x 1 to `width` (0: the level's channels). A step
    works with as many channels as its finer level has, but at most twice `width`.
    """

    def __init__(self, channels: dict[int, int], *, stride: int, width: int) -> None:
        super().__init__()
        self.strides = sorted((s for s in channels if s >= stride), reverse=True)
        self.out_channels = width = width or channels[stride]
        self.lateral, self.mix = nn.ModuleList(), nn.ModuleList()
        current = channels[self.strides[0]]
        for finer in self.strides[1:]:
            middle = min(channels[finer], 2 * width)
            self.lateral.append(ConvBlock(current, middle, 1))
            joined = middle + channels[finer]
            self.mix.append(
                ConvBlock(joined, width, 1)
                if finer == stride
                else nn.Sequential(ConvBlock(joined, middle, 1), ConvBlock(middle, middle, 3))
            )
            current = middle
        if not self.mix:
            self.mix.append(ConvBlock(current, width, 1))

    def forward(self, features: Features) -> Tensor:
        x = features[self.strides[0]]
        if len(self.strides) == 1:
            return self.mix[0](x)
        steps = zip(self.strides, self.strides[1:], self.lateral, self.mix, strict=False)
        for coarse, fine, lateral, mix in steps:
            x = F.interpolate(lateral(x), scale_factor=coarse // fine, mode="nearest")
            x = mix(torch.cat([x, features[fine]], 1))
        return x


NECKS: dict[str, Callable[..., nn.Module]] = {
    "none": Plain,
    "passthrough": Passthrough,
    "top_down": TopDown,
}


def build_neck(
    name: str, channels: dict[int, int], *, stride: int, width: int = 0
) -> Plain | Passthrough | TopDown:
    """The neck of that name, for a backbone with these channels by stride.

    stride: of the level that predicts. width: channels of its features, 0 for the level's own.
    Raises UserError for a name that is not known and a stride that the backbone does not have.
    """
    if name not in NECKS:
        raise UserError(f"neck={name} is not known; take one of {', '.join(NECKS)}")
    _need_level(channels, stride, neck=name)
    return NECKS[name](channels, stride=stride, width=width)  # type: ignore[return-value]


def _need_level(channels: dict[int, int], stride: int, *, neck: str) -> None:
    if stride not in channels:
        known = ", ".join(str(s) for s in sorted(channels))
        raise UserError(
            f"neck={neck} needs the backbone's level of stride {stride}, and the backbone has "
            f"{known}; choose another stride or backbone"
        )
