"""Backbones by name: photos -> features by stride.

One more backbone is one file here with a subclass of `Backbone`, and a line in `BACKBONES`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from detector.network.backbones.backbone import Backbone
from detector.network.backbones.darknet19 import Darknet19
from detector.network.backbones.efficientnet_lite0 import build_efficientnet_lite0
from detector.network.backbones.narrow import Narrow
from detector.network.backbones.torchvision_backbone import TorchvisionBackbone
from wordtree.errors import UserError

TORCHVISION = "torchvision:"

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "darknet19": Darknet19,
    "narrow": Narrow,
    "efficientnet_lite0": build_efficientnet_lite0,
}


def build_backbone(name: str, **options: Any) -> Backbone:
    """The backbone of that name: one of `BACKBONES`, or `torchvision:NAME` for any of its models.

    options: the backbone's own, by name. Nothing is downloaded.
    Raises UserError for a name or an option that is not known.
    """
    if name.startswith(TORCHVISION):
        make: Callable[..., Backbone] = TorchvisionBackbone
        options = {**options, "name": name.removeprefix(TORCHVISION)}
    elif name in BACKBONES:
        make = BACKBONES[name]
    else:
        known = ", ".join([*BACKBONES, f"{TORCHVISION}resnet50 (or any of its models)"])
        raise UserError(f"backbone={name} is not known; take one of {known}")
    known_options = inspect.signature(make).parameters
    for option in options:
        if option not in known_options:
            raise UserError(
                f"backbone={name} has no option {option}; it has {', '.join(known_options)}"
            )
    return make(**options)
