"""Convolution blocks and the two foldings of pixels into channels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from detector.network.blocks import ConvBlock, ResidualBlock, SeparableBlock, reorg, space_to_depth


def slow_reorg(x: Tensor, s: int) -> Tensor:
    """Darknet's formula on flat memory (facts f13), a photo at a time."""
    _, channels, height, width = x.shape
    inner = channels // s**2
    photos = []
    for photo in x:
        flat, out = photo.reshape(-1).tolist(), [0.0] * photo.numel()
        for k in range(channels):
            q = k // inner
            for j in range(height):
                for i in range(width):
                    source = (i * s + q % s) + width * s * (
                        (j * s + q // s) + height * s * (k % inner)
                    )
                    out[i + width * (j + height * k)] = flat[source]
        photos.append(torch.tensor(out).view(channels * s**2, height // s, width // s))
    return torch.stack(photos)


def slow_space_to_depth(x: Tensor, s: int) -> Tensor:
    images, channels, height, width = x.shape
    out = torch.zeros(images, channels * s**2, height // s, width // s)
    for row in range(s):
        for column in range(s):
            first = (row * s + column) * channels
            out[:, first : first + channels] = x[:, :, row::s, column::s]
    return out


def test_reorg_gives_the_values_that_darknet_gave() -> None:
    small = reorg(torch.arange(16.0).view(1, 4, 2, 2)).flatten()
    assert small.tolist() == [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15]
    larger = reorg(torch.arange(64.0).view(1, 4, 4, 4)).flatten()
    start = "0 2 4 6 16 18 20 22 32 34 36 38 48 50 52 54 1 3 5 7 17"
    assert larger[:21].tolist() == [float(value) for value in start.split()]
    deeper = reorg(torch.arange(128.0).view(1, 8, 4, 4)).flatten()
    assert deeper[:9].tolist() == [0, 2, 4, 6, 16, 18, 20, 22, 32]
    assert deeper[15:19].tolist() == [54, 64, 66, 68]


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 2), st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(2, 3)
)
def test_both_foldings_equal_their_loops(
    images: int, inner: int, height: int, width: int, stride: int
) -> None:
    shape = (images, inner * stride**2, height * stride, width * stride)
    x = torch.arange(float(torch.Size(shape).numel())).view(shape)
    for layout in (torch.contiguous_format, torch.channels_last):
        given_x = x.contiguous(memory_format=layout)
        assert torch.equal(reorg(given_x, stride), slow_reorg(x, stride))
        assert torch.equal(space_to_depth(given_x, stride), slow_space_to_depth(x, stride))


def test_reorg_differs_from_space_to_depth_where_there_are_several_channels() -> None:
    x = torch.arange(64.0).view(1, 4, 4, 4)
    assert not torch.equal(reorg(x), space_to_depth(x))


def test_a_block_is_convolution_then_norm_then_leaky() -> None:
    torch.manual_seed(0)
    block = ConvBlock(3, 5, 3, stride=2).eval()
    with torch.no_grad():
        block.norm.running_mean.normal_()
        block.norm.running_var.uniform_(0.5, 2)
        block.norm.weight.normal_()
        block.norm.bias.normal_()
    x = torch.randn(2, 3, 8, 8)
    raw = torch.nn.functional.conv2d(x, block.conv.weight, stride=2, padding=1)
    normal = (raw - block.norm.running_mean.view(-1, 1, 1)) / (
        block.norm.running_var.view(-1, 1, 1) + 1e-5
    ).sqrt()
    scaled = normal * block.norm.weight.view(-1, 1, 1) + block.norm.bias.view(-1, 1, 1)
    torch.testing.assert_close(block(x), torch.where(scaled > 0, scaled, 0.1 * scaled))


def test_no_convolution_before_a_norm_has_a_bias() -> None:
    names = {name for name, _ in ConvBlock(3, 5).named_parameters()}
    assert names == {"conv.weight", "norm.weight", "norm.bias"}


def test_start_weights_keep_the_spread_of_the_signal() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 64, 16, 16)
    for _ in range(6):
        layer = ConvBlock(64, 64)
        x = layer.activation(layer.conv(x))
    assert 0.3 < x.square().mean().item() < 3


def test_a_residual_block_adds_to_its_input() -> None:
    block = ResidualBlock(8).eval()
    torch.nn.init.zeros_(block.expand.norm.weight)
    x = torch.randn(1, 8, 4, 4)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("block", [ConvBlock(4, 8), ResidualBlock(4)])
def test_blocks_keep_channels_last(block: torch.nn.Module) -> None:
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    block = block.to(memory_format=torch.channels_last)
    assert block(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_separable_block_is_a_filter_a_channel_and_then_a_mixture(kernel: int) -> None:
    torch.manual_seed(0)
    block = SeparableBlock(4, 6, kernel).eval()
    x = torch.randn(2, 4, 7, 9)
    padded = torch.nn.functional.pad(x, [kernel // 2] * 4)
    filtered = torch.zeros_like(x)
    for channel in range(4):
        for row in range(7):
            for column in range(9):
                window = padded[:, channel, row : row + kernel, column : column + kernel]
                weights = block.depthwise.weight[channel, 0]
                filtered[:, channel, row, column] = (window * weights).sum((1, 2)).detach()
    torch.testing.assert_close(block(x), block.pointwise(filtered))
