"""wordtree-show-data: sheets, report, and the batch that a failed run left."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.draw import node_colour
from data.draw_truths import box_texts
from data.sample import Input, Sample, collate
from data.source_sheet import picture_of_sample, spread_photos
from detector.training.callbacks import pictures_of
from tools import show_data
from wordtree import UserError, WordTree

Command = Callable[..., int]


@pytest.fixture
def command(make_command: Callable[..., Command]) -> Command:
    return make_command("wordtree-show-data", show_data.main)


@pytest.fixture
def photos(tmp_path: Path, make_photo: Callable[..., np.ndarray]) -> tuple[str, ...]:
    """The words of a small experiment: six boxed photos, of which one is cut off, and label-only
    ones of a dog and a cat."""
    root = tmp_path / "sets"
    for name in ("boxed", "labels/n02084071", "labels/n02121620"):
        (root / name).mkdir(parents=True)
    images, annotations = [], []
    for number in range(6):
        path = root / f"boxed/photo{number}.jpg"
        Image.fromarray(make_photo(48, 64, seed=number)).save(path)
        images.append({"id": number, "file_name": path.name, "height": 48, "width": 64})
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": [8, 8, 20, 24]}
        )
    (root / "boxed/photo2.jpg").write_bytes((root / "boxed/photo2.jpg").read_bytes()[:400])
    for name in ("n02084071", "n02121620"):
        Image.fromarray(make_photo(64, 48)).save(root / f"labels/{name}/one.png")
    file = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "tool"}],
    }
    (root / "boxed.json").write_text(json.dumps(file))
    (root / "map.yaml").write_text("dataset: mine\nmap:\n  tool: n04451818\n")
    boxes = f"annotations: {root}/boxed.json, images: {root}/boxed, label_map: {root}/map.yaml"
    return (
        "photos",
        f"data_root={root}",
        "image_size=64",
        "network.stride=16",
        f"data.train.boxes={{type: coco, {boxes}}}",
        f"data.train.labels.folder={root}/labels",
        f"data.validation={{type: coco, {boxes}}}",
    )


def test_an_experiments_photos_inputs_and_report_are_written(
    command: Command, photos: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command(*photos[:1], "--inputs", 4, "--position", 20, *photos[1:], "--out", out) == 0
    said, errors = capsys.readouterr()
    assert "boxes: boxed, 6 photos, 6 boxes of 1 class" in said
    assert "labels: label_only, 2 photos, labels of 2 classes" in said
    assert {path.name for path in (out / "sources").iterdir()} == {
        "boxes.jpg",
        "labels.jpg",
        "validation.jpg",
    }
    rows = (out / "inputs.txt").read_text().splitlines()
    assert rows[0].split("\t") == ["input", "source", "photo", "kind", "path"]
    assert {row.split("\t")[0] for row in rows[1:]} == {"20", "21", "22", "23"}
    assert "photo2.jpg: " in errors
    assert str(out / "sources/boxes.jpg") in said
    with Image.open(out / "inputs.jpg") as sheet:
        assert min(sheet.size) > 380
    counted = {row["key"]: row for row in csv.DictReader((out / "mixture.csv").open())}
    assert counted["n04451818"]["boxes"] == "6"
    assert counted["n02084071"]["labelled_photos"] == "1"
    assert "dog" in (out / "mixture.txt").read_text()


def test_one_position_shows_the_same_inputs_whatever_was_shown_before(
    command: Command, photos: tuple[str, ...], tmp_path: Path
) -> None:
    for name, position, inputs in (("a", 0, 4), ("b", 2, 2)):
        words = ("--position", position, "--inputs", inputs, "--out", tmp_path / name)
        assert command(*photos, *words) == 0
    whole, part = ((tmp_path / name / "inputs.txt").read_text().splitlines() for name in "ab")
    assert part[1:] == [row for row in whole[1:] if row[0] in "23"]


def test_a_broken_photo_is_skipped_and_the_next_takes_its_place(
    make_photo: Callable[..., np.ndarray],
) -> None:
    from data.images import BrokenPhoto

    class Source:
        name, kind = "some", "background"
        read_numbers: tuple[int, ...] = ()

        def __len__(self) -> int:
            return 9

        def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:
            if index in self.broken:
                raise BrokenPhoto(f"photo{index}", "cut off")
            return Sample(image=make_photo(8, 8), kind="background", index=index)

        broken: tuple[int, ...] = (0, 6, 7, 8)

    found: list[tuple[str, str]] = []
    shown = spread_photos(Source(), 3, size=(64, 64), broken=found)
    assert [sample.index for sample in shown] == [1, 3]
    assert [path for path, _ in found] == ["photo0", "photo6", "photo7", "photo8"]
    Source.broken = tuple(range(9))
    with pytest.raises(UserError, match="none of the 9 photos of source some can be read"):
        spread_photos(Source(), 3, size=(64, 64), broken=[])


def test_boxes_stand_on_the_photo_where_they_belong(small_tree: WordTree) -> None:
    image = np.full((50, 100, 3), 90, np.uint8)
    sample = Sample(
        image=image,
        kind="boxed",
        boxes=np.array([[20, 10, 60, 40]], np.float32),
        nodes=np.array([5]),
        ignore=np.array([False]),
    )
    picture = picture_of_sample(sample, small_tree, side=400)
    assert picture.shape == (400, 400, 3)
    assert (picture[:90] == 255).all()  # above and below a wide photo the sheet is white
    # The photo is four times as large and starts 100 pixels down.
    rows, columns = np.nonzero((picture == node_colour(5)).all(-1))
    assert (columns.min(), columns.max()) == (80, 240)
    assert rows.max() == 260


def test_many_boxes_of_a_class_share_one_name_with_their_number(small_tree: WordTree) -> None:
    nodes = np.array([5] * 9 + [4, -1])
    sides = np.arange(1, 12.0)
    boxes = np.stack([sides * 0, sides * 0, sides, sides], 1)
    ignore = np.zeros(11, bool)
    texts = box_texts(boxes, nodes, ignore, small_tree)
    assert texts == [""] * 8 + ["dog × 9", "cat", "object"]
    assert box_texts(boxes[:3], nodes[:3], ignore[:3], small_tree) == ["dog"] * 3
    ignore[:2] = True
    assert box_texts(boxes[:3], nodes[:3], ignore[:3], small_tree) == ["ignored", "ignored", "dog"]


@pytest.fixture
def left(tmp_path: Path, small_tree: WordTree, make_photo: Callable[..., np.ndarray]) -> Path:
    """What a run leaves: its tree, and a batch of which one box has no area."""
    inputs = []
    for number in range(2):
        sample = Sample(
            image=make_photo(64, 64, seed=number),
            kind="boxed",
            boxes=np.array([[4, 4, 40, 40], [9, 9, 9, 20]][: number + 1], np.float32),
            nodes=np.array([5, 4][: number + 1]),
            ignore=np.zeros(number + 1, bool),
            source="boxes",
            index=70 + number,
            path=f"/photos/{number}.jpg",
        )
        region = np.array([[0, 0, 64, 64]], np.float32)
        inputs.append(Input(sample.image, (sample,), region, position=8 + number))
    small_tree.save(tmp_path / "wordtree.json")
    file = tmp_path / "non_finite_batch.pt"
    torch.save({**vars(collate(inputs)), "reason": "the loss is not finite at step 3"}, file)
    return file


def test_a_batch_that_was_left_is_drawn_and_its_photos_are_named(
    command: Command, left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(left) == 0
    said = capsys.readouterr().out
    assert "the loss is not finite at step 3" in said
    assert "input 8: boxes 70: /photos/0.jpg" in said
    assert "odd: box (9, 9, 9, 20) of /photos/1.jpg has no area" in said
    with Image.open(left.parent / "data/non_finite_batch.jpg") as sheet:
        assert sheet.width > 2 * 384


def test_a_batch_file_is_never_run_as_code(
    command: Command, left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"images": Path("/"), "photo_path": []}, left)
    assert command(left) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_batch_file_that_lacks_a_part_is_refused(
    command: Command, left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"images": torch.zeros(1), "photo_path": ["a"]}, left)
    assert command(left) == 2
    assert "holds no batch; give the non_finite_batch.pt of a run" in capsys.readouterr().err


def test_inputs_of_several_photos_show_boxes_and_labels(
    small_tree: WordTree, make_photo: Callable[..., np.ndarray]
) -> None:
    boxed = Sample(
        image=make_photo(64, 32),
        kind="boxed",
        boxes=np.array([[4, 20, 28, 60]], np.float32),
        nodes=np.array([4]),
        ignore=np.array([False]),
    )
    labelled = Sample(image=make_photo(64, 32), kind="label_only", labels=np.array([9]))
    regions = np.array([[0, 0, 32, 64], [32, 0, 64, 64]], np.float32)
    whole = Input(make_photo(64, 64), (boxed, labelled), regions)
    (picture,) = pictures_of(collate([whole]), small_tree)
    assert picture.shape == (384, 384, 3)
    box = (picture == node_colour(4)).all(-1)
    region = (picture == node_colour(9)).all(-1)
    # Six times as large: the box in the left half, the dashed outline in the right.
    assert box[:, :192].sum() > 200
    assert not box[:, 192:].any()
    assert region[:, 192:].sum() > 200
    assert not region[:, :190].any()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere/run"], "nowhere/run does not exist; give the folder of a run"),
        (["emogi"], "experiment=emogi is not known"),
        (["emoji", "image_sise=64"], "did you mean 'image_size'"),
        (["emoji", "--inputs", "0"], "--inputs 0 is out of range; give from 1 to 400"),
        (["emoji", "--position", "-1"], "--position -1 is out of range; give 0 or more"),
        (["emoji", "--inptus", "3"], "did you mean --inputs?"),
        (["some.pt"], "some.pt does not exist; give the non_finite_batch.pt of a run"),
    ],
)
def test_a_mistake_gets_one_sentence(
    command: Command, refused: Callable[..., str], words: list[str], sentence: str
) -> None:
    assert sentence in refused(command, *words)


def test_a_run_is_shown_as_it_was_and_takes_no_changes(
    command: Command,
    photos: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import yaml

    from tools.assemble import make_tree
    from tools.config import compose_config

    config = compose_config(["experiment=photos", *photos[1:]])
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    make_tree(config)[0].save(run / "wordtree.json")
    assert command(run, "--inputs", 1) == 0
    assert (run / "data/sources/boxes.jpg").is_file()
    assert command(run, "seed=1") == 2
    assert "is a run, whose config stands, so seed=1 cannot be given" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(
    command: Command, photos: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*photos, "--out", tmp_path / "sets/boxed.json") == 2
    said = capsys.readouterr().err
    assert "mixture.txt cannot be written" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("classifier=flatt", "classifier=flatt.*flat"),
        ("mixture.grids=[{row: 1}]", r"unknown key 'mixture\.grids\[0\]\.row'"),
        ("network.anchors=[a]", "network.anchors"),
    ],
)
def test_what_train_py_would_refuse_is_refused_here_too(change: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        show_data.read_config("emoji", [change])
