"""Grad-CAM against captum, and what it leaves behind: nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from data.letterbox import Letterbox
from detector.explain import explain, grad_cam, row_score
from detector.explain.overlay import blend, to_photo
from detector.inference.predictor import Predictor
from detector.network.detector import Detector
from wordtree import UserError, WordTree

LAYERS = ["neck", "backbone.stages.0", "backbone.stages.2", "neck.mix.0", "neck.mix.0.norm"]


@pytest.fixture(params=["siblings", "flat"])
def detector(make_detector: Callable[..., Detector], request: pytest.FixtureRequest) -> Detector:
    return make_detector(request.param, seed=1)


@pytest.fixture
def images(make_photo: Callable[..., np.ndarray]) -> Tensor:
    return torch.from_numpy(make_photo(64, 64)).permute(2, 0, 1)[None].contiguous()


def hook_count(detector: nn.Module) -> int:
    return sum(
        len(module._forward_hooks) + len(module._backward_hooks) + len(module._forward_pre_hooks)
        for module in detector.modules()
    )


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("row", "node"), [(0, 0), (37, 5), (127, 9)])
def test_the_map_is_captums(
    detector: Detector, images: Tensor, layer: str, row: int, node: int
) -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is in the extra `explain`")
    module = detector.get_submodule(layer)
    reference = attr.LayerGradCam(lambda x: row_score(detector, x, row, node), module)
    expected = reference.attribute(images.float(), relu_attributions=True)[0, 0].detach()
    ours = grad_cam(detector, images, row, node, layer=layer)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


def test_some_layer_and_node_give_a_map_that_is_not_empty(
    detector: Detector, images: Tensor
) -> None:
    peaks = [float(grad_cam(detector, images, 37, node).max()) for node in range(10)]
    assert max(peaks) > 1e-3


def test_row_score_is_the_log_of_objectness_times_the_nodes_probability(
    detector: Detector, images: Tensor
) -> None:
    predictions = detector(images)
    log_p = predictions.classifier.log_p(predictions.class_logits(torch.tensor([37])))[0, 5]
    expected = torch.log(predictions.objectness[37].sigmoid() * log_p.exp())
    torch.testing.assert_close(row_score(detector, images, 37, 5)[0], expected)


def test_hooks_are_removed_and_modes_and_gradients_left_as_they_were(
    detector: Detector, images: Tensor
) -> None:
    detector.train()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    grad_cam(detector, images, 3, 4)
    assert hook_count(detector) == 0
    assert all(module.training for module in detector.modules())
    assert all(parameter.grad is None for parameter in detector.parameters())
    assert all(torch.equal(before[name], value) for name, value in detector.state_dict().items())


def test_gradients_that_a_training_step_has_gathered_are_kept(
    detector: Detector, images: Tensor
) -> None:
    bias = detector.head.boxes.bias
    bias.grad = torch.ones_like(bias)
    grad_cam(detector, images, 3, 4)
    assert torch.equal(bias.grad, torch.ones_like(bias))


def test_a_float_input_of_the_caller_is_not_marked_for_gradients(
    detector: Detector, images: Tensor
) -> None:
    given = images.float()
    ours = grad_cam(detector, given, 3, 4)
    assert not given.requires_grad
    assert given.grad is None
    assert torch.equal(ours, grad_cam(detector, images, 3, 4))


def test_frozen_parameters_change_nothing(detector: Detector, images: Tensor) -> None:
    free = grad_cam(detector, images, 3, 4, layer="backbone.stages.1")
    detector.requires_grad_(False)
    assert torch.equal(grad_cam(detector, images, 3, 4, layer="backbone.stages.1"), free)


@pytest.mark.parametrize("layer", ["", "nack", "neck.7", "head", "backbone", "head.class_weight"])
def test_a_layer_without_a_map_is_a_users_mistake_and_leaves_nothing_behind(
    detector: Detector, images: Tensor, layer: str
) -> None:
    detector.train()
    with pytest.raises(UserError, match=f"layer '{layer}'"):
        grad_cam(detector, images, 3, 4, layer=layer)
    assert hook_count(detector) == 0
    assert detector.training


def test_hooks_are_removed_and_the_mode_restored_when_the_score_fails(
    detector: Detector, images: Tensor
) -> None:
    detector.train()
    with pytest.raises(IndexError):
        grad_cam(detector, images, 10_000, 4)
    assert hook_count(detector) == 0
    assert detector.training


def test_explain_works_after_predict_and_covers_the_photo(
    detector: Detector, small_tree: WordTree, make_photo: Callable[..., np.ndarray]
) -> None:
    predictor = Predictor(detector, small_tree, image_size=64)
    photo = make_photo(48, 80)
    found = predictor.predict(photo)[0]
    explained = explain(predictor, photo, found, most=3, enlarge=2)
    assert len(explained) == 3
    for number, one in enumerate(explained):
        assert one.overlay.shape == (96, 160, 3)
        assert one.overlay.dtype == np.uint8
        assert one.heat.shape == (48, 80)
        assert one.heat.min() >= 0
        assert one.heat.max() in (0, pytest.approx(1))
        assert one.node == found.nodes[number]
        assert one.text == f"{found.names[number]} {found.scores[number]:.2f}"


def test_explaining_a_chosen_node_names_it_without_a_score(
    detector: Detector, small_tree: WordTree, make_photo: Callable[..., np.ndarray]
) -> None:
    predictor = Predictor(detector, small_tree, image_size=64)
    photo = make_photo(64, 64)
    one = explain(predictor, photo, predictor.predict(photo)[0], node=7, most=1)[0]
    assert (one.node, one.text) == (7, "saw")


def test_a_map_in_the_photos_place_of_the_input_lands_on_the_photo() -> None:
    box = Letterbox.fit((32, 64), (64, 64))  # rows 16 to 48 of the input hold the photo
    heat = np.zeros((8, 8), np.float32)
    heat[2:4] = 1  # the photo's upper half
    photo = to_photo(heat, box)
    assert photo.shape == (32, 64)
    assert photo[:12].min() > 0.5
    assert photo[20:].max() < 0.5


def test_heat_in_the_padding_alone_gives_an_empty_map() -> None:
    heat = np.zeros((8, 8), np.float32)
    heat[0] = 1
    assert to_photo(heat, Letterbox.fit((32, 64), (64, 64))).max() == 0


def test_blend_shows_only_the_darkened_photo_where_the_map_is_zero() -> None:
    photo = np.full((4, 4, 3), 200, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    mixed = blend(photo, heat)
    assert (mixed[1:] == 150).all()
    assert (mixed[0, 0] != 150).any()
