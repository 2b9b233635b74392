"""Detections of one photo and what they turn into."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from detector.evaluation.predictions_file import read_predictions, write_predictions
from detector.inference.detections import Detections
from wordtree import UserError, WordTree

TREE = WordTree(["n01", "n02", "n03"], [-1, 0, 0], ["animal", "dog", "<cat>"])


def two(**changes):
    values = {
        "tree": TREE,
        "boxes": np.array([[1, 2, 11, 22], [3, 4, 6, 8]], np.float32),
        "nodes": np.array([1, 0]),
        "scores": np.array([0.75, 0.5], np.float32),
        "paths": [[(0, 0.875), (1, 0.75)], [(0, 0.5)]],
        "rows": np.array([17, 4]),
        "input_size": (64, 64),
        "original_size": (30, 40),
        "file_name": "a photo.jpg",
    }
    return Detections(**{**values, **changes})


def none():
    return two(
        boxes=np.zeros((0, 4), np.float32),
        nodes=np.zeros(0, np.int64),
        scores=np.zeros(0, np.float32),
        paths=[],
        rows=np.zeros(0, np.int64),
    )


def test_keys_and_names_are_those_of_the_nodes():
    assert two().keys == ["n02", "n01"]
    assert two().names == ["dog", "animal"]
    assert len(two()) == 2
    assert len(none()) == 0


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="'paths': 1"):
        two(paths=[[(0, 0.5)]])


def test_coco_records_have_every_key_of_the_contract():
    assert two().to_coco(7) == [
        {
            "image_id": 7,
            "file_name": "a photo.jpg",
            "category_id": 1,
            "bbox": [1.0, 2.0, 10.0, 20.0],
            "score": 0.75,
            "key": "n02",
            "path": [["n01", 0.875], ["n02", 0.75]],
        },
        {
            "image_id": 7,
            "file_name": "a photo.jpg",
            "category_id": 0,
            "bbox": [3.0, 4.0, 3.0, 4.0],
            "score": 0.5,
            "key": "n01",
            "path": [["n01", 0.5]],
        },
    ]
    assert none().to_coco(7) == []


def test_coco_records_go_through_a_predictions_file(tmp_path):
    write_predictions(tmp_path / "predictions.json", two().to_coco(0))
    assert read_predictions(tmp_path / "predictions.json") == two().to_coco(0)


def test_pandas_gets_one_line_a_detection():
    pytest.importorskip("pandas", reason="pandas is not installed (pip install pandas)")
    table = two().to_pandas()
    assert list(table.columns) == [
        *("file_name", "x1", "y1", "x2", "y2", "score", "node", "key", "name", "path")
    ]
    assert table.loc[0].tolist() == [
        *("a photo.jpg", 1.0, 2.0, 11.0, 22.0, 0.75, 1, "n02", "dog", "animal > dog")
    ]
    assert len(none().to_pandas()) == 0


def test_supervision_gets_boxes_scores_and_names():
    pytest.importorskip(
        "supervision", reason="supervision is not installed (pip install supervision)"
    )
    found = two().to_supervision()
    np.testing.assert_array_equal(found.xyxy, two().boxes)
    np.testing.assert_array_equal(found.class_id, two().nodes)
    np.testing.assert_array_equal(found.confidence, two().scores)
    assert found.data["class_name"].tolist() == ["dog", "animal"]
    assert len(none().to_supervision()) == 0


@pytest.mark.parametrize("package", ["pandas", "supervision"])
def test_a_missing_package_is_named_with_the_remedy(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"needs {package}.*pip install"):
        getattr(two(), f"to_{package}")()


def test_drawing_leaves_the_photo_alone_and_shows_the_boxes():
    image = np.zeros((30, 40, 3), np.uint8)
    drawn = two().draw(image)
    assert not image.any()
    assert drawn.any()


def test_drawing_on_another_photo_is_refused():
    with pytest.raises(UserError, match=r"40 x 30 pixels \(a photo.jpg\).*has 64 x 32"):
        two().draw(np.zeros((32, 64, 3), np.uint8))
