"""wordtree-predict, run in this process on an untrained run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detector.inference import Predictor
from tools import predict
from wordtree import WordTree

Command = Callable[..., int]


@pytest.fixture
def command(make_command: Callable[..., Command]) -> Command:
    """Runs the console script with these words; gives its exit code."""
    return make_command("wordtree-predict", predict.main)


@pytest.fixture
def photos(tmp_path: Path, make_photo: Callable[..., np.ndarray]) -> Path:
    """dog.png, cat.png in a folder inside, and a photo that is none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(make_photo(64, 96, seed=1)).save(folder / "dog.png")
    Image.fromarray(make_photo(80, 64, seed=2)).save(folder / "more" / "cat.png")
    (folder / "broken.jpg").write_bytes(b"no photo")
    (folder / "notes.txt").write_text("not a photo at all")
    return folder


def records_of(out: Path) -> list[dict]:
    return json.loads((out / "predictions.json").read_text())


def is_one_sentence(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1


def test_every_photo_becomes_a_picture_named_by_its_whole_file_name(
    command: Command, tiny_run: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert command(tiny_run, photos / "dog.png", photos / "more" / "cat.png", "--out", out) == 0
    assert {path.name for path in out.iterdir()} == {
        "dog.png.jpg",
        "cat.png.jpg",
        "predictions.json",
    }
    assert Image.open(out / "dog.png.jpg").size == (96, 64)


def test_photos_of_one_name_become_pictures_of_two(
    command: Command, tiny_run: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    other = photos / "more" / "dog.png"
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(other)
    assert command(tiny_run, photos / "dog.png", other, "--out", out, "--objectness", 0.0) == 0
    assert Image.open(out / "dog.png.jpg").size == (96, 64)
    assert Image.open(out / "dog.png-2.jpg").size == (50, 40)
    assert {(r["image_id"], r["file_name"]) for r in records_of(out)} == {
        (0, "dog.png"),
        (1, "dog.png"),
    }


def test_records_are_the_predictors_in_the_order_of_the_inputs(
    command: Command, tiny_run: Path, photos: Path, tmp_path: Path, small_tree: WordTree
) -> None:
    out = tmp_path / "out"
    assert command(tiny_run, photos / "more" / "cat.png", photos / "dog.png", "--out", out) == 0
    records = records_of(out)
    names = {record["image_id"]: record["file_name"] for record in records}
    assert names == {0: "cat.png", 1: "dog.png"}
    predictor = Predictor.from_pretrained(tiny_run)
    found = predictor.predict(photos / "dog.png")[0]
    dog = [record for record in records if record["image_id"] == 1]
    assert [record["key"] for record in dog] == found.keys
    assert [record["category_id"] for record in dog] == found.nodes.tolist()
    assert [record["score"] for record in dog] == pytest.approx(found.scores.tolist())
    for record, box, node in zip(dog, found.boxes, found.nodes, strict=True):
        x, y, width, height = record["bbox"]
        assert [x, y, x + width, y + height] == pytest.approx(box.tolist(), abs=1e-3)
        keys = [small_tree.keys[step] for step in small_tree.path(int(node))]
        assert [key for key, _ in record["path"]] == keys


def test_broken_photos_of_a_folder_are_named_counted_and_skipped(
    command: Command,
    tiny_run: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert command(tiny_run, photos, "--out", out) == 0
    said = capsys.readouterr()
    assert str(photos / "broken.jpg") in said.err
    assert said.err.count("\n") == 1
    assert "2 pictures" in said.out
    assert "1 broken" in said.out
    assert {path.name for path in out.glob("*.jpg")} == {"dog.png.jpg", "more-cat.png.jpg"}
    assert {record["file_name"] for record in records_of(out)} == {"dog.png", "more-cat.png"}


def test_without_out_the_pictures_stand_in_the_run(
    command: Command, tiny_run: Path, photos: Path
) -> None:
    for run in (tiny_run, tiny_run / "weights" / "last", tiny_run / "weights" / "step-1"):
        picture = tiny_run / "predict" / "dog.png.jpg"
        picture.unlink(missing_ok=True)
        assert command(run, photos / "dog.png") == 0
        assert picture.is_file()
    assert not (tiny_run / "weights" / "step-1" / "predict").exists()


def test_every_frame_of_a_video_becomes_a_picture(
    command: Command, tiny_run: Path, tmp_path: Path, make_photo: Callable[..., np.ndarray]
) -> None:
    video = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 64))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MJPG")
    for seed in range(3):
        writer.write(make_photo(64, 64, seed=seed))
    writer.release()
    assert command(tiny_run, video, "--out", tmp_path / "out") == 0
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.jpg"))
    assert pictures == [f"walk.avi-{number:06d}.jpg" for number in range(3)]


def test_nothing_found_gives_the_photo_an_empty_list_and_the_best_that_there_was(
    command: Command,
    tiny_run: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert command(tiny_run, photos / "dog.png", "--objectness", 1, "--out", out) == 0
    assert records_of(out) == []
    best = Predictor.from_pretrained(tiny_run).best_candidate(photos / "dog.png")
    said = f"nothing found above objectness 1; the best candidate is {best.names[0]} "
    assert said in capsys.readouterr().out
    assert (out / "dog.png.jpg").is_file()


def test_a_high_threshold_keeps_labels_at_the_top(
    command: Command, tiny_run: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert command(tiny_run, photos / "dog.png", "--threshold", 1, "--out", out) == 0
    assert {record["key"] for record in records_of(out)} <= {"thing", "plant"}


def test_a_missing_input_is_found_before_any_picture_is_made(
    command: Command,
    tiny_run: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert command(tiny_run, photos / "dog.png", photos / "gone.jpg", "--out", out) == 2
    message = capsys.readouterr().err
    assert is_one_sentence(message)
    assert str(photos / "gone.jpg") in message
    assert not list(out.glob("*"))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("broken.jpg", "cannot be read"),
        ("empty", "holds no photo"),
        ("fake.mp4", "no frame"),
    ],
)
def test_a_named_input_that_gives_no_photo_is_a_users_mistake(
    command: Command,
    tiny_run: Path,
    photos: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    inputs: str,
    words: str,
) -> None:
    (photos / "empty").mkdir()
    (photos / "fake.mp4").write_bytes(b"no video")
    assert command(tiny_run, photos / inputs, "--out", tmp_path / "out") == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert words in last
    assert str(photos / inputs) in last


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--threshold", 2], "threshold is 2"), (["--device", "cuda"], "cuda")],
)
def test_an_option_out_of_range_is_a_users_mistake(
    command: Command,
    tiny_run: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list,
    words: str,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert command(tiny_run, photos / "dog.png", "--out", tmp_path / "out", *flags) == 2
    message = capsys.readouterr().err
    assert is_one_sentence(message)
    assert words in message


def test_an_unknown_run_is_one_clear_sentence(
    command: Command, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path / "nowhere", photos / "dog.png") == 2
    message = capsys.readouterr().err
    assert is_one_sentence(message)
    assert f"there is no run at {tmp_path / 'nowhere'}" in message
    assert not (tmp_path / "nowhere").exists()
