"""The convolution block of all own networks, and two ways to fold pixels into channels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

LEAKY_SLOPE = 0.1  # darknet's `leaky`


class ConvBlock(nn.Module):
    """Convolution without bias, batch norm, leaky ReLU of slope .1; padding kernel // 2.

    (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride)) for odd kernels.
    The order within, and of the parameters, is darknet's.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False
        )
        nn.init.kaiming_normal_(self.conv.weight, a=LEAKY_SLOPE, nonlinearity="leaky_relu")
        self.norm = nn.BatchNorm2d(out_channels)
        # Not in place: backward hooks (attributions) refuse outputs that are written over.
        self.activation = nn.LeakyReLU(LEAKY_SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class SeparableBlock(nn.Module):
    """A depthwise convolution, then `ConvBlock` of 1 x 1: (B, in, H, W) -> (B, out, H, W).

    A 5 x 5 of this kind has an eighth of the weights of a full 3 x 3 of 96 channels.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 5) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels,
            in_channels,
            kernel,
            padding=kernel // 2,
            groups=in_channels,
            bias=False,
        )
        nn.init.kaiming_normal_(self.depthwise.weight, nonlinearity="linear")
        self.pointwise = ConvBlock(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class ResidualBlock(nn.Module):
    """x + a 1 x 1 convolution to half of the channels and a 3 x 3 back; the shape stays."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = ConvBlock(channels, channels // 2, 1)
        self.expand = ConvBlock(channels // 2, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.expand(self.squeeze(x))


def reorg(x: Tensor, stride: int = 2) -> Tensor:
    """Darknet's `[reorg]`: (B, C, H, W) -> (B, C stride^2, H / stride, W / stride).

    **Not** a space-to-depth of the input, since darknet swaps the two shapes: the input's memory
    is read as (C / stride^2, H stride, W stride), that is folded, and the result is read in the
    shape above, so that neighbours are mixed with channels. Weights trained by darknet need
    exactly this order. C must be divisible by stride^2, H and W by stride.
    """
    images, channels, height, width = x.shape
    inner = channels // stride**2
    folded = x.reshape(images, inner, height, stride, width, stride).permute(0, 3, 5, 1, 2, 4)
    return folded.reshape(images, channels * stride**2, height // stride, width // stride)


def space_to_depth(x: Tensor, stride: int = 2) -> Tensor:
    """(B, C, H, W) -> (B, C stride^2, H / stride, W / stride), neighbours staying together.

    Output channel (row stride + column) C + c holds channel c of the pixels at (row, column)
    of each stride x stride square; AlexeyAB's `[reorg3d]` has this order.
    """
    images, channels, height, width = x.shape
    split = F.pixel_unshuffle(x, stride).view(
        images, channels, stride**2, height // stride, width // stride
    )
    return split.transpose(1, 2).reshape(images, -1, height // stride, width // stride)
