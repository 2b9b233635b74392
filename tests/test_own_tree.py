"""tree.file: a tree of one's own in place of a build, and labels that it lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tools import assemble
from tools.config import compose_config
from tools.config_parts import check_parts
from tools.own_data import load_tree
from wordtree import UserError, WordTree

TREE = WordTree(
    ["screw", "nut", "hex bolt", "wood screw"],
    [-1, -1, 0, 0],
    names=["Screw", "Nut", "Hex bolt", "Wood screw"],
    labelled=[False, True, True, True],
)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Photos of parts that WordNet does not know: boxes by category, folders by class."""
    for name in ("photos/a.png", "labelled/nut/b.png", "labelled/wood screw/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), "teal").save(tmp_path / name)
    file = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 30, 30]}],
        "categories": [{"id": 1, "name": "hex bolt"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(file))
    return tmp_path


def config(parts: Path, tree: Path, *more: str) -> dict[str, Any]:
    return compose_config(
        [
            *("experiment=own", f"data_root={parts}", f"tree.file={tree}", *more),
            *("data.train.boxes.annotations=boxes.json", "data.train.boxes.images=photos"),
            *("data.train.boxes.label_map=null", "data.train.labels.folder=labelled"),
        ]
    )


@pytest.mark.parametrize("ending", ["json", "csv", "tree", "graphml", "nwk"])
def test_a_saved_tree_of_any_format_is_taken_as_it_is(parts: Path, ending: str) -> None:
    file = parts / f"parts.{ending}"
    # a .tree has no blanks in its keys
    saved = WordTree(["a", "b", "c"], [-1, 0, 0]) if ending == "tree" else TREE
    saved.save(file)
    tree, report = assemble.make_tree(config(parts, file))
    assert tree.hash == saved.hash
    assert report.tree_hash == saved.hash
    assert report.unreachable == ()
    assert report.labels == tree.labelled.sum()


def test_sources_without_a_label_map_name_keys_of_the_tree(parts: Path) -> None:
    TREE.save(parts / "parts.json")
    whole = config(parts, parts / "parts.json")
    check_parts(whole)
    tree, _ = assemble.make_tree(whole)
    sources, validation = assemble.make_sources(whole, tree)
    assert validation is None
    assert sources["boxes"].read(0).nodes.tolist() == [2]
    assert [sources["labels"].read(i).labels.tolist() for i in range(2)] == [[1], [3]]
    assert assemble.boxed_nodes(sources).tolist() == [2]


def test_a_hierarchy_of_ones_own_is_built_whole(parts: Path) -> None:
    csv, yaml = parts / "parts.csv", parts / "parts.yaml"
    csv.write_text("child,parent\nscrew,\nnut,\nhex bolt,screw\nwood screw,screw\n")
    yaml.write_text("tree:\n  screw: [hex bolt, wood screw]\n  nut:\n")
    trees = [load_tree(file)[0] for file in (csv, yaml)]
    assert trees[0] == trees[1]
    assert trees[0].keys == ("nut", "screw", "hex bolt", "wood screw")
    whole = config(parts, csv)
    sources, _ = assemble.make_sources(whole, assemble.make_tree(whole)[0])
    assert len(sources["labels"]) == 2


def test_labels_that_the_tree_lacks_are_refused_by_name_with_the_nearest(parts: Path) -> None:
    TREE.save(parts / "parts.json")
    whole = config(parts, parts / "parts.json")
    tree, _ = assemble.make_tree(whole)
    (parts / "labelled/nuts").mkdir()
    with pytest.raises(UserError, match=r"1 class folders .*'nuts' \(nearest: 'nut'\)"):
        assemble.make_sources(whole, tree)
    (parts / "map.yaml").write_text("dataset: parts\nmap:\n  hex bolt: Hex bold\n")
    whole["data"]["train"]["boxes"]["label_map"] = str(parts / "map.yaml")
    with pytest.raises(UserError, match=r"'hex bolt' of parts: .*'Hex bold'; near to it are Hex b"):
        assemble.make_sources(whole, tree)


def test_other_options_of_the_tree_beside_a_file_are_refused(parts: Path) -> None:
    TREE.save(parts / "parts.json")
    whole = config(parts, parts / "parts.json", "tree.rule=shortest", "tree.preset=paper1k")
    with pytest.raises(UserError, match=r"is a whole tree, beside which tree\.preset, tree\.rule"):
        assemble.make_tree(whole)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("none.json", None, "is not there"),
        ("cut.json", '{"format": 1', r"cut\.json"),
        ("tree.txt", "a -1\n", "a tree file ends in"),
        ("empty.json", '{"format": 1, "nodes": []}', "has no nodes"),
        ("cycle.csv", "child,parent\na,b\nb,a\n", r"cycle\.csv"),
    ],
)
def test_a_file_that_is_no_tree_is_refused_and_named(
    parts: Path, name: str, text: str | None, sentence: str
) -> None:
    if text is not None:
        (parts / name).write_text(text)
    with pytest.raises(UserError, match=sentence):
        assemble.make_tree(config(parts, parts / name))
