"""Optimisers by name, with weight decay on matrices alone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from wordtree.errors import UserError

OptimizerName = Literal["adamw", "sgd"]


def make_optimizer(
    model: nn.Module,
    *,
    name: OptimizerName = "adamw",
    rate: float = 1e-3,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    momentum: float = 0.9,
    nesterov: bool = False,
) -> torch.optim.Optimizer:
    """AdamW or SGD over the parameters that need a gradient.

    betas: AdamW's. momentum, nesterov: SGD's; its decay is darknet's, added to the gradient.
    Biases and batch norm's scales (one dimension) are not decayed: shrinking them does not make
    a function simpler. Raises UserError for a name that is not known.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    # One pass over the memory instead of several: 2.5 to 3 times faster for large class weights.
    fused = {p.device.type for p in trained} <= {"cpu", "cuda"}
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=betas, fused=fused)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov, fused=fused)
    raise UserError(f"the optimiser {name!r} is not known; choose adamw or sgd.")
