"""Necks: shapes, what they mix, and the passthrough's order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detector.network.backbones import build_backbone
from detector.network.blocks import ConvBlock, reorg
from detector.network.necks import build_neck
from wordtree.errors import UserError

CHANNELS = {4: 8, 8: 16, 16: 24, 32: 32}


def levels(channels: dict[int, int] = CHANNELS, size: int = 64) -> dict[int, Tensor]:
    torch.manual_seed(0)
    return {s: torch.randn(2, c, size // s, size // s) for s, c in channels.items()}


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("width", [0, 40])
@pytest.mark.parametrize("name", ["none", "passthrough", "top_down"])
def test_a_neck_gives_the_channels_it_says_at_its_stride(
    name: str, width: int, stride: int
) -> None:
    neck = build_neck(name, CHANNELS, stride=stride, width=width)
    assert neck.out_channels == (width or CHANNELS[stride])
    features = neck(levels())
    assert features.shape == (2, neck.out_channels, 64 // stride, 64 // stride)


@pytest.mark.parametrize("name", ["passthrough", "top_down"])
def test_every_parameter_gets_a_gradient(name: str) -> None:
    neck = build_neck(name, CHANNELS, stride=16, width=12)
    neck(levels()).square().mean().backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None] == []


def test_no_neck_gives_the_level_itself() -> None:
    features = levels()
    assert build_neck("none", CHANNELS, stride=16)(features) is features[16]


def test_top_down_is_the_recipe() -> None:
    backbone = build_backbone("narrow")
    neck = build_neck("top_down", backbone.channels, stride=8, width=96)
    shapes = [tuple(m.weight.shape[:3]) for m in neck.modules() if isinstance(m, nn.Conv2d)]
    assert sorted(shapes) == sorted(
        [(128, 160, 1), (128, 256, 1), (128, 128, 3), (64, 128, 1), (96, 128, 1)]
    )
    features = {s: torch.randn(2, c, 128 // s, 128 // s) for s, c in backbone.channels.items()}
    neck = neck.eval()
    up = nn.Upsample(scale_factor=2, mode="nearest")
    x = torch.cat([up(neck.lateral[0](features[32])), features[16]], 1)
    x = neck.mix[0](x)
    x = neck.mix[1](torch.cat([up(neck.lateral[1](x)), features[8]], 1))
    assert torch.equal(neck(features), x)


def test_top_down_jumps_over_levels_that_the_backbone_lacks() -> None:
    channels = {4: 8, 32: 16}
    neck = build_neck("top_down", channels, stride=4, width=10)
    assert neck(levels(channels)).shape == (2, 10, 16, 16)


def test_top_down_works_with_twice_its_width_at_most() -> None:
    neck = build_neck("top_down", {8: 512, 16: 1024, 32: 2048}, stride=8, width=64)
    assert max(m.out_channels for m in neck.modules() if isinstance(m, nn.Conv2d)) == 128


def test_top_down_carries_the_coarsest_level_to_the_result() -> None:
    neck = build_neck("top_down", CHANNELS, stride=8, width=12).eval()
    features = levels()
    before = neck(features)
    assert not torch.equal(before, neck({**features, 32: features[32] + 1}))
    assert torch.equal(before, neck({**features, 4: features[4] + 1}))


def test_passthrough_has_the_layers_of_yolov2() -> None:
    neck = build_neck("passthrough", {16: 512, 32: 1024}, stride=32)
    shapes = [tuple(m.weight.shape[:3]) for m in neck.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(1024, 1024, 3), (1024, 1024, 3), (64, 512, 1), (1024, 1280, 3)]


def test_passthrough_puts_the_reorganised_level_first() -> None:
    neck = build_neck("passthrough", CHANNELS, stride=32, width=12).eval()
    features = levels()
    seen: list[Tensor] = []
    neck.last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    neck(features)
    assert seen[0].shape[1] == 256 + 12
    assert torch.equal(seen[0][:, :256], reorg(neck.squeeze(features[16])))
    assert torch.equal(seen[0][:, 256:], neck.trunk(features[32]))


@pytest.mark.parametrize("name", ["none", "passthrough", "top_down"])
def test_necks_keep_channels_last(name: str) -> None:
    neck = build_neck(name, CHANNELS, stride=16, width=12).to(memory_format=torch.channels_last)
    features = {s: v.contiguous(memory_format=torch.channels_last) for s, v in levels().items()}
    assert neck(features).is_contiguous(memory_format=torch.channels_last)


def test_necks_are_made_of_blocks_without_bias() -> None:
    neck = build_neck("top_down", CHANNELS, stride=8, width=12)
    assert any(isinstance(m, ConvBlock) for m in neck.modules())
    assert all(m.bias is None for m in neck.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize(
    ("name", "stride", "message"),
    [
        ("fpn", 8, "neck=fpn is not known; take one of none, passthrough, top_down"),
        ("top_down", 64, "needs the backbone's level of stride 64, and the backbone has 4, 8"),
        ("passthrough", 4, "neck=passthrough needs the backbone's level of stride 2"),
    ],
)
def test_a_neck_that_cannot_be_built_is_refused(name: str, stride: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_neck(name, CHANNELS, stride=stride)
