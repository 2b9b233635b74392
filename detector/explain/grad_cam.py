"""Grad-CAM (Selvaraju et al., 2017) for any node of the tree, at the row a detection came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from detector.network.detector import Detector
from wordtree.errors import UserError


def row_score(detector: Detector, images: Tensor, row: int, node: int) -> Tensor:
    """The scalar that is explained: log of P(object) x P(node | object) at one row.

    images: (1, 3, S, S), uint8 or float 0..255. row: its number in this image. Returns shape (1,).
    """
    predictions = detector(images)
    rows = torch.tensor([row], device=images.device)
    nodes = torch.tensor([node], device=images.device)
    log_p = predictions.classifier.log_p(predictions.class_logits(rows), nodes)[:, 0]
    return F.logsigmoid(predictions.objectness[rows]) + log_p


@contextmanager
def captured(layer: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collects a layer's output and its gradient under "output" and "gradient".

    A forward hook on the layer puts a backward hook on its output; both are removed at the end,
    whatever happens in between.
    """
    found: dict[str, Tensor] = {}
    hooks: list[RemovableHandle] = []

    def keep_output(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        del module, inputs
        found["output"] = output
        if isinstance(output, Tensor) and output.requires_grad:
            hooks.append(output.register_hook(keep_gradient))

    def keep_gradient(gradient: Tensor) -> None:
        found["gradient"] = gradient

    hooks.append(layer.register_forward_hook(keep_output))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def find_layer(detector: Detector, name: str) -> nn.Module:
    """The module of that dotted name; UserError lists the top ones where there is none."""
    modules = dict(detector.named_modules())
    if name not in modules or not name:
        top = ", ".join(n for n in modules if n and n.count(".") < 2)
        raise UserError(f"layer '{name}' is not in the network; its upper layers are {top}.")
    return modules[name]


def grad_cam(
    detector: Detector, images: Tensor, row: int, node: int, *, layer: str = "neck"
) -> Tensor:
    """The map relu(sum_c w_c A_c), w_c the mean over the map of the score's gradient in A_c.

    images: (1, 3, S, S). layer: a dotted module name whose output is (1, C, h, w). Returns
    float32 (h, w), not normalised; all zero where nothing in the layer speaks for the node.
    """
    module = find_layer(detector, layer)
    was_training = detector.training
    detector.eval()
    try:
        with torch.enable_grad(), captured(module) as found:
            # The input carries the gradient: layers below frozen parameters are reached too, and
            # no parameter's own gradient, which a training step may still need, is touched.
            pixels = images.detach().float().requires_grad_()
            score = row_score(detector, pixels, row, node).sum()
            torch.autograd.backward(score, inputs=[pixels])
    finally:
        detector.train(was_training)
    if "gradient" not in found or found["output"].dim() != 4:
        raise UserError(
            f"layer '{layer}' gives no map (1, C, h, w) that the row's score depends on; choose "
            "another, e.g. neck."
        )
    weights = found["gradient"].mean((2, 3), keepdim=True)
    return (weights * found["output"].detach()).sum(1)[0].relu().float()
