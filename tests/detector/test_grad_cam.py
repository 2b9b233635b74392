"""Grad-CAM: the map, the hooks, the refusals."""

from __future__ import annotations

import pytest
import torch

from detector.explain.grad_cam import captured, grad_cam, row_score
from detector.network.detector import Detector
from wordtree.errors import UserError


@pytest.fixture(scope="module")
def detector(small_tree) -> Detector:
    torch.manual_seed(0)
    return Detector(
        small_tree,
        classifier="flat",
        backbone="narrow",
        neck="top_down",
        neck_width=16,
        stride=8,
        anchors=[[20, 20], [40, 30]],
        head={"class_tower": 16, "box_tower": 8, "centre_range": 3.0},
    ).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(1)).byte()


@pytest.mark.parametrize("layer", ["neck", "head.class_tower", "head.class_tower.conv"])
@pytest.mark.parametrize(("row", "node"), [(27, 8), (90, 2)])
def test_the_map_is_captums_of_the_same_scalar(detector, images, layer, row, node) -> None:
    attr = pytest.importorskip("captum.attr")
    module = dict(detector.named_modules())[layer]
    explainer = attr.LayerGradCam(lambda x: row_score(detector, x, row, node), module)
    theirs = explainer.attribute(images.float().requires_grad_(), relu_attributions=True)
    ours = grad_cam(detector, images, row, node, layer=layer)
    # row 90's map is empty in one of the layers: nothing there speaks for the node
    assert row == 90 or float(ours.max()) > 0
    torch.testing.assert_close(ours, theirs[0, 0].detach(), rtol=1e-5, atol=1e-8)


def test_nothing_is_left_behind(detector, images) -> None:
    before = {name: len(m._forward_hooks) for name, m in detector.named_modules()}
    detector.train()
    grad_cam(detector, images, 3, 1)
    assert detector.training
    detector.eval()
    assert all(p.grad is None for p in detector.parameters())
    with pytest.raises(ZeroDivisionError), captured(detector.neck):
        raise ZeroDivisionError
    assert {name: len(m._forward_hooks) for name, m in detector.named_modules()} == before


def test_a_layer_that_gives_no_map_or_is_not_there_is_refused(detector, images) -> None:
    with pytest.raises(UserError, match="layer 'nek' is not in the network"):
        grad_cam(detector, images, 3, 1, layer="nek")
    with pytest.raises(UserError, match="gives no map"):
        grad_cam(detector, images, 3, 1, layer="backbone")
