"""The running average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from detector.training.ema import WeightAverage
from wordtree import UserError


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def disturb(model: nn.Module) -> None:
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.randn_like(tensor))
            else:
                tensor.add_(3)


def test_parameters_and_buffers_follow_the_formula_and_counters_are_copied() -> None:
    torch.manual_seed(0)
    model = network()
    average = WeightAverage(model, decay=0.3)
    expected = {n: t.clone() for n, t in model.state_dict().items()}
    for update in range(8):
        disturb(model)
        average.update(model)
        keep = min(0.3, (1 + update) / (10 + update))
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = keep * expected[name] + (1 - keep) * tensor
            else:
                expected[name] = tensor.clone()
    found = average.state_dict()
    assert found.keys() == model.state_dict().keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], msg=name)
    assert found["1.num_batches_tracked"] == 24
    assert average.updates == 8


def test_a_step_under_autocast_leaves_the_average_in_float32() -> None:
    model = network()
    average = WeightAverage(model)
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(2, 3, 8, 8)).sum().backward()
    average.update(model)
    floats = [t.dtype for t in average.state_dict().values() if t.is_floating_point()]
    assert set(floats) == {torch.float32}


def test_the_averaged_module_shares_no_memory_and_needs_no_gradient() -> None:
    model = network()
    average = WeightAverage(model)
    before = average.module[0].weight.clone()
    disturb(model)
    assert torch.equal(average.module[0].weight, before)
    assert not any(p.requires_grad for p in average.module.parameters())
    assert all(p.requires_grad for p in model.parameters())
    assert model.training
    assert not average.module.training


def test_a_saved_average_goes_on_exactly() -> None:
    torch.manual_seed(1)
    model = network()
    average = WeightAverage(model, decay=0.9)
    for _ in range(3):
        disturb(model)
        average.update(model)
    saved = {n: t.clone() for n, t in average.state_dict().items()}
    other = WeightAverage(network(), decay=0.9)
    other.load_state_dict(saved, average.updates)
    for _ in range(3):
        disturb(model)
        average.update(model)
        other.update(model)
    for name, tensor in average.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    assert other.updates == 6


def test_no_decay_means_the_weights_themselves() -> None:
    model = network()
    average = WeightAverage(model, decay=0)
    disturb(model)
    average.update(model)
    assert average.module is model
    assert model.training
    assert all(torch.equal(t, model.state_dict()[n]) for n, t in average.state_dict().items())
    kept = model[0].weight.clone()
    average.load_state_dict(network().state_dict(), 5)
    assert torch.equal(model[0].weight, kept)
    assert average.updates == 5


def test_an_average_of_another_network_is_refused() -> None:
    average = WeightAverage(network())
    with pytest.raises(UserError, match=r"ema.safetensors are of another network: 0\.weight"):
        average.load_state_dict(nn.Linear(2, 2).state_dict(), 1, "ema.safetensors")
    with pytest.raises(ValueError, match=r"decay is 1\.0"):
        WeightAverage(network(), decay=1.0)
