"""wordtree-inspect, run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import inspect_tree
from wordtree import LabelMap, WordTree

Command = Callable[..., int]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def inspect(make_command: Callable[..., Command]) -> Command:
    """Runs the console script with these words; gives its exit code."""

    def call(*words: object) -> int:
        try:
            return make_command("wordtree-inspect", inspect_tree.main)(*words)
        except SystemExit as end:
            return int(end.code or 0)

    return call


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """animal > {dog > {terrier, hound}, cat}, keys of WordNet but for one."""
    path = tmp_path / "animals.json"
    WordTree(
        ["n00015388", "n02084071", "cat", "n02092468", "n02087551"],
        [-1, 0, 0, 1, 1],
        ["animal", "dog", "cat", "terrier", "hound"],
        [False, True, True, True, True],
    ).save(path)
    return path


def test_stats_as_json_has_exactly_these_keys(
    inspect: Command, animals: Path, capsys: Captured
) -> None:
    assert inspect("stats", animals, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "nodes": 5,
        "leaves": 3,
        "groups": 3,
        "singletons": 1,
        "top": 1,
        "depth": 2,
        "labelled": 4,
        "hash": WordTree.load(animals).hash,
    }
    assert inspect("stats", animals) == 0
    assert "nodes               5" in capsys.readouterr().out


def test_lint_exits_0_with_warnings_and_2_with_errors(
    inspect: Command, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "x.tree"
    path.write_text("a -1\nb -1\nc 0\nd 0\n")
    assert inspect("lint", path) == 0
    assert capsys.readouterr().out.startswith("x.tree: no problems, 1 note\n")
    path.write_text("a -1\nb 0\n")
    assert inspect("lint", path) == 0
    assert capsys.readouterr().out.startswith("x.tree: 2 warnings\nwarning: x.tree, line 1: ")
    path.write_text("a -1\nb 0\nb 0\n")
    path.with_suffix(".names").write_text("one\ntwo\n")
    assert inspect("lint", path) == 2
    text = capsys.readouterr().out
    assert text.startswith("x.tree, x.names: 2 errors")
    assert "error: x.tree, line 3: the key 'b' is used already in line 2" in text
    assert "error: x.names, line 3: 2 names for 3 nodes" in text
    assert inspect("lint", path, "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert {tuple(problem) for problem in found} == {("line", "problem", "severity", "remedy")}
    assert {problem["severity"] for problem in found} == {"error", "warning"}


def test_lint_of_a_tree_that_loads_has_no_error(
    inspect: Command, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"format": 1, "nodes": []}')
    assert inspect("lint", path, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["problem"] == "the tree has no nodes"
    path.with_suffix(".tree").write_text("a -1\r\nb -1\nc 0\nd 0\n")
    assert inspect("lint", path.with_suffix(".tree"), "--json") == 0
    assert {problem["severity"] for problem in json.loads(capsys.readouterr().out)} == {"note"}


def test_lint_says_a_remedy_once_for_problems_of_a_kind(
    inspect: Command, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "x.tree"
    path.write_text("a -1\n" + "".join(f"b{at} 90\n" for at in range(5)))
    assert inspect("lint", path) == 2
    assert capsys.readouterr().out.count("--prune FILE") == 1


def test_lint_checks_maps_with_their_categories(
    inspect: Command, darknet_files: Path, capsys: Captured
) -> None:
    tree, coco = darknet_files / "9k.tree", darknet_files / "coco9k.map"
    assert inspect("lint", tree, "--map", coco, "--categories", darknet_files / "coco.names") == 0
    assert "category 12 ('parking meter') stands below" in capsys.readouterr().out
    assert inspect("lint", tree, "--categories", darknet_files / "coco.names") == 2
    assert "0 maps, but 1 lists" in capsys.readouterr().err


def test_diff_exits_0_whether_trees_differ_or_not(
    inspect: Command, animals: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert inspect("diff", animals, animals) == 0
    assert capsys.readouterr().out == "no difference\n"
    other = tmp_path / "other.json"
    WordTree.load(animals).prune(["dog"]).save(other)
    assert inspect("diff", animals, other) == 0
    assert "3 removed:\n  dog (n02084071)\n" in capsys.readouterr().out
    assert inspect("diff", animals, other, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["removed"] == ["n02084071", "n02092468", "n02087551"]
    assert set(found) == {
        *("added", "removed", "moved", "renamed", "relabelled", "reordered", "renumbered")
    }


def test_path_tells_names_depths_groups_and_glosses(
    inspect: Command, animals: Path, capsys: Captured
) -> None:
    assert inspect("path", animals, "terrier", "cat") == 0
    first, second = capsys.readouterr().out.split("\n\n")
    lines = first.splitlines()
    assert lines[0] == "terrier (n02092468): node 3, leaf"
    assert lines[1].split() == ["depth", "name", "key", "group", "of", "labelled", "gloss"]
    assert lines[2].split()[:6] == ["0", "animal", "n00015388", "1", "no", "a"]
    assert lines[4].split()[:5] == ["2", "terrier", "n02092468", "2", "yes"]
    assert second.startswith("cat: node 2, leaf\n")
    assert inspect("path", animals, "n02092468", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [node["key"] for node in found["path"]] == ["n00015388", "n02084071", "n02092468"]
    assert found["path"][1] | {"gloss": ""} == {
        "key": "n02084071",
        "name": "dog",
        "depth": 1,
        "group_size": 2,
        "labelled": True,
        "gloss": "",
    }
    assert found["path"][1]["gloss"].startswith("a member of the genus Canis")


def test_remap_writes_a_map_that_fits_the_tree(
    inspect: Command, animals: Path, tmp_path: Path, capsys: Captured
) -> None:
    label_map = tmp_path / "mine.yaml"
    LabelMap("mine", {"corgi": "n02112826", "house": "n03544360", "cat": "cat"}).save(label_map)
    out = tmp_path / "new.yaml"
    assert inspect("remap", animals, "--map", label_map, "--out", out) == 0
    text = capsys.readouterr().out
    assert "corgi     corgi.n.01 (n02112826)  dog (n02084071)  1\n" in text
    assert "house is left out: no node of the tree stands above it" in text
    new = LabelMap.load(out)
    assert new.targets == {"corgi": "n02084071", "house": None, "cat": "cat"}
    assert "# stands in for corgi.n.01 (n02112826); a member of" in out.read_text()
    assert inspect("remap", animals, "--map", label_map, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(entry["category"], entry["key"], entry["steps"]) for entry in found] == [
        ("corgi", "n02084071", 1),
        ("house", None, 0),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: command"),
        (["sats"], "invalid choice: 'sats'"),
        (["stats"], "required: TREE"),
        (["stats", "none.tree"], "none.tree cannot be read"),
        (["lint", "none.tree"], "none.tree cannot be read"),
        (["lint", "TREE", "--jsn"], "no option --jsn; did you mean --json?"),
        (["path", "TREE", "dgo"], "near to it are dog"),
        (["diff", "TREE"], "required: TREE2"),
        (["remap", "TREE", "--map", "coco81"], "no label map 'coco81'"),
        (["stats", "x.xml"], "x.xml"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(
    inspect: Command, animals: Path, words: list[str], message: str, capsys: Captured
) -> None:
    assert inspect(*[animals if word == "TREE" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize("name", [None, *inspect_tree.COMMANDS])
def test_help_has_an_example(inspect: Command, name: str | None, capsys: Captured) -> None:
    assert inspect(*([name] if name else []), "--help") == 0
    assert f"example:\n  wordtree-inspect {name or ''}" in capsys.readouterr().out
    assert inspect("--version") == 0
