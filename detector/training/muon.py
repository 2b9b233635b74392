"""Muon (Jordan et al., 2024): steps whose matrices have all their singular values near 1.

Plain gradients are dominated by few directions; orthogonalised ones teach all at the same pace.
In short runs that counts: see RESULTS.md. torch.optim.Muon takes matrices alone, and here nearly
all weights are kernels of convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor

# x -> a x + b x^3 + c x^5. Coefficients of Jordan et al.: steepest at 0, since exact convergence
# is not needed. Four times takes every singular value in [.007, 1] into [.68, 1.21].
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 4


def orthogonalised(matrices: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """U V^T, nearly, of matrices (n, r, c) = U S V^T: a Newton-Schulz iteration, no decomposition.

    Singular values become about 1; those far below a hundredth of the matrix's norm fall short.
    With G = X X^T every iterate is Q X, Q a polynomial of G. So the loop needs squares of the
    shorter side alone: two fifths of the arithmetic where the longer is nine times the shorter.
    """
    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]
    gram = x @ x.transpose(1, 2)
    one = torch.eye(gram.shape[1], dtype=x.dtype, device=x.device)
    factor = q = a * one + b * gram + c * (gram @ gram)
    for _ in range(iterations - 1):
        gram = factor @ gram @ factor
        factor = a * one + b * gram + c * (gram @ gram)
        q = factor @ q
    x = q @ x
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.AdamW):
    """AdamW, but for groups with `orthogonal=True`: these step along orthogonalised momentum.

    Their parameters are kernels (out, in, ...), read as matrices (out, rest). A step has about
    `rms` x rate as its root mean square, whatever the shape (Liu et al., 2025, choose .2 so that
    AdamW's rate and decay can be kept). momentum: of Nesterov's form. betas, fused: AdamW's, for
    the other groups. `step` takes the gradients of orthogonal groups away.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        momentum: float = 0.95,
        rms: float = 0.2,
        fused: bool = False,
    ) -> None:
        own = {"orthogonal": False, "momentum": momentum, "rms": rms}
        super().__init__([{**own, **group} for group in groups], lr=lr, betas=betas, fused=fused)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every group."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            if group["orthogonal"]:
                self._orthogonal_step(group)
        super().step()
        return loss

    @torch.no_grad()
    def _orthogonal_step(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for kernel in group["params"]:
            if kernel.grad is None:
                continue
            direction = self._nesterov(kernel, kernel.grad, group["momentum"]).flatten(1)
            by_shape.setdefault(direction.shape, []).append((kernel, direction))
            kernel.grad = None
        for shape, members in by_shape.items():
            steps = orthogonalised(torch.stack([direction for _, direction in members]))
            # An orthogonal matrix has a root mean square of 1 / sqrt(its longer side).
            length = group["lr"] * group["rms"] * max(shape) ** 0.5
            for (kernel, _), step in zip(members, steps, strict=True):
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.sub_(step.view(kernel.shape), alpha=length)

    def _nesterov(self, kernel: Tensor, gradient: Tensor, decay: float) -> Tensor:
        state = self.state[kernel]
        if "momentum" not in state:
            # AdamW counts steps in a tensor, and looks for it in a state that is loaded.
            state["step"] = torch.zeros(())
            state["momentum"] = torch.zeros_like(gradient)
        state["step"] += 1
        momentum = cast(Tensor, state["momentum"])
        momentum.lerp_(gradient, 1 - decay)
        return gradient.lerp(momentum, decay)
