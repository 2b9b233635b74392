"""Optimisers and schedules."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from detector.training.optimizer import make_optimizer
from detector.training.schedule import learning_rate
from wordtree import UserError


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)
    )


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon"])
def test_matrices_alone_are_decayed_and_frozen_parameters_left_out(name: str) -> None:
    model = network()
    model[3].weight.requires_grad_(False)
    optimizer = make_optimizer(model, name=name, weight_decay=0.1)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    expected = {id(p): 0.1 if p.ndim > 1 else 0.0 for p in model.parameters() if p.requires_grad}
    assert decay == expected
    orthogonal = [p for g in optimizer.param_groups if g.get("orthogonal") for p in g["params"]]
    assert [id(p) for p in orthogonal] == ([id(model[0].weight)] if name == "muon" else [])


def test_sgd_steps_as_its_formula_says() -> None:
    model = nn.Linear(2, 1)
    optimizer = make_optimizer(model, name="sgd", rate=0.1, momentum=0.9, weight_decay=0.5)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    speed_w, speed_b = torch.zeros_like(weight), torch.zeros_like(bias)
    for _ in range(3):
        optimizer.zero_grad()
        (model.weight.sum() * 2 + model.bias.sum() * 3).backward()
        optimizer.step()
        speed_w = 0.9 * speed_w + 2 + 0.5 * weight
        speed_b = 0.9 * speed_b + 3
        weight, bias = weight - 0.1 * speed_w, bias - 0.1 * speed_b
    torch.testing.assert_close(model.weight.detach(), weight)
    torch.testing.assert_close(model.bias.detach(), bias)


def test_adamw_first_step_is_the_rate_and_decay_does_not_touch_the_bias() -> None:
    model = nn.Linear(2, 1)
    optimizer = make_optimizer(model, rate=0.01, betas=(0.9, 0.99), weight_decay=0.5)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    (model.weight.sum() * 2 - model.bias.sum() * 3).backward()
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), weight * (1 - 0.01 * 0.5) - 0.01)
    torch.testing.assert_close(model.bias.detach(), bias + 0.01)


def test_a_model_of_biases_alone_has_an_optimiser_too() -> None:
    model = nn.BatchNorm2d(4)
    assert len(make_optimizer(model).param_groups) == 1


def test_an_unknown_optimiser_or_schedule_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"'lion' is not known; choose adamw, sgd or muon"):
        make_optimizer(network(), name="lion")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="'poly' is not known"):
        learning_rate(5, 10, rate=1.0, kind="poly")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="2 milestones"):
        learning_rate(5, 10, rate=1.0, kind="steps", milestones=[1, 2], scales=[0.1])


# -- the schedule ----------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    steps=st.integers(2, 500),
    fraction=st.sampled_from([0.0, 0.05, 0.3]),
    power=st.sampled_from([1.0, 4.0]),
    final=st.sampled_from([0.0, 0.1]),
)
def test_a_cosine_rises_once_falls_once_and_keeps_its_bounds(
    steps: int, fraction: float, power: float, final: float
) -> None:
    warm = round(fraction * steps)
    rates = [
        learning_rate(step, steps, rate=0.4, warmup=fraction, warmup_power=power, final=final)
        for step in range(steps + 1)
    ]
    assert all(0 < r <= 0.4 + 1e-12 for r in rates[:-1])
    assert rates[:warm] == sorted(rates[:warm])
    assert rates[warm:] == sorted(rates[warm:], reverse=True)
    assert rates[warm] == pytest.approx(0.4)
    assert rates[-1] == pytest.approx(0.4 * final)


def test_a_cosine_is_half_way_down_half_way_after_its_warm_up() -> None:
    assert learning_rate(60, 100, rate=2.0, warmup=20) == pytest.approx(1.0)
    quarter = learning_rate(40, 100, rate=2.0, warmup=20)
    assert quarter == pytest.approx(1 + math.cos(math.pi / 4))


def test_burn_in_has_the_power_of_darknet() -> None:
    rates = [
        learning_rate(s, 100, rate=1e-3, kind="constant", warmup=10, warmup_power=4)
        for s in range(12)
    ]
    assert rates == pytest.approx([1e-3 * min(1, (s + 1) / 10) ** 4 for s in range(12)])


def test_steps_multiply_from_their_milestone_on_in_steps_or_fractions() -> None:
    def rates(milestones: list[float]) -> list[float]:
        return [
            learning_rate(s, 10, rate=1.0, kind="steps", milestones=milestones, scales=[10, 0.1])
            for s in range(10)
        ]

    assert rates([4, 8]) == pytest.approx([1] * 4 + [10] * 4 + [1] * 2)
    assert rates([0.4, 0.8]) == rates([4, 8])
    # darknet's yolov2-tiny-voc begins with step -1, which acts from the start.
    assert rates([-1, 2])[:3] == pytest.approx([10, 10, 1])


class Detecting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = network(), nn.Linear(2, 2)


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon"])
def test_the_backbone_steps_at_its_own_multiple_of_the_rate(name: str) -> None:
    models = [Detecting(), Detecting()]
    models[1].load_state_dict(models[0].state_dict())
    before = {key: value.clone() for key, value in models[0].state_dict().items()}
    for model, scale in zip(models, (1.0, 0.1), strict=True):
        optimizer = make_optimizer(model, name=name, rate=0.01, backbone_scale=scale)
        sum((p * (1 + p.detach())).sum() for p in model.parameters()).backward()
        optimizer.step()
    for key, p in models[0].named_parameters():
        full = p.detach() - before[key]
        part = dict(models[1].named_parameters())[key].detach() - before[key]
        factor = 0.1 if key.startswith("backbone.") else 1.0
        torch.testing.assert_close(part, factor * full, atol=1e-6, rtol=1e-3)


def test_a_backbone_that_should_not_learn_is_frozen_instead() -> None:
    with pytest.raises(UserError, match="backbone_scale=0 must be above 0; freeze layers"):
        make_optimizer(Detecting(), backbone_scale=0)
