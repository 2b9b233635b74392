"""From photos and run folders to Detections in a photo's own pixels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.images import BrokenPhoto
from detector.inference import Detections, Predictor
from detector.inference.candidates import label_candidates
from detector.network.detector import Detector
from wordtree import UserError, WordTree

Photo = Callable[..., np.ndarray]
SIZES = [(64, 64), (48, 96), (160, 80), (32, 32)]


@pytest.fixture
def predictor(tiny_detector: Detector, small_tree: WordTree) -> Predictor:
    return Predictor(tiny_detector, small_tree, image_size=64, batch_size=3)


@pytest.fixture
def photos(make_photo: Photo) -> list[np.ndarray]:
    return [make_photo(*size, seed=seed) for seed, size in enumerate(SIZES)]


def same(one: Detections, other: Detections) -> None:
    assert len(one) > 0
    assert one.rows.tolist() == other.rows.tolist()
    assert one.nodes.tolist() == other.nodes.tolist()
    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4)


def test_boxes_are_the_inputs_taken_back_into_the_photo(
    predictor: Predictor, make_photo: Photo
) -> None:
    # 128 x 64 in an input of 64: half the size, with 16 grey columns at the left and the right.
    photo = make_photo(128, 64)
    pixels, _ = predictor.input(photo)
    assert (pixels[:, :16] == 127).all()
    assert (pixels[:, 48:] == 127).all()
    images = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        predictions = predictor.detector(images)
    inside = label_candidates(predictions, predictor.detector.tables(torch.device("cpu")))[0]
    found = predictor.predict(photo)[0]
    expected = (inside.box.numpy() - [16, 0, 16, 0]) * 2
    np.testing.assert_allclose(found.boxes, expected.clip(0, [64, 128, 64, 128]), atol=1e-3)
    assert found.rows.tolist() == inside.row.tolist()
    assert (found.original_size, found.input_size) == ((128, 64), (64, 64))


def test_all_boxes_lie_inside_their_photo(predictor: Predictor, photos: list[np.ndarray]) -> None:
    for photo, found in zip(photos, predictor.predict(photos), strict=True):
        height, width = photo.shape[:2]
        assert len(found) > 0
        assert (found.boxes >= 0).all()
        assert (found.boxes[:, 2:] <= [width, height]).all()
        assert (found.boxes[:, :2] <= found.boxes[:, 2:]).all()


def test_several_photos_give_what_each_gives_alone(
    predictor: Predictor, photos: list[np.ndarray]
) -> None:
    together = predictor.predict(photos)  # four photos in batches of three
    assert len(together) == len(photos)
    for photo, found in zip(photos, together, strict=True):
        same(found, predictor.predict(photo)[0])


def test_a_path_gives_what_its_pixels_give_and_names_the_file(
    predictor: Predictor, photos: list[np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(photos[1]).save(path)
    for given in (path, str(path), [path]):
        found = predictor.predict(given)[0]
        same(found, predictor.predict(photos[1])[0])
        assert found.file_name == str(path)
    assert predictor.predict(photos[1])[0].file_name == ""


def test_a_broken_photo_is_named(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(BrokenPhoto, match="broken.jpg"):
        predictor.predict(tmp_path / "broken.jpg")


def test_stream_reads_no_more_than_a_batch_ahead(
    predictor: Predictor, photos: list[np.ndarray]
) -> None:
    taken = []
    stream = predictor.stream(taken.append(n) or photos[n % 4] for n in range(100))
    next(stream)
    assert len(taken) == predictor.batch_size


def test_no_photos_give_no_detections(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_a_path_of_probabilities_falls_and_ends_in_the_returned_node(
    predictor: Predictor, photos: list[np.ndarray]
) -> None:
    found = predictor.predict(photos[0])[0]
    for node, score, path in zip(found.nodes, found.scores, found.paths, strict=True):
        assert [step for step, _ in path] == predictor.tree.path(int(node)).tolist()
        probabilities = [p for _, p in path]
        assert probabilities == sorted(probabilities, reverse=True)
        assert score <= probabilities[-1] + 1e-6


def test_uint8_and_float_inputs_give_the_same(predictor: Predictor, make_photo: Photo) -> None:
    images = torch.from_numpy(make_photo(64, 64).transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        whole, real = predictor.detector(images), predictor.detector(images.float())
    assert torch.equal(whole.objectness, real.objectness)
    assert torch.equal(whole.boxes, real.boxes)
    assert torch.equal(whole.class_features, real.class_features)


@pytest.mark.parametrize("inside", ["", "weights/step-1", "weights/last"])
def test_a_run_folder_gives_the_detector_that_was_saved(
    tiny_run: Path, predictor: Predictor, photos: list[np.ndarray], inside: str
) -> None:
    loaded = Predictor.from_pretrained(tiny_run / inside)
    assert (loaded.image_size, loaded.threshold, loaded.objectness) == (64, 0.5, 0.3)
    assert loaded.tree == predictor.tree
    assert not loaded.detector.training
    for ours, saved in zip(predictor.predict(photos), loaded.predict(photos), strict=True):
        same(ours, saved)


def test_thresholds_given_win_over_those_of_the_run(
    tiny_run: Path, photos: list[np.ndarray]
) -> None:
    loaded = Predictor.from_pretrained(tiny_run, threshold=1.0, objectness=0.0)
    assert (loaded.threshold, loaded.objectness) == (1.0, 0.0)
    # Nothing is surer than 1, so every label stays at the top.
    assert set(loaded.predict(photos[0])[0].keys) <= {"thing", "plant"}


def test_detector_load_is_the_short_way(tiny_run: Path) -> None:
    code = f"from detector import load; print(type(load({str(tiny_run)!r})).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "Predictor", done.stderr


def test_an_unknown_run_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run at .*nowhere"):
        Predictor.from_pretrained(tmp_path / "nowhere")


def test_the_best_candidate_is_the_row_of_greatest_objectness_whatever_the_thresholds(
    tiny_detector: Detector, small_tree: WordTree, photos: list[np.ndarray]
) -> None:
    strict = Predictor(tiny_detector, small_tree, image_size=64, objectness=1.0)
    for photo in photos:
        assert len(strict.predict(photo)[0]) == 0
        pixels, _ = strict.input(photo)
        with torch.no_grad():
            predictions = tiny_detector(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None])
        best = strict.best_candidate(photo)
        assert best.rows.tolist() == [int(predictions.objectness.argmax())]


def test_predicting_leaves_no_tensor_that_a_backward_pass_refuses(
    make_detector: Callable[..., Detector], small_tree: WordTree, make_photo: Photo
) -> None:
    detector = make_detector("flat")
    Predictor(detector, small_tree, image_size=64).predict(make_photo(64, 64))
    columns = detector.classifier(torch.device("cpu")).columns(torch.tensor([4]))
    assert not columns.place.is_inference()
