"""Validation of a source, the figures made from it, and their pictures."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.images import BrokenPhoto
from data.sample import Kind, Sample
from detector.inference import Predictor
from detector.network.detector import Detector
from detector.training.evaluate import evaluate, write_pictures
from detector.training.validate import Validation, validate
from wordtree import UserError, WordTree

CPU = torch.device("cpu")
OPTIONS = {"image_size": 64, "device": CPU, "threshold": 0.5, "objectness": 0.3}
SIZES = [(64, 64), (48, 96), (160, 80), (32, 64), (64, 64)]


@dataclass(frozen=True)
class Photos:
    """A source of samples in memory."""

    samples: list[Sample]
    name: str = "photos"
    kind: Kind = "boxed"

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:
        return self.samples[index]


@pytest.fixture
def source(make_photo: Callable[..., np.ndarray]) -> Photos:
    """Five photos of several sizes: a cat and a saw each, the last one without an object."""
    samples = []
    for number, (height, width) in enumerate(SIZES):
        count = 0 if number == 4 else 2
        boxes = np.array([[2, 3, 20, 24], [10, 8, 31, 30]], np.float32)
        samples.append(
            Sample(
                make_photo(height, width, seed=number),
                "boxed",
                boxes=boxes[:count],
                nodes=np.array([4, 7])[:count],
                ignore=np.array([False, number == 3])[:count],
                path=f"photo{number}.jpg",
                original_size=(height, width),
            )
        )
    return Photos(samples)


@pytest.fixture
def run(tiny_detector: Detector, small_tree: WordTree, source: Photos) -> Callable[..., Validation]:
    def validation(**changes: object) -> Validation:
        return validate(tiny_detector, small_tree, source, **{**OPTIONS, **changes})

    return validation


def test_detections_are_the_predictors(
    run: Callable[..., Validation],
    tiny_detector: Detector,
    small_tree: WordTree,
    source: Photos,
) -> None:
    predictor = Predictor(tiny_detector, small_tree, image_size=64)
    validation = run()
    assert [found.file_name for found in validation.detections] == [
        sample.path for sample in source.samples
    ]
    for sample, found in zip(source.samples, validation.detections, strict=True):
        expected = predictor.predict(sample.image)[0]
        assert found.rows.tolist() == expected.rows.tolist()
        assert found.nodes.tolist() == expected.nodes.tolist()
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)


def test_only_the_nodes_of_truths_are_scored_and_boxes_lie_in_their_photos(
    run: Callable[..., Validation],
) -> None:
    scored = run().scored
    assert set(scored.node.tolist()) == {4, 7}
    assert set(scored.image.tolist()) == set(range(5))
    assert scored.score.min() >= 0.001
    limit = np.array([[width, height] * 2 for height, width in SIZES])[scored.image]
    assert (scored.box >= 0).all()
    assert (scored.box <= limit).all()
    assert max(np.bincount(scored.image * 10 + scored.node)) <= 100


def test_truths_are_those_of_the_source(run: Callable[..., Validation]) -> None:
    truths = run().truths
    assert truths.image.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert truths.node.tolist() == [4, 7] * 4
    assert truths.ignore.tolist() == [False] * 7 + [True]
    assert truths.sizes.tolist() == [list(size) for size in SIZES]


def test_the_size_of_a_batch_changes_nothing(run: Callable[..., Validation]) -> None:
    one, other = run(batch_size=2), run()
    assert one.scored.image.tolist() == other.scored.image.tolist()
    assert one.scored.node.tolist() == other.scored.node.tolist()
    np.testing.assert_allclose(one.scored.score, other.scored.score, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.scored.box, other.scored.box, atol=1e-2)


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_evaluated_and_left_in_its_mode(
    run: Callable[..., Validation], tiny_detector: Detector, training: bool
) -> None:
    reference = run()
    before = {name: value.clone() for name, value in tiny_detector.state_dict().items()}
    tiny_detector.train(training)
    try:
        found = run()
        assert all(module.training == training for module in tiny_detector.modules())
    finally:
        tiny_detector.eval()
    assert np.array_equal(found.scored.score, reference.scored.score)
    after = tiny_detector.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_mode_comes_back_where_something_fails(
    run: Callable[..., Validation], tiny_detector: Detector
) -> None:
    def fail(done: int, of: int) -> None:
        raise OSError("the terminal is gone")

    tiny_detector.train()
    try:
        with pytest.raises(OSError, match="terminal"):
            run(progress=fail)
        assert all(module.training for module in tiny_detector.modules())
    finally:
        tiny_detector.eval()


@dataclass(frozen=True)
class SomeBroken:
    """A source some of whose photos cannot be read."""

    photos: Photos
    broken: tuple[int, ...]
    name: str = "photos"
    kind: Kind = "boxed"

    def __len__(self) -> int:
        return len(self.photos)

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:
        if index in self.broken:
            raise BrokenPhoto(f"photo{index}.jpg", "it is cut off")
        return self.photos.read(index, size=size)


def test_broken_photos_are_listed_and_the_others_are_measured(
    tiny_detector: Detector, small_tree: WordTree, source: Photos
) -> None:
    found = validate(tiny_detector, small_tree, SomeBroken(source, (0, 3)), **OPTIONS)
    assert found.broken == [("photo0.jpg", "it is cut off"), ("photo3.jpg", "it is cut off")]
    kept = Photos([source.samples[at] for at in (1, 2, 4)])
    whole = validate(tiny_detector, small_tree, kept, **OPTIONS)
    assert whole.broken == []
    assert np.array_equal(found.scored.score, whole.scored.score)
    assert np.array_equal(found.truths.box, whole.truths.box)
    assert len(found.detections) == len(found.samples) == 3
    with pytest.raises(UserError, match=r"none of the 5 validation photos can be read \(the first"):
        validate(tiny_detector, small_tree, SomeBroken(source, (0, 1, 2, 3, 4)), **OPTIONS)


def test_progress_counts_photos(run: Callable[..., Validation]) -> None:
    calls: list[tuple[int, int]] = []
    run(batch_size=2, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(2, 5), (4, 5), (5, 5)]


@dataclass
class Watched:
    """A source whose photos are told apart from others in memory as long as anyone holds them."""

    count: int
    name: str = "watched"
    kind: Kind = "boxed"
    images: list[weakref.ref] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:
        image = np.full((40, 48, 3), index, np.uint8)
        self.images.append(weakref.ref(image))
        box, nodes = np.array([[2, 3, 20, 24]], np.float32), np.array([4])
        masks = np.ones((1, 40, 48), bool)
        ignore = np.zeros(1, bool)
        return Sample(image, "boxed", boxes=box, nodes=nodes, ignore=ignore, masks=masks)

    def alive(self) -> int:
        return sum(image() is not None for image in self.images)


def test_photos_are_let_go_batch_by_batch_but_for_the_first_that_pictures_need(
    tiny_detector: Detector, small_tree: WordTree
) -> None:
    source, most = Watched(60), 0

    def watch(done: int, of: int) -> None:
        nonlocal most
        most = max(most, source.alive())

    found = validate(
        tiny_detector, small_tree, source, batch_size=4, pictures=6, progress=watch, **OPTIONS
    )
    assert found is not None
    assert len(source.images) == 60
    assert most <= 8  # a batch and the one before
    assert source.alive() == 0  # what pictures need was copied
    for index, sample in enumerate(found.samples[:6]):
        assert np.array_equal(sample.image, np.full((40, 48, 3), index))
    assert [bool(sample.image.size) for sample in found.samples] == [True] * 6 + [False] * 54
    assert all(sample.image.shape[:2] == (40, 48) for sample in found.samples)
    assert all(sample.masks is None for sample in found.samples[6:])
    assert found.truths.sizes.tolist() == [[40, 48]] * 60
    assert len(found.detections) == 60


def test_a_network_that_was_validated_can_still_be_trained(
    make_detector: Callable[..., Detector], small_tree: WordTree, source: Photos
) -> None:
    for classifier in ("siblings", "flat"):
        detector = make_detector(classifier)
        validate(detector, small_tree, source, **OPTIONS)
        found = detector.train()(torch.zeros(1, 3, 64, 64))
        found.pair_log_probability(torch.tensor([0, 5]), torch.tensor([4, 9])).sum().backward()
        assert float(detector.head.class_weight[0].grad.abs().sum()) > 0


def test_label_only_photos_cannot_be_validated(
    tiny_detector: Detector, small_tree: WordTree, make_photo: Callable[..., np.ndarray]
) -> None:
    source = Photos([Sample(make_photo(64, 64), "label_only", labels=np.array([4]))])
    with pytest.raises(UserError, match="label-only"):
        validate(tiny_detector, small_tree, source, **OPTIONS)


def test_an_evaluation_has_figures_by_half_and_writes_its_pictures(
    tiny_detector: Detector, small_tree: WordTree, source: Photos, tmp_path: Path
) -> None:
    evaluation = evaluate(
        tiny_detector,
        small_tree,
        source,
        nodes_boxed=np.array([4]),
        image_size=64,
        device=CPU,
        threshold=0.5,
        objectness=0.3,
    )
    assert set(evaluation.headline) == {"ap50.all", "ap50.boxed", "ap50.label_only"}
    assert all(0 <= value <= 1 for value in evaluation.headline.values())
    middle = (evaluation.headline["ap50.boxed"] + evaluation.headline["ap50.label_only"]) / 2
    assert evaluation.headline["ap50.all"] == pytest.approx(middle)
    write_pictures(tmp_path, evaluation, small_tree)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pr_curve.png", "val_batch0.jpg"]
    for path in tmp_path.iterdir():
        assert np.asarray(Image.open(path).convert("RGB")).std() > 0


def test_where_every_class_had_boxes_the_other_half_has_no_figure(
    tiny_detector: Detector, small_tree: WordTree, source: Photos
) -> None:
    evaluation = evaluate(
        tiny_detector,
        small_tree,
        source,
        nodes_boxed=np.array([4, 7]),
        image_size=64,
        device=CPU,
        threshold=0.5,
        objectness=0.3,
    )
    assert set(evaluation.headline) == {"ap50.all", "ap50.boxed"}
