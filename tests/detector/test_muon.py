"""Muon's steps against a singular value decomposition."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from detector.training.muon import orthogonalised
from detector.training.optimizer import make_optimizer
from wordtree import UserError


def with_singular_values(values: torch.Tensor, rows: int, columns: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    u, _, v = torch.linalg.svd(
        torch.randn(rows, columns, generator=generator, dtype=torch.float64), full_matrices=False
    )
    return u @ torch.diag(values.double()) @ v


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 24),
    st.integers(1, 24),
    st.integers(0, 2**31 - 1),
    st.sampled_from([1e-6, 1.0, 1e4]),
)
def test_singular_vectors_stay_and_singular_values_come_near_one(rows, columns, seed, size) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = 0.05 + 0.95 * torch.rand(min(rows, columns), generator=generator)
    matrix = with_singular_values(values * size, rows, columns, seed)
    found = orthogonalised(matrix.float()[None])[0].double()
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ found @ v.T
    assert ((inner.diagonal() > 0.65) & (inner.diagonal() < 1.25)).all()
    off = inner - torch.diag(inner.diagonal())
    assert off.abs().max() < 1e-3
    assert (found - u @ inner @ v).abs().max() < 1e-3  # nothing outside of the matrix's own spaces


def test_no_gradient_gives_no_step() -> None:
    assert torch.equal(orthogonalised(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.Conv2d(8, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.Flatten(),
        nn.Linear(8 * 2 * 2, 5),
        nn.Conv2d(2, 24, 3, bias=False),  # as a matrix it is taller than wide
    )


def gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_kernels_follow_the_formula_and_all_else_is_adamws() -> None:
    options = {"rate": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.9)}
    model, plain = network(), network()
    muon = make_optimizer(model, name="muon", momentum=0.9, rms=0.3, **options)
    adamw = make_optimizer(plain, name="adamw", **options)
    places = [0, 3, 7]
    kernels = [model[place].weight.detach().clone() for place in places]
    momenta = [torch.zeros_like(kernel) for kernel in kernels]
    for seed in range(3):
        gradients(model, seed)
        gradients(plain, seed)
        given = [model[place].weight.grad.clone() for place in places]
        muon.step()
        assert all(model[place].weight.grad is None for place in places)
        adamw.step()
        for i, gradient in enumerate(given):
            momenta[i] = 0.9 * momenta[i] + 0.1 * gradient
            direction = (0.1 * gradient + 0.9 * momenta[i]).flatten(1)
            step = orthogonalised(direction[None])[0].view_as(gradient)
            longest = max(direction.shape)
            kernels[i] = kernels[i] * (1 - 0.01 * 0.1) - 0.01 * 0.3 * longest**0.5 * step
    for place, kernel in zip(places, kernels, strict=True):
        torch.testing.assert_close(model[place].weight.detach(), kernel)
    others = {name for name, _ in model.named_parameters()} - {f"{p}.weight" for p in places}
    for name in others:
        torch.testing.assert_close(model.get_parameter(name), plain.get_parameter(name))


def test_a_step_has_the_root_mean_square_that_was_asked_for() -> None:
    model = network()
    optimizer = make_optimizer(model, name="muon", rate=0.1, rms=0.5)
    before = model[3].weight.detach().clone()
    gradients(model, 1)
    optimizer.step()
    found = (model[3].weight.detach() - before).square().mean().sqrt()
    assert found == pytest.approx(0.1 * 0.5, rel=0.25)


def test_a_kernel_without_a_gradient_stays_and_a_closure_is_asked_once() -> None:
    model, calls = network(), []
    optimizer = make_optimizer(model, name="muon", rate=0.1)
    before = [model[place].weight.detach().clone() for place in (0, 3)]
    gradients(model, 0)
    model[0].weight.grad = None
    assert optimizer.step(lambda: calls.append(1) or 7.0) == 7.0
    assert calls == [1]
    assert torch.equal(model[0].weight, before[0])
    assert not torch.equal(model[3].weight, before[1])


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"rms": 0.0}, "rms=0.0 must be above 0"),
        ({"momentum": 1.0}, "1.0 in"),
        ({"momentum": -0.1}, "-0.1 in"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, float], refused: str) -> None:
    with pytest.raises(UserError, match=refused):
        make_optimizer(network(), name="muon", **options)


def test_a_state_that_was_saved_goes_on_to_the_same_bits() -> None:
    model = network()
    optimizer = make_optimizer(model, name="muon", rate=0.01)
    gradients(model, 0)
    optimizer.step()
    state, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
    gradients(model, 1)
    optimizer.step()
    other = network()
    other.load_state_dict(weights)
    resumed = make_optimizer(other, name="muon", rate=0.5)
    resumed.load_state_dict(state)
    gradients(other, 1)
    resumed.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
