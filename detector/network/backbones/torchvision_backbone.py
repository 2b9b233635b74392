"""Any convolutional classifier of torchvision as a backbone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from detector.network.backbones.backbone import Backbone
from wordtree.errors import UserError

STRIDES = (4, 8, 16, 32)
PROBE = 256  # side of the black photo that is sent through once, to see the shapes


class TorchvisionBackbone(Backbone):
    """Features at those of the strides 4 to 32 that the model has, each its last module there.

    name: as torchvision lists it (`resnet50`, `mobilenet_v3_large`, ...). weights: a local file,
    the model's own state dict (.pth or .safetensors); None for random weights.
    deepest: the last stride that is built. Layers behind it, classifier included, are left out.
    """

    def __init__(self, name: str, *, weights: str | None = None, deepest: int = 32) -> None:
        super().__init__()
        if name not in models.list_models(module=models):
            raise UserError(
                f"backbone=torchvision:{name} is not a classifier of torchvision; "
                "torchvision.models.list_models() names them"
            )
        # ImageNet's mean and deviation, with which all of torchvision's weights were trained.
        self.mean = (123.675, 116.28, 103.53)
        self.scale = (1 / 58.395, 1 / 57.12, 1 / 57.375)
        with warnings.catch_warnings():
            # googlenet and inception announce that their initialisation is slow.
            warnings.simplefilter("ignore", FutureWarning)
            model = models.get_model(name, weights=None)
        if weights is not None:
            _load(model, weights, name)
        levels = {s: m for s, m in _levels(model, name).items() if s <= deepest}
        if not levels:
            raise UserError(
                f"backbone=torchvision:{name} has no level of stride 4 to {deepest} in the shape "
                "(B, C, H, W); take a convolutional network, or a larger deepest"
            )
        self.channels = {stride: channels for stride, (_, channels) in levels.items()}
        with warnings.catch_warnings():
            # Dropout and auxiliary classifiers make the traces for training and evaluation differ.
            warnings.simplefilter("ignore", UserWarning)
            self.body = create_feature_extractor(
                model, {module: str(stride) for stride, (module, _) in levels.items()}
            )

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """x: (B, 3, H, W), normalised -> features by stride."""
        return {int(stride): level for stride, level in self.body(x).items()}


def _levels(model: nn.Module, name: str) -> dict[int, tuple[str, int]]:
    """Stride -> (the last module whose output has it, its channels), by sending one photo.

    Modules inside a block that itself ends at another stride do not count: the widened inside of
    MobileNet's next block is no level of the network.
    """
    modules = {path: module for path, module in model.named_modules() if path}
    seen: dict[str, tuple[int, int]] = {}

    def watch(path: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.dim() == 4:
                channels, height, width = output.shape[1:]
                if height == width and PROBE % height == 0:
                    seen.pop(path, None)  # so that the order is that of the last calls
                    seen[path] = (PROBE // height, channels)

        return hook

    handles = [m.register_forward_hook(watch(path)) for path, m in modules.items()]
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, PROBE, PROBE))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"backbone=torchvision:{name} does not take a photo of {PROBE} x {PROBE} pixels; "
            "take a network for photos of any size"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        model.train()

    def inside_another_stride(path: str, stride: int) -> bool:
        parts = path.split(".")
        parents = (".".join(parts[:n]) for n in range(1, len(parts)))
        return any(
            type(modules[parent]) is not nn.Sequential and seen.get(parent, (stride,))[0] != stride
            for parent in parents
        )

    levels = {
        stride: (path, channels)
        for path, (stride, channels) in seen.items()
        if stride in STRIDES and not inside_another_stride(path, stride)
    }
    return dict(sorted(levels.items()))


def _load(model: nn.Module, weights: str, name: str) -> None:
    path = Path(weights)
    if not path.is_file():
        raise UserError(f"backbone=torchvision:{name}: the weights file {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    # A damaged or foreign file raises anything from EOFError to pickle's and safetensors' own.
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path} does not hold the weights of torchvision's {name} ({first}); give the state "
            "dict that torchvision publishes for this model"
        ) from error
