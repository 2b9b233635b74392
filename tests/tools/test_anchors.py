"""wordtree-anchors: the boxes it looks at, its priors, and its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.letterbox import Letterbox
from data.sample import Sample
from detector.anchors import average_iou
from tools import anchors
from tools.box_sizes import sizes_of_file, sizes_of_sources
from wordtree import UserError

Command = Callable[..., int]


@pytest.fixture
def command(make_command: Callable[..., Command]) -> Command:
    return make_command("wordtree-anchors", anchors.main)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """40 boxes in photos of several shapes, round three sizes, and a crowd."""
    rng = np.random.default_rng(0)
    images = [
        {"id": 1, "file_name": "a.jpg", "width": 640, "height": 480},
        {"id": 2, "file_name": "b.jpg", "width": 200, "height": 400},
    ]
    annotations = [
        {
            "id": number,
            "image_id": 1 + number % 2,
            "category_id": 1,
            "bbox": [
                3,
                5,
                *(np.array([(20, 30), (60, 60), (150, 90)][number % 3]) + rng.random(2)),
            ],
        }
        for number in range(40)
    ]
    crowd = {"id": 99, "image_id": 1, "category_id": 1, "bbox": [0, 0, 640, 480], "iscrowd": 1}
    file = {
        "images": images,
        "annotations": [*annotations, crowd],
        "categories": [{"id": 1, "name": "thing"}],
    }
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(file))
    return path


def test_boxes_of_a_file_are_those_of_letterboxed_photos(coco: Path) -> None:
    file = json.loads(coco.read_text())
    shapes = {one["id"]: (one["height"], one["width"]) for one in file["images"]}
    expected = []
    for one in file["annotations"]:
        if not one.get("iscrowd"):
            x, y, width, height = one["bbox"]
            fit = Letterbox.fit(shapes[one["image_id"]], (320, 320))
            left, top, right, bottom = fit.forward([[x, y, x + width, y + height]])[0]
            expected.append((right - left, bottom - top))
    np.testing.assert_allclose(sizes_of_file(coco, 320), expected, rtol=1e-4)


def test_the_priors_found_beat_the_others_and_rise_with_their_number(
    command: Command, coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command("--coco", coco, "--image-size", 320, "--most", 4, "--out", out) == 0
    said = json.loads((out / "anchors.json").read_text())
    sizes = sizes_of_file(coco, 320)
    assert said["boxes"] == len(sizes) == 40
    assert [row["k"] for row in said["priors"]] == [1, 2, 3, 4]
    ious = [row["average_iou"] for row in said["priors"]]
    assert ious == sorted(ious)
    for row in [*said["priors"], *said["beside"]]:
        assert row["average_iou"] == pytest.approx(average_iou(sizes, row["anchors"]), abs=2e-3)
        if row in said["beside"]:
            best = {one["k"]: one["average_iou"] for one in said["priors"]}
            assert row["average_iou"] < best.get(row["k"], 1.0)
    printed = capsys.readouterr().out
    assert f"for 4 priors: '{anchors.override(said['priors'][-1]['anchors'])}'" in printed
    with Image.open(out / "anchors.png") as plot:
        assert plot.width > 800


def test_the_line_to_paste_is_a_config_that_trains(command: Command, coco: Path) -> None:
    from tools.config import compose_config

    line = anchors.override([[11.5, 15.0], [39.5, 44.0]])
    assert line == "network.anchors=[[11.5,15],[39.5,44]]"
    config = compose_config(["experiment=photos", line])
    assert config["network"]["anchors"] == [[11.5, 15], [39.5, 44]]


def test_darknets_priors_are_those_of_its_files_at_its_size(darknet_files: Path) -> None:
    for name, file, side in (
        ("darknet, yolo9000.cfg", "yolo9000.cfg", 544),
        ("darknet, yolov2.cfg (COCO)", "yolov2.cfg", 608),
        ("darknet, yolov2-voc.cfg", "yolov2-voc.cfg", 416),
    ):
        text = (darknet_files / "cfg" / file).read_text()
        options = dict(
            (part.strip() for part in line.split("=", 1))
            for line in text.splitlines()
            if "=" in line and not line.startswith("#")
        )
        written = np.array([float(part) for part in options["anchors"].split(",")]).reshape(-1, 2)
        np.testing.assert_allclose(anchors.BESIDE[name] * side, written * 32)
        if "width" in options:
            assert int(options["width"]) == side


def test_an_experiment_that_draws_its_photos_is_measured_as_training_shows_it(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ("emoji", "-k", 2, "image_size=64", "--inputs", 12, "--out", out, "mixture.ratio=0")
    words += ("+data.train.scenes.fresh=true", "+data.train.tiles.fresh=true")
    assert command(*words, "mixture.grids=[{rows: 1, columns: 1, kinds: [boxed]}]") == 0
    assert "of emoji, as 12 training inputs show them, in an input of 64" in capsys.readouterr().out
    said = json.loads((out / "anchors.json").read_text())
    assert said["beside"][0]["name"] == "the config's own"
    own, found = said["beside"][0]["average_iou"], said["priors"][0]["average_iou"]
    assert found > own


def test_photos_are_read_only_where_their_size_is_not_known(tmp_path: Path) -> None:
    class Known:
        name, kind = "known", "boxed"
        sizes = np.array([[100, 200], [0, 0]])

        def __len__(self) -> int:
            return 2

        def truth(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            boxes = np.array([[0, 0, 50, 40], [0, 0, 200, 100]], np.float32)
            return boxes, np.array([0, 0]), np.array([False, True])

        def path(self, index: int) -> str:
            return str(tmp_path / "photo.png")

        def read(self, index: int, *, size: object = None) -> Sample:
            raise AssertionError("not needed")

    class Unknown(Known):
        sizes = property()

        def __len__(self) -> int:
            return 1

        def read(self, index: int, *, size: object = None) -> Sample:
            boxes, nodes, ignore = self.truth(index)
            image = np.zeros((400, 200, 3), np.uint8)
            return Sample(image=image, kind="boxed", boxes=boxes, nodes=nodes, ignore=ignore)

    Image.new("RGB", (400, 300)).save(tmp_path / "photo.png")
    sizes = sizes_of_sources([Known(), Unknown()], 100)
    np.testing.assert_allclose(sizes, [[25, 20], [12.5, 10], [12.5, 10]])


def test_a_photo_whose_size_cannot_be_told_is_skipped_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Source:
        name, kind = "boxes", "boxed"
        sizes = np.zeros((1, 2), int)

        def __len__(self) -> int:
            return 1

        def truth(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return np.array([[0, 0, 50, 40]]), np.array([0]), np.array([False])

        def path(self, index: int) -> str:
            return str(tmp_path / "gone.jpg")

    assert len(sizes_of_sources([Source()], 100)) == 0
    assert "gone.jpg" in capsys.readouterr().err


def test_a_seeded_part_of_very_many_boxes_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = np.exp(np.random.default_rng(0).normal(3, 1, (4000, 2)))
    (whole,) = anchors.found_priors(sizes, [3], seed=0, starts=3)
    monkeypatch.setattr(anchors, "MOST_BOXES", 800)
    (part,) = anchors.found_priors(sizes, [3], seed=0, starts=3)
    assert average_iou(sizes, part) > average_iou(sizes, whole) - 0.02
    (again,) = anchors.found_priors(sizes, [3], seed=0, starts=3)
    assert np.array_equal(part, again)


def test_more_priors_than_distinct_boxes_are_left_out() -> None:
    sizes = np.array([[10.0, 20], [30, 30]])
    assert [len(one) for one in anchors.found_priors(sizes, [1, 2, 3, 4], seed=0, starts=2)] == [
        1,
        2,
    ]
    with pytest.raises(UserError, match="5 anchors were asked of 2 distinct"):
        list(anchors.found_priors(sizes, [5], seed=0, starts=2))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "needs an experiment's name, a run folder, or --coco FILE"),
        (["emoji", "--coco", "x.json"], "one of them alone"),
        (["--coco", "x.json"], "cannot read the annotation file x.json"),
        (["--coco", "x.json", "--augmented"], "--augmented needs an experiment"),
        (["emoji", "--image-size", "64"], "here give image_size=64"),
        (["emoji", "-k", "0"], "-k 0 is out of range; give 1 or more"),
        (["emoji", "--starst", "3"], "did you mean --starts?"),
    ],
)
def test_a_mistake_gets_one_sentence(
    command: Command, refused: Callable[..., str], words: list[str], sentence: str
) -> None:
    assert sentence in refused(command, *words)


def test_a_file_that_does_not_state_its_photos_sizes_is_refused(tmp_path: Path) -> None:
    file = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}],
        "categories": [{"id": 1, "name": "thing"}],
    }
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(file))
    with pytest.raises(UserError, match=r"does not state width and height of a\.jpg"):
        sizes_of_file(path, 320)
