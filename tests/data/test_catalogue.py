"""Sources by name: labels before the tree, then the sources on it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from data.sources.catalogue import open_sources, source_labels
from data.sources.emoji_table import emoji_keys
from wordtree import UserError, WordTree, build

SCENES = {"type": "emoji_scenes", "nodes": "boxed", "length": 4}


@pytest.fixture(scope="module")
def tree() -> WordTree:
    return build(source_labels({"scenes": SCENES}))[0]


def make_folder(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


def test_an_unknown_type_names_the_source_and_the_types_there_are() -> None:
    with pytest.raises(UserError, match=r"source mine has type=coca; choose coco, image_folder"):
        source_labels({"mine": {"type": "coca"}})


def test_a_source_without_a_type_is_refused(tree: WordTree) -> None:
    with pytest.raises(UserError, match="source mine has type=None"):
        open_sources({"mine": {}}, tree)


def test_a_missing_data_folder_is_answered_with_how_to_set_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORDTREE_DATA", str(tmp_path / "nowhere"))
    options = {"type": "image_folder", "folder": "train", "kind": "label_only"}
    with pytest.raises(UserError, match=r"nowhere does not exist; set .* WORDTREE_DATA"):
        source_labels({"labels": options})


def test_a_missing_folder_below_the_root_is_named_with_the_root(
    tree: WordTree, tmp_path: Path
) -> None:
    options = {"type": "image_folder", "folder": "trian", "kind": "label_only"}
    with pytest.raises(UserError, match=r"trian does not exist; set .* WORDTREE_DATA"):
        open_sources({"labels": options}, tree, root=tmp_path)


def test_labels_of_a_folder_are_its_subfolders_before_there_is_a_tree(tmp_path: Path) -> None:
    make_folder(tmp_path / "train", "n02094433", "n02084071", ".hidden")
    options = {"type": "image_folder", "folder": "train", "kind": "label_only"}
    assert source_labels({"labels": options}, root=tmp_path) == ["n02084071", "n02094433"]


def test_backgrounds_have_no_labels(tmp_path: Path) -> None:
    make_folder(tmp_path / "empty", "n02094433")
    options = {"type": "image_folder", "folder": "empty", "kind": "background"}
    assert source_labels({"nothing": options}, root=tmp_path) == []


def test_labels_of_several_sources_are_joined_each_once(tmp_path: Path) -> None:
    make_folder(tmp_path / "train", "n02094433", emoji_keys()[0])
    folder = {"type": "image_folder", "folder": "train", "kind": "label_only"}
    found = source_labels({"labels": folder, "scenes": SCENES}, root=tmp_path)
    assert found == sorted({"n02094433", *emoji_keys()})


def test_a_coco_source_without_a_map_has_wnids_or_says_what_to_name(tmp_path: Path) -> None:
    options = {"type": "coco", "annotations": "boxes.json", "images": "."}
    file = tmp_path / "boxes.json"
    file.write_text('{"categories": [{"id": 1, "name": "n02094433"}, {"id": 2, "name": "cat"}]}')
    with pytest.raises(UserError, match=r"boxes\.json has 1 categories that are no wnid .*'cat'"):
        source_labels({"boxes": options}, root=tmp_path)
    file.write_text('{"categories": [{"id": 1, "name": "n02094433"}]}')
    assert source_labels({"boxes": options}, root=tmp_path) == ["n02094433"]


def test_two_sources_of_one_type_draw_different_scenes(tree: WordTree) -> None:
    opened = open_sources({"a": SCENES, "b": SCENES}, tree, seed=3)
    first, second = (opened[name].read(0, size=(64, 64)).image for name in "ab")
    assert not np.array_equal(first, second)


def test_a_seed_of_its_own_wins_over_the_run_s(tree: WordTree) -> None:
    options = {**SCENES, "seed": 7}
    opened = [open_sources({"a": options}, tree, seed=seed)["a"] for seed in (0, 1)]
    first, second = (source.read(0, size=(64, 64)).image for source in opened)
    assert np.array_equal(first, second)


def test_an_unknown_half_of_the_emoji_names_the_halves(tree: WordTree) -> None:
    with pytest.raises(UserError, match=r"nodes=boxes is not known; choose boxed, label_only, all"):
        open_sources({"a": {**SCENES, "nodes": "boxes"}}, tree)


def test_a_mistyped_option_is_refused_with_the_nearest_and_a_missing_one_is_named() -> None:
    folder = {"type": "image_folder", "folder": "train", "kind": "label_only"}
    with pytest.raises(UserError, match=r"labels \(type=image_folder\) has no option 'lable_map' "
                       r"\(nearest: 'label_map'\)"):  # fmt: skip
        source_labels({"labels": {**folder, "lable_map": "coco80"}})
    with pytest.raises(UserError, match=r"boxes \(type=yolo\) needs yaml; it has yaml, split"):
        source_labels({"boxes": {"type": "yolo"}})


def test_names_that_are_no_wnids_are_refused_by_their_source_before_a_tree_is_built(
    tmp_path: Path,
) -> None:
    make_folder(tmp_path / "{train}", "n02094433", "dogs", "Katze")
    options = {"type": "image_folder", "folder": "{train}", "kind": "label_only"}
    with pytest.raises(UserError, match=r"\{train\} has 2 class folders that are no wnid such as "
                       r"n02094433 \('Katze', 'dogs'\); name a label map"):  # fmt: skip
        source_labels({"labels": options}, root=tmp_path)


def test_a_file_where_a_folder_is_needed_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("no folder")
    options = {"type": "image_folder", "folder": "train", "kind": "label_only"}
    with pytest.raises(UserError, match="train is a file; correct the path"):
        source_labels({"labels": options}, root=tmp_path)


FOLDER = {"type": "image_folder", "folder": "train", "kind": "label_only"}
TABLE = {"type": "table", "table": "t.csv", "images": "."}
SHARDS = {"type": "shards", "shards": "a.tar", "kind": "label_only"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (FOLDER | {"folder": 2017}, "folder=2017; give a text, in quotes"),
        (FOLDER | {"label_map": 5}, "label_map=5; give a text"),
        (FOLDER | {"kind": ["boxed"]}, r"kind=\['boxed'\]; give a text"),
        (TABLE | {"columns": "wnid"}, "columns=wnid; give a name or a place each"),
        (TABLE | {"columns": {"file": [1]}}, "give a name or a place each"),
        (SHARDS | {"photo": 5}, "photo=5; give a text"),
        (SHARDS | {"shards": 5}, "shards=5; give a pattern"),
        (SHARDS | {"shards": ["a.tar", 5]}, "give a pattern, or a list of them"),
        (SHARDS | {"inclusive": "no"}, "inclusive=no; give true or false"),
        (SCENES | {"length": "4"}, "length=4; give a whole number"),
        (FOLDER | {7: "x"}, "has no option 7"),
        ({"type": ["coco"]}, r"type=\['coco'\]; choose coco"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_to_give(
    tree: WordTree, tmp_path: Path, options: dict, said: str
) -> None:
    for act in (source_labels, lambda sources, root: open_sources(sources, tree, root=root)):
        with pytest.raises(UserError, match=rf"source mine .*{said}"):
            act({"mine": options}, root=tmp_path)


def test_an_option_that_is_null_is_one_that_is_not_given(tmp_path: Path) -> None:
    make_folder(tmp_path / "train", "n02094433")
    assert source_labels({"mine": FOLDER | {"label_map": None}}, root=tmp_path) == ["n02094433"]


def test_folders_that_may_not_be_listed_are_a_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path / "train", "n02094433")

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"train cannot be read \(Permission denied\)"):
        source_labels({"mine": FOLDER}, root=tmp_path)


def test_a_training_source_cannot_take_the_name_of_the_validation() -> None:
    from tools.config import compose_config
    from tools.config_parts import check_parts

    config = compose_config(["experiment=emoji"])
    config["data"]["train"]["validation"] = config["data"]["train"].pop("scenes")
    with pytest.raises(UserError, match=r"data\.train\.validation .*give it another name"):
        check_parts(config)
