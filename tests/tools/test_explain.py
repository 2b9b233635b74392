"""wordtree-explain, run in this process on an untrained run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detector.inference import Predictor
from tools import explain

Command = Callable[..., int]


@pytest.fixture
def command(make_command: Callable[..., Command]) -> Command:
    """Runs the console script with these words; gives its exit code."""
    return make_command("wordtree-explain", explain.main)


@pytest.fixture
def photo(tmp_path: Path, make_photo: Callable[..., np.ndarray]) -> Path:
    path = tmp_path / "dog.png"
    Image.fromarray(make_photo(64, 96, seed=1)).save(path)
    return path


def test_every_detection_gets_an_overlay(
    command: Command, tiny_run: Path, photo: Path, tmp_path: Path
) -> None:
    count = len(Predictor.from_pretrained(tiny_run).predict(photo)[0])
    assert count > 1
    out = tmp_path / "out"
    assert command(tiny_run, photo, "--out", out, "--most", 100) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {f"dog.png-{number}.jpg" for number in range(count)}


def test_most_takes_the_best(
    command: Command,
    tiny_run: Path,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = Predictor.from_pretrained(tiny_run).predict(photo)[0]
    out = tmp_path / "out"
    assert command(tiny_run, photo, "--out", out, "--most", 1) == 0
    assert [path.name for path in out.iterdir()] == ["dog.png-0.jpg"]
    assert f"{found.names[0]} {found.scores[0]:.2f}" in capsys.readouterr().out


def test_without_detections_the_best_candidate_is_explained(
    command: Command,
    tiny_run: Path,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert command(tiny_run, photo, "--out", out, "--objectness", 1) == 0
    assert [path.name for path in out.iterdir()] == ["dog.png-0.jpg"]
    assert "best candidate" in capsys.readouterr().out


def test_another_node_is_explained_by_its_name(
    command: Command,
    tiny_run: Path,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert command(tiny_run, photo, "--out", out, "--node", "saw", "--most", 2) == 0
    assert len(list(out.iterdir())) == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if "dog.png-" in line]
    assert lines
    assert all("saw" in line for line in lines)


def test_layers_give_different_maps(
    command: Command, tiny_run: Path, photo: Path, tmp_path: Path
) -> None:
    pictures = []
    for layer in ("neck", "backbone.stages.0"):
        out = tmp_path / layer
        assert command(tiny_run, photo, "--out", out, "--most", 1, "--layer", layer) == 0
        pictures.append((out / "dog.png-0.jpg").read_bytes())
    assert pictures[0] != pictures[1]


def test_without_out_the_overlays_stand_in_the_run(
    command: Command, tiny_run: Path, photo: Path
) -> None:
    assert command(tiny_run / "weights" / "last", photo, "--most", 1) == 0
    assert (tiny_run / "explain" / "dog.png-0.jpg").is_file()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--node", "unicorn"], "unicorn"),
        (["--layer", "nack"], "nack"),
        (["--layer", "head"], "head"),
    ],
)
def test_an_unknown_node_or_layer_is_one_clear_sentence(
    command: Command,
    tiny_run: Path,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    word: str,
) -> None:
    out = tmp_path / "out"
    assert command(tiny_run, photo, "--out", out, *flags) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert word in message
    assert not list(out.glob("*.jpg"))


def test_a_missing_photo_is_a_users_mistake(
    command: Command, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tiny_run, tmp_path / "gone.jpg", "--out", tmp_path / "out") == 2
    assert str(tmp_path / "gone.jpg") in capsys.readouterr().err
