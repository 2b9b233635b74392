import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.command import make_parser, run_command
from tools.export import main
from wordtree import UserError, WordTree

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command with these words and gives its exit code."""

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["wordtree-export", *map(str, words)])
        try:
            return main()
        except SystemExit as end:
            return int(end.code or 0)

    return run


@pytest.fixture
def coco_file(tmp_path: Path) -> Path:
    file = tmp_path / "instances.json"
    categories = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}, {"id": 17, "name": "cat"}]
    file.write_text(json.dumps({"categories": categories}))
    return file


def test_any_mix_of_data_sets_builds_one_tree_with_a_map_for_each(
    export: Callable[..., int], coco_file: Path, tmp_path: Path, capsys: Captured
) -> None:
    for wnid in ("n02094433", "n02123045"):
        (tmp_path / "photos" / wnid).mkdir(parents=True)
    (tmp_path / "labels.txt").write_text("n07753592\nbanjo\n")
    out = tmp_path / "out"
    code = export(
        *("--coco", coco_file, "--imagenet", tmp_path / "photos"),
        *("--labels", tmp_path / "labels.txt", "--out", out, "--report", tmp_path / "r.json"),
    )
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "coco80.map",
        "photos.map",
        "wordtree.json",
        "wordtree.labels",
        "wordtree.names",
        "wordtree.tree",
    ]
    tree = WordTree.load(out / "wordtree.json")
    assert WordTree.load(out / "wordtree.tree").hash == tree.hash
    nodes = [int(line) for line in (out / "coco80.map").read_text().split()]
    assert [tree.names[node] for node in nodes] == ["car", "domestic cat", "dog"]
    assert json.loads((tmp_path / "r.json").read_text())["nodes"] == len(tree)
    assert f"{len(tree)} nodes from 7 labels" in capsys.readouterr().out


def test_build_options_are_flags_and_a_subtree_can_be_cut_out(
    export: Callable[..., int], coco_file: Path, tmp_path: Path
) -> None:
    assert export("--coco", coco_file, "--unary", "keep", "--out", tmp_path / "a") == 0
    assert (
        export(
            "--tree",
            tmp_path / "a/wordtree.json",
            "--subtree",
            "living thing",
            "--out",
            tmp_path / "b",
            "--format",
            "json",
        )
        == 0
    )
    part = WordTree.load(tmp_path / "b/wordtree.json")
    assert part.names[0] == "living thing"
    assert "dog" in part.names
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["wordtree.json"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x"], "nothing to export"),
        (["--labels", "none.txt", "--out", "x"], "none.txt cannot be read"),
        (["--lables", "none.txt"], "no option --lables; did you mean --labels?"),
        (["--labels", "x"], "required: --out"),
        (["--tree", "x.tree", "--rule", "first", "--out", "x"], "--rule cannot be given"),
        (["--tree", "x.tree", "--rule", "frist", "--out", "x"], "--rule"),
        (["--labels", "x", "--preset", "darknet", "--out", "x"], "did you mean darknet9k"),
        (["--labels", "x", "--format", "xml", "--out", "x"], "no 'xml'; there is darknet, json"),
        (["--coco", "bad.json", "--out", "x"], "bad.json is not JSON"),
        (["--coco", "flat.json", "--out", "x"], "category 'dgo'.*near to it are 'dog'"),
        (["--imagenet", "none", "--out", "x"], "none cannot be read"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(
    export: Callable[..., int],
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").write_text("n02084071\n")
    Path("bad.json").write_text("{")
    Path("flat.json").write_text('{"categories": [{"id": 1, "name": "dgo"}]}')
    assert export(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) <= 3

    assert re.search(message, error)


def test_exit_codes_tell_mistakes_from_defects_and_signals(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fail(error: BaseException) -> int:
        def command() -> int:
            raise error

        return run_command(command)

    monkeypatch.delenv("WORDTREE_DEBUG", raising=False)
    assert run_command(lambda: None) == 0
    assert run_command(lambda: 3) == 3
    assert fail(UserError("the sentence")) == 2
    assert capsys.readouterr().err == "error: the sentence\n"
    assert fail(KeyboardInterrupt()) == 130
    assert fail(ValueError("why")) == 1
    error = capsys.readouterr().err
    assert "a defect of ours (ValueError: why)" in error
    assert "Traceback" not in error
    monkeypatch.setenv("WORDTREE_DEBUG", "1")
    assert fail(UserError("the sentence")) == 2
    assert "Traceback" in capsys.readouterr().err


def test_help_has_an_example_and_version_a_number(capsys: Captured) -> None:
    command = make_parser("wordtree-test", "Tests.", "wordtree-test --all")
    for flag, expected in (("--help", "example:\n  wordtree-test --all"), ("--version", "0.")):
        with pytest.raises(SystemExit) as end:
            command.parse_args([flag])
        assert end.value.code == 0
        assert expected in capsys.readouterr().out


def test_the_module_runs_as_a_command_without_torch() -> None:
    code = "import sys, tools.export; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
