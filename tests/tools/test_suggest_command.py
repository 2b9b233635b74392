"""wordtree-suggest, run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import suggest
from wordtree import LabelMap, build

Command = Callable[..., int]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def command(make_command: Callable[..., Command]) -> Command:
    """Runs the console script with these words; gives its exit code."""
    return make_command("wordtree-suggest", suggest.main)


@pytest.fixture
def names(tmp_path: Path) -> Path:
    file = tmp_path / "names.txt"
    file.write_text("banjo\nmouse\n\nblue car\nflurbel\nbanjo\n")
    return file


def test_the_table_marks_what_a_person_has_to_look_at(
    command: Command, names: Path, capsys: Captured
) -> None:
    assert command(names) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:12].rstrip() for line in lines[:4]] == [
        "  banjo",
        "? mouse",
        "? blue car",
        "! flurbel",
    ]
    assert "n02787622  banjo.n.01" in lines[0]
    assert "stringed instrument" in lines[0]
    assert "(by its main word) a motor vehicle" in lines[2]
    assert "not found; near: " in lines[3]
    assert lines[4:] == ["4 names: 1 clear, 2 ambiguous (?), 1 not found (!)"]


def test_all_shows_every_sense_with_its_path_and_rank(
    command: Command, names: Path, capsys: Captured
) -> None:
    assert command(names, "--all") == 0
    said = capsys.readouterr().out
    for key in ("n02330245", "n03793489", "n10335563", "n14289387"):
        assert said.count(key) == 1
    assert "> rodent > mouse\n" in said
    assert "sense 4 of mouse: animal, artifact or food" in said


def test_the_map_is_to_be_corrected_by_hand_and_says_where(
    command: Command, names: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "mine.yaml"
    assert command(names, "--out", out) == 0
    assert "correct the 2 marked AMBIGUOUS and the 1 marked NOT FOUND" in capsys.readouterr().out
    banjo, mouse, car, flurbel = out.read_text().splitlines()[2:]
    assert banjo.startswith("  banjo: n02787622  # banjo.n.01: a stringed instrument")
    assert "# AMBIGUOUS: mouse.n.01 (any of numerous small rodents" in mouse
    assert "; or n03793489 mouse.n.04 (a hand-operated electronic device" in mouse
    assert "# AMBIGUOUS, found by its main word: car.n.01" in car
    assert flurbel.startswith("  flurbel: null  # NOT FOUND, near: ")
    found = LabelMap.load(out)
    assert found.dataset == "mine"
    tree, _ = build(found)
    assert (found.nodes(tree) >= 0).tolist() == [True, True, True, False]


def test_a_map_that_may_hold_corrections_is_not_written_over(
    command: Command, names: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "mine.yaml"
    out.write_text("corrected")
    assert command(names, "--out", out) == 2
    assert "exists and may hold corrections" in capsys.readouterr().err
    assert out.read_text() == "corrected"


def test_json_has_all_senses_best_first_and_nothing_else_on_standard_output(
    command: Command, names: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert command(names, "--json", "--out", tmp_path / "mine.yaml") == 0
    said = capsys.readouterr()
    assert "wrote" in said.err
    content = json.loads(said.out)
    assert list(content) == ["banjo", "mouse", "blue car", "flurbel"]
    assert [sense["key"] for sense in content["mouse"]][:2] == ["n02330245", "n03793489"]
    assert len(content["mouse"]) == 4
    assert content["flurbel"] == []
    banjo = content["banjo"][0]
    assert list(banjo) == ["key", "synset", "gloss", "path"]
    assert banjo["synset"] == "banjo.n.01"
    assert banjo["path"][0] == "entity"
    assert banjo["path"][-1] == "banjo"


def test_a_coco_file_and_folders_are_read_too(
    command: Command, tmp_path: Path, capsys: Captured
) -> None:
    coco = tmp_path / "instances.json"
    coco.write_text(
        json.dumps({"categories": [{"id": 9, "name": "zebra"}, {"id": 2, "name": "banjo"}]})
    )
    for folder in ("n02084071", "giraffe", ".cache"):
        (tmp_path / "photos" / "train" / folder).mkdir(parents=True)
    assert command(coco, tmp_path / "photos", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert list(content) == ["banjo", "zebra", "giraffe", "n02084071"]
    assert content["n02084071"][0]["synset"] == "dog.n.01"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("none.txt", None, "cannot be read"),
        ("empty.txt", "\n\n", "nothing but blank lines"),
        ("no.json", "{}", "no `categories`"),
        ("folder", None, "has no folders"),
    ],
)
def test_input_without_names_is_refused_with_a_sentence(
    command: Command, tmp_path: Path, capsys: Captured, file: str, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / file).write_text(text)
    elif file == "folder":
        (tmp_path / file).mkdir()
    assert command(tmp_path / file) == 2
    error = capsys.readouterr().err
    assert message in error
    assert file in error
    assert len(error.splitlines()) == 1
