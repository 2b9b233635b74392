import json
import re
import subprocess
import sys
import time
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


def test_every_format_is_written_and_all_that_can_be_read_are_equal(
    export: Callable[..., int], coco_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    formats = "darknet,json,csv,graphml,dot,newick,html"
    assert export("--coco", coco_file, "--out", out, "--format", formats) == 0
    tree = WordTree.load(out / "wordtree.json")
    for ending in ("csv", "graphml", "newick"):
        assert WordTree.load(out / f"wordtree.{ending}") == tree
    assert WordTree.load(out / "wordtree.tree").hash == tree.hash
    assert "coco80" in (out / "wordtree.html").read_text()
    assert (out / "wordtree.dot").read_text().startswith("digraph")


def test_a_packaged_map_alone_is_a_data_set(
    export: Callable[..., int], tmp_path: Path, capsys: Captured
) -> None:
    assert export("--map", "voc20", "--map", "coco80", "--out", tmp_path) == 0
    assert len((tmp_path / "voc20.map").read_text().split()) == 20
    assert len((tmp_path / "coco80.map").read_text().split()) == 80


def test_lvis_categories_bring_their_synsets_and_an_unknown_one_is_said(
    export: Callable[..., int], tmp_path: Path, capsys: Captured
) -> None:
    rows = [("dog", "dog.n.01"), ("stop sign", "stop_sign.n.01"), ("cat", "cat.n.01")]
    categories = [
        {"id": at, "name": name, "synset": synset} for at, (name, synset) in enumerate(rows)
    ]
    (tmp_path / "lvis.json").write_text(json.dumps({"categories": categories}))
    assert export("--lvis", tmp_path / "lvis.json", "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "WordNet 3.0 has no stop_sign.n.01" in said
    assert "lvis.map is not written: 1 of its categories have no node ('stop sign' first)" in said
    assert {"dog", "cat"} <= set(WordTree.load(tmp_path / "out/wordtree.tree").names)


def test_names_of_ones_own_are_taken_where_they_are_clear_and_refused_where_not(
    export: Callable[..., int], tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "mine.txt").write_text("banjo\nrefrigerator\n")
    assert export("--names", tmp_path / "mine.txt", "--out", tmp_path / "out") == 0
    tree = WordTree.load(tmp_path / "out/wordtree.json")
    nodes = [int(line) for line in (tmp_path / "out/mine.map").read_text().split()]
    assert [tree.names[node] for node in nodes] == ["banjo", "refrigerator"]
    (tmp_path / "mine.txt").write_text("banjo\nmouse\n")
    assert export("--names", tmp_path / "mine.txt", "--out", tmp_path / "other") == 2
    error = capsys.readouterr().err
    assert "mouse" in error
    assert "n03793489" in error  # the computer's mouse, to choose from
    assert "wordtree-suggest" in error
    assert not (tmp_path / "other").exists()


def test_a_hierarchy_of_ones_own_needs_no_wordnet(
    export: Callable[..., int], tmp_path: Path
) -> None:
    table = tmp_path / "parts.csv"
    table.write_text("child,parent\nbolt,fastener\nnut,fastener\nfastener,\nshim,\n")
    assert export("--csv", table, "--out", tmp_path / "all") == 0
    tree = WordTree.load(tmp_path / "all/wordtree.json")
    assert set(tree.keys) == {"bolt", "nut", "fastener", "shim"}
    assert tree["bolt"].parent == tree["fastener"]
    assert tree.labelled.all()
    (tmp_path / "labels.txt").write_text("bolt\nnut\nshim\n")
    words = ("--csv", table, "--labels", tmp_path / "labels.txt", "--out", tmp_path / "some")
    assert export(*words) == 0
    assert not WordTree.load(tmp_path / "some/wordtree.json")["fastener"].labelled


def test_open_images_classes_are_named_and_mapped(
    export: Callable[..., int], tmp_path: Path
) -> None:
    hierarchy = {
        "LabelName": "/m/0bl9f",
        "Subcategory": [
            {"LabelName": "/m/01g317", "Part": [{"LabelName": "/m/0dzct"}]},
            {"LabelName": "/m/0jbk", "Subcategory": [{"LabelName": "/m/0bt9lr"}]},
        ],
    }
    (tmp_path / "h.json").write_text(json.dumps(hierarchy))
    (tmp_path / "c.csv").write_text(
        "/m/01g317,Person\n/m/0dzct,Human face\n/m/0jbk,Animal\n/m/0bt9lr,Dog\n"
    )
    words = ("--open-images", tmp_path / "h.json", "--descriptions", tmp_path / "c.csv")
    assert export(*words, "--out", tmp_path / "out") == 0
    tree = WordTree.load(tmp_path / "out/wordtree.json")
    assert tree["Dog"].parent == tree["Animal"]
    assert tree["Human face"].parent is None
    assert len((tmp_path / "out/open_images.map").read_text().split()) == 4


def test_photos_in_folders_are_counted_for_the_page(
    export: Callable[..., int], tmp_path: Path
) -> None:
    for wnid, count in (("n02094433", 3), ("n02123045", 7)):
        (tmp_path / "photos" / wnid).mkdir(parents=True)
        for at in range(count):
            (tmp_path / "photos" / wnid / f"{at}.jpg").touch()
    words = ("--imagenet", tmp_path / "photos", "--out", tmp_path / "out", "--format", "html")
    assert export(*words) == 0
    page = (tmp_path / "out/wordtree.html").read_text()
    data = json.loads(re.search(r'type="application/json"[^>]*>(.*?)</script>', page, re.S)[1])
    counts = dict(zip(data["images"]["nodes"], data["images"]["counts"], strict=True))
    named = {data["keys"][node]: count for node, count in counts.items()}
    assert named == {"n02094433": 3, "n02123045": 7}


def darknet_tree(folder: Path, rows: str, **lines: str) -> Path:
    (folder / "x.tree").write_text(rows)
    for ending, text in lines.items():
        (folder / f"x.{ending}").write_text(text)
    return folder / "x.tree"


def test_maps_follow_a_pruned_tree_to_the_nearest_node_that_is_left(
    export: Callable[..., int], tmp_path: Path, capsys: Captured
) -> None:
    tree = darknet_tree(tmp_path, "animal -1\ntool -1\ndog 0\ncat 0\npoodle 2\n")
    (tmp_path / "mine.map").write_text("4\n1\n3\n")
    (tmp_path / "cut.txt").write_text("dog\n")
    out = tmp_path / "out"
    words = ("--tree", tree, "--map", tmp_path / "mine.map", "--prune", tmp_path / "cut.txt")
    assert export(*words, "--out", out) == 0
    assert (out / "wordtree.tree").read_text() == "animal -1\ntool -1\ncat 0\n"
    assert (out / "mine.map").read_text() == "0\n1\n2\n"
    said = capsys.readouterr().out
    assert "poodle" in said
    assert "animal" in said
    assert export("--tree", tree, "--map", tmp_path / "mine.map", "--subtree", "dog",
                  "--out", tmp_path / "dogs") == 0  # fmt: skip
    assert "mine.map is not written: 2 of its categories" in capsys.readouterr().out
    assert not (tmp_path / "dogs/mine.map").exists()


def test_a_broken_darknet_tree_is_mended_with_its_names_and_maps(
    export: Callable[..., int], tmp_path: Path, capsys: Captured
) -> None:
    tree = darknet_tree(
        tmp_path,
        "dog 3\ntool -1\npoodle 0\nanimal -1\ncat 3\n",
        names="Dog\nTool\nPoodle\nAnimal\nCat\n",
    )
    (tmp_path / "mine.map").write_text("0\n1\n4\n")
    assert export("--darknet", tree, "--out", tmp_path / "no") == 2
    assert "line 1" in capsys.readouterr().err
    words = ("--darknet", tree, "--map", tmp_path / "mine.map", "--repair")
    assert export(*words, "--out", tmp_path / "out") == 0
    mended = WordTree.load(tmp_path / "out/wordtree.tree")
    assert mended["poodle"].path == (mended["animal"], mended["dog"], mended["poodle"])
    nodes = [int(line) for line in (tmp_path / "out/mine.map").read_text().split()]
    assert [mended.names[node] for node in nodes] == ["Dog", "Tool", "Cat"]


def written(folder: Path, dataset: str) -> list[str]:
    """The names of the nodes that a written darknet map points to."""
    tree = WordTree.load(folder / "wordtree.json")
    return [tree.names[int(line)] for line in (folder / f"{dataset}.map").read_text().split()]


def test_a_category_that_is_one_of_several_is_not_taken_for_the_one_that_is_left(
    export: Callable[..., int], tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "pets.yaml").write_text(
        "dataset: pets\nmap: {pet: [n02084071, n02121808], dog: n02084071}\n"
    )
    words = ("--map", tmp_path / "pets.yaml", "--subtree", "dog", "--out", tmp_path / "out")
    assert export(*words) == 0
    said = capsys.readouterr().out
    assert "pets.map is not written: 1 of its categories have no node ('pet' first)" in said


def test_a_map_may_name_synsets_and_what_it_falls_back_to_is_labelled(
    export: Callable[..., int], tmp_path: Path
) -> None:
    (tmp_path / "m.yaml").write_text("dataset: m\nmap: {a: dog.n.01, b: banjo, c: n02121808}\n")
    assert export("--map", tmp_path / "m.yaml", "--out", tmp_path / "out") == 0
    assert written(tmp_path / "out", "m") == ["dog", "banjo", "domestic cat"]
    (tmp_path / "cut.txt").write_text("n02084071\n")
    words = ("--map", tmp_path / "m.yaml", "--prune", tmp_path / "cut.txt")
    assert export(*words, "--out", tmp_path / "cut") == 0
    assert written(tmp_path / "cut", "m")[0] == "domestic animal"
    assert WordTree.load(tmp_path / "cut/wordtree.json")["domestic animal"].labelled


def test_coco_and_other_maps_mix_and_what_cannot_be_told_apart_is_refused(
    export: Callable[..., int], coco_file: Path, tmp_path: Path, capsys: Captured
) -> None:
    words = ("--coco", coco_file, "--map", "coco80", "--map", "voc20", "--out", tmp_path / "out")
    assert export(*words) == 0
    assert len(written(tmp_path / "out", "coco80")) == 3
    assert len(written(tmp_path / "out", "voc20")) == 20
    for name, key in (("x", "n02084071"), ("y", "n02121808")):
        (tmp_path / f"{name}.yaml").write_text(f"dataset: same\nmap: {{pet: {key}}}\n")
    both = ("--map", tmp_path / "x.yaml", "--map", tmp_path / "y.yaml", "--out", tmp_path / "no")
    assert export(*both) == 2
    assert "two maps of the data set same have another key each for 'pet'" in (
        capsys.readouterr().err
    )
    rows = [{"id": 1, "name": "dog"}, {"id": 2, "name": "dog"}]
    coco_file.write_text(json.dumps({"categories": rows}))
    assert export("--coco", coco_file, "--out", tmp_path / "no") == 2
    assert "two categories are named 'dog'" in capsys.readouterr().err


def test_folders_named_train_are_called_by_what_holds_them(
    export: Callable[..., int], tmp_path: Path
) -> None:
    for name, wnid in (("a", "n02094433"), ("b", "n02123045")):
        (tmp_path / name / "train" / wnid).mkdir(parents=True)
    words = [word for name in "ab" for word in ("--imagenet", tmp_path / name / "train")]
    assert export(*words, "--out", tmp_path / "out") == 0
    assert written(tmp_path / "out", "a") == ["Yorkshire terrier"]
    assert written(tmp_path / "out", "b") == ["tabby"]


def test_maps_follow_a_long_chain_within_seconds(
    export: Callable[..., int], tmp_path: Path
) -> None:
    count = 20_000
    (tmp_path / "c.tree").write_text("".join(f"k{at} {at - 1}\n" for at in range(count)))
    (tmp_path / "m.map").write_text(f"{count - 1}\n")
    (tmp_path / "cut.txt").write_text("k10000\n")
    begin = time.perf_counter()
    words = ("--tree", tmp_path / "c.tree", "--map", tmp_path / "m.map")
    assert export(*words, "--prune", tmp_path / "cut.txt", "--out", tmp_path / "out") == 0
    assert time.perf_counter() - begin < 20
    assert written(tmp_path / "out", "m") == ["k9999"]


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
        (["--labels", "x", "--repair", "--out", "x"], "--repair mends a tree"),
        (["--tree", "x.json", "--repair", "--out", "x"], "--repair mends darknet's .tree files"),
        (["--tree", "x.tree", "--labels", "x", "--out", "x"], "--labels cannot be given"),
        (["--csv", "x", "--open-images", "x", "--out", "x"], "two hierarchies"),
        (["--descriptions", "x", "--out", "x"], "belongs to --open-images"),
        (
            ["--coco", "a", "--coco", "b", "--coco", "c", "--map", "d", "--map", "e", "--out", "x"],
            "--map was given 2 times and --coco 3",
        ),
        (
            ["--tree", "two.tree", "--map", "high.map", "--out", "x"],
            "high.map, line 2: .*no node 7",
        ),
        (["--tree", "two.tree", "--prune", "two.txt", "--out", "x"], "leaves nothing of the tree"),
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
    Path("two.tree").write_text("a -1\nb -1\n")
    Path("two.txt").write_text("a\nb\n")
    Path("high.map").write_text("0\n7\n")
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
