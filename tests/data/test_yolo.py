"""YOLO's layout: fractions to pixels, where labels lie, and labels that are missing or wrong."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.images import BrokenPhoto
from data.sources.catalogue import open_sources, source_labels
from data.sources.yolo import YoloSource
from data.sources.yolo_labels import label_path
from wordtree import LabelMap, UserError, WordTree

TREE = WordTree(["animal", "cat", "dog"], [-1, 0, 0])
CAT, DOG = 1, 2


class Set:
    """A YOLO data set: photos of 80 x 40 pixels with their label files, and its data.yaml."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.yaml()

    def yaml(self, text: str = "train: images/train\nnames: [cat, dog]\nnc: 2\n") -> None:
        (self.root / "data.yaml").write_text(text)

    def photo(self, name: str, labels: str | None = None, *, size: tuple = (80, 40)) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "teal").save(path)
        if labels is not None:
            beside = Path(label_path(str(path)))
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(labels)

    def source(self, **options) -> YoloSource:
        return YoloSource(self.root / "data.yaml", **({"tree": TREE} | options))


@pytest.fixture
def yolo(tmp_path: Path) -> Set:
    return Set(tmp_path / "set")


def names(source: YoloSource) -> list[str]:
    return [os.path.basename(source.path(i)) for i in range(len(source))]


def test_fractions_become_pixels_of_each_photo(yolo: Set) -> None:
    yolo.photo("images/train/a.png", "1 .5 .5 .5 .5\n0 0.125 0.25 0.25 0.5\n\n")
    yolo.photo("images/train/b.png", "0 .5 .5 1 1", size=(30, 20))
    source = yolo.source()
    first, second = source.read(0), source.read(1)
    assert first.boxes.tolist() == [[20, 10, 60, 30], [0, 0, 20, 20]]
    assert first.nodes.tolist() == [DOG, CAT]
    assert second.boxes.tolist() == [[0, 0, 30, 20]]
    assert (first.kind, first.source, first.original_size) == ("boxed", "yolo", (40, 80))
    assert source.truth(0)[0].tolist() == first.boxes.tolist()
    assert source.truth(1)[0].tolist() == second.boxes.tolist()
    assert source.nodes.tolist() == [CAT, DOG]
    assert source.counts().boxes.tolist() == [2, 1]
    assert not source.problems


def test_a_turned_photo_has_its_boxes_where_a_viewer_shows_them(yolo: Set) -> None:
    yolo.photo("images/train/a.jpg", "0 .25 .5 .5 1")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40)).save(yolo.root / "images/train/a.jpg", exif=exif)
    source = yolo.source()
    assert source.read(0).boxes.tolist() == source.truth(0)[0].tolist() == [[0, 0, 20, 80]]


def test_polygons_become_their_bounding_boxes_and_key_points_are_left_out(yolo: Set) -> None:
    yolo.photo("images/train/a.png", "0 .25 .5 .5 .25 .75 1\n1 .1 .1 .2 .1 .2 .3 .1 .3")
    assert np.allclose(yolo.source().read(0).boxes, [[20, 10, 60, 40], [8, 4, 16, 12]])
    yolo.yaml("train: images/train\nnames: [cat, dog]\nkpt_shape: [2, 2]\n")
    yolo.photo("images/train/a.png", "0 .5 .5 .5 .5 .1 .1 .9 .9")
    assert yolo.source().read(0).boxes.tolist() == [[20, 10, 60, 30]]


def test_the_last_images_of_the_path_becomes_labels() -> None:
    assert label_path("/images/x/images/train/a.b.jpg") == "/images/x/labels/train/a.b.txt"
    assert label_path("/some/photos/a.jpg") == "/some/photos/a.txt"
    assert label_path("/my_images/a.jpg") == "/my_images/a.txt"


@pytest.mark.parametrize(
    ("rule", "kept", "told"),
    [
        ("skip", ["a.png", "empty.png"], {"photos without a label file: left out": 1}),
        (
            "background",
            ["a.png", "empty.png", "none.png"],
            {"photos without a label file: taken as background": 1},
        ),
    ],
)
def test_a_missing_label_file_goes_by_one_rule_and_an_empty_one_says_nothing_is_there(
    yolo: Set, rule: str, kept: list[str], told: dict[str, int]
) -> None:
    yolo.photo("images/train/a.png", "0 .5 .5 .5 .5")
    yolo.photo("images/train/empty.png", "")
    yolo.photo("images/train/none.png")
    source = yolo.source(unlabelled=rule)
    assert names(source) == kept
    assert source.problems.counts == told
    assert [len(source.read(i).boxes) for i in range(2)] == [1, 0]
    assert source.read(1).kind == "boxed"


def test_a_missing_label_file_can_be_refused(yolo: Set) -> None:
    yolo.photo("images/train/a.png", "0 .5 .5 .5 .5")
    for number in range(12):
        yolo.photo(f"images/train/none{number:02}.png")
    with pytest.raises(UserError, match=r"12 photos without a label file.*none09.*and 2 more.*"
                       r"unlabelled=skip or background"):  # fmt: skip
        yolo.source(unlabelled="refuse")
    with pytest.raises(UserError, match="unlabelled=maybe; choose skip, background or refuse"):
        yolo.source(unlabelled="maybe")


@pytest.mark.parametrize("rule", ["skip", "background"])
def test_a_set_without_any_label_file_is_refused_with_the_place_that_was_looked_at(
    yolo: Set, rule: str
) -> None:
    yolo.photo("images/train/a.png")
    with pytest.raises(UserError, match=r"none of the 1 photos .*set/labels/train/a\.txt"):
        yolo.source(unlabelled=rule)
    assert yolo.source(kind="background").read(0).kind == "background"


def test_kinds_are_declared(yolo: Set) -> None:
    yolo.photo("images/train/a.png", "1 .5 .5 .5 .5\n0 .5 .5 .5 .5\n0 .5 .5 .1 .1")
    yolo.photo("images/train/b.png", "")
    source = yolo.source(kind="label_only")
    assert [source.read(i).labels.tolist() for i in range(len(source))] == [[CAT, DOG]]
    with pytest.raises(UserError, match="declared background but has 3 annotations"):
        yolo.source(kind="background")


def test_lists_of_folders_and_lists_of_photos_are_read_once_each(yolo: Set) -> None:
    yolo.photo("one/images/a.png", "0 .5 .5 .5 .5")
    yolo.photo("two/images/deep/b.png", "1 .5 .5 .5 .5")
    (yolo.root / "lists").mkdir()
    (yolo.root / "lists/val.txt").write_text("../two/images/deep/b.png\r\n./../one/images/a.png\n")
    yolo.yaml(
        "path: .\ntrain: [one/images, two/images, one/images]\nval: lists/val.txt\n"
        "names: {0: cat, 1: dog}\n"
    )
    source = yolo.source()
    assert names(source) == ["a.png", "b.png"]
    assert source.problems.counts == {"photos listed twice": 1}
    assert names(yolo.source(split="val")) == ["b.png", "a.png"]
    with pytest.raises(UserError, match=r"no split 'test'; it has train, val"):
        yolo.source(split="test")


def test_the_folder_of_the_data_set_may_be_given_and_roboflows_dots_are_understood(
    yolo: Set, tmp_path: Path
) -> None:
    yolo.photo("images/train/a.png", "0 .5 .5 .5 .5")
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere/data.yaml"
    file.write_text("path: /not/here\ntrain: images/train\nnames: [cat, dog]\n")
    with pytest.raises(UserError, match=r"train of .* is /not/here/images/train, which is neither"):
        YoloSource(file, tree=TREE)
    assert len(YoloSource(file, tree=TREE, folder=yolo.root)) == 1
    yolo.yaml("train: ../images/train\nnames: [cat, dog]\n")
    assert len(yolo.source()) == 1


def test_lines_that_are_no_objects_are_counted_with_their_place(yolo: Set) -> None:
    lines = ["0 .5 .5 .5 .5", "cat .5 .5 .5 .5", "0 .5 .5", "0.5 .5 .5 .5 .5", "-1 .5 .5 .5 .5"]
    lines += ["0 .5 .5 .5 .5 .9", "7 .2 .2 .2 .2", "nan .5 .5 .5 .5"]
    yolo.photo("images/train/a.png", "\n".join(lines))
    source = yolo.source()
    assert source.problems.counts == {
        "label lines that are no object": 5,
        "label lines that look like predictions with a confidence": 1,
        "objects of a class that data.yaml lacks (now ignore regions)": 1,
    }
    assert "a.txt line 2" in str(source.problems)
    sample = source.read(0)
    assert sample.nodes.tolist() == [CAT, -1]
    assert sample.ignore.tolist() == [False, True]


def test_boxes_that_are_hurt_go_by_the_rules_and_are_counted(yolo: Set) -> None:
    lines = ["0 .5 .5 .5 .5", "0 nan .5 .5 .5", "0 inf .5 .5 .5", "0 .5 .5 0 .5", "0 1e9 .5 .1 .1"]
    lines += ["0 .5 .5 -.5 .5", "0 1.4 .5 .1 .1", "0 0 .5 .5 .5", "1 .1 .1 nan .1 .2 .3"]
    yolo.photo("images/train/a.png", "\n".join(lines))
    source = yolo.source()
    assert source.problems.counts == {
        "boxes not finite: dropped": 3,
        "boxes swapped corners: set right": 1,
        "boxes mostly or wholly outside the photo: dropped": 2,
        "boxes partly outside the photo: clipped": 1,
        "boxes under one pixel: dropped": 1,
    }
    assert source.read(0).boxes.tolist() == [[20, 10, 60, 30], [20, 10, 60, 30], [0, 10, 20, 30]]


def test_a_centre_that_was_rounded_is_no_fault(yolo: Set) -> None:
    yolo.photo("images/train/a.png", "0 0.033333 0.5 0.066667 1.0")
    source = yolo.source()
    assert not source.problems
    assert source.read(0).boxes[0, 0] == 0


def test_pixels_instead_of_fractions_are_refused(yolo: Set) -> None:
    yolo.photo("images/train/a.png", "0 40 20 30 10\n1 40 20 5 5\n0 .5 .5 .1 .1")
    with pytest.raises(UserError, match=r"pixels \(the first is .*a\.txt\).*divide them by"):
        yolo.source()


def test_a_file_whose_boxes_are_all_unusable_is_refused(yolo: Set) -> None:
    yolo.photo("images/train/a.png", "0 nan nan nan nan\n0 .5 .5 0 0")
    with pytest.raises(
        UserError, match=r"none of the 2 boxes of .*data\.yaml can be used: 1 boxes"
    ):
        yolo.source()


BAD_YAML = {
    "names: [cat": "line 1",
    "- a\n- b\n": "holds no keys",
    "train: images\n": "has no names",
    "train: images\nnames: []\n": "has no names",
    "train: images\nnames: {cat: 0}\n": "key that is no number",
    "train: images\nnames: [cat, no]\n": r"class 1 of .* is no text \(a bool\); put its name in",
    "train: images\nnames: [cat]\nnc: 2\n": "says nc: 2, but has 1 names",
    "train: {a: b}\nnames: [cat]\n": "neither a folder, a list of folders nor a .txt",
    "path: [x]\ntrain: images\nnames: [cat]\n": "path of .* is no text",
    "train: nowhere\nnames: [cat]\n": "neither a folder nor a .txt file there",
    "train: \nnames: [cat]\n": "no split 'train'; it has none at all",
    "": "holds no keys",
    "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nnames: *c\n": r"class 0 of .* is no text \(a list",
    "names: !!python/object/apply:os.system ['true']\n": "line 1",
}


@pytest.mark.parametrize("text", BAD_YAML)
def test_a_data_yaml_that_cannot_be_used_is_refused_and_named(yolo: Set, text: str) -> None:
    (yolo.root / "images").mkdir()
    yolo.yaml(text)
    with pytest.raises(UserError, match=BAD_YAML[text]) as caught:
        yolo.source()
    assert "data.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_go_through_a_label_map_and_else_are_keys_of_the_tree(yolo: Set) -> None:
    yolo.yaml("train: images/train\nnames: [kitty, sofa]\n")
    yolo.photo("images/train/a.png", "0 .5 .5 .5 .5\n1 .2 .2 .2 .2")
    sample = yolo.source(label_map=LabelMap("some", {"kitty": "cat", "sofa": None})).read(0)
    assert sample.nodes.tolist() == [CAT, -1]
    assert sample.ignore.tolist() == [False, True]
    with pytest.raises(UserError, match=r"2 categories that are no keys of the tree"):
        yolo.source()


def test_photos_with_names_of_any_kind_are_read(yolo: Set) -> None:
    several = ["a b.png", 'it\'s "q".png', "照片.png", "x" * 246 + ".png", "A.PNG", "a.png"]
    for name in several:
        yolo.photo(f"images/train/{name}", "0 .5 .5 .5 .5")
    source = yolo.source()
    assert sorted(names(source)) == sorted(several)
    assert all(len(source.read(i).boxes) == 1 for i in range(6))


def test_a_photo_that_is_broken_is_left_out_and_counted(yolo: Set) -> None:
    for name in ("a", "b", "c"):
        yolo.photo(f"images/train/{name}.png", "0 .5 .5 .5 .5\n0 .2 .2 0.01 .2")
    (yolo.root / "images/train/a.png").write_text("text")
    source = pickle.loads(pickle.dumps(yolo.source()))
    assert names(source) == ["b.png", "c.png"]
    assert source.problems.counts == {
        "photos that cannot be read, left out": 1,
        "boxes under one pixel: dropped": 2,
    }
    Path(source.path(1)).write_text("text")
    assert source.truth(1)[0].tolist() == [[20, 10, 60, 30]]
    with pytest.raises(BrokenPhoto):
        source.read(1)


def test_a_config_opens_it_below_the_data_folder(yolo: Set, tmp_path: Path) -> None:
    yolo.photo("images/train/a.png", "0 .5 .5 .5 .5")
    options = {"type": "yolo", "yaml": "set/data.yaml", "split": "train", "weight": 2}
    with pytest.raises(UserError, match=r"2 class names that are no wnid .*'cat', 'dog'"):
        source_labels({"boxes": options}, root=tmp_path)
    assert len(open_sources({"boxes": options}, TREE, root=tmp_path)["boxes"]) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0,.5,.5,.5,.5", "1 label lines that are no object"),
        ("0 .5 .5 .5 .5 .9", "1 label lines that look like predictions with a confidence"),
        ("", "declare it background"),
    ],
)
def test_photos_declared_boxed_of_which_no_box_is_left_are_refused(
    yolo: Set, line: str, said: str
) -> None:
    yolo.photo("images/train/a.png", line)
    with pytest.raises(UserError, match=f"declared boxed, but none of its 1 photos.*{said}"):
        yolo.source()


def test_a_photo_whose_known_objects_are_all_of_no_use_does_not_become_background(
    yolo: Set,
) -> None:
    yolo.photo("images/train/a.png", "0 .5 .5 .5 .5\n0 .5 .5\n")
    yolo.photo("images/train/empty.png", "")
    yolo.photo("images/train/no_object.png", "0,.5,.5,.5,.5")
    yolo.photo("images/train/outside.png", "1 3 .5 .1 .1\n1 .5 .5 0 0\n")
    source = yolo.source()
    assert names(source) == ["a.png", "empty.png"]
    assert [len(source.read(i).boxes) for i in range(2)] == [1, 0]
    assert source.problems.counts["photos without a box that can be used, left out"] == 2


def test_a_path_may_start_at_home(yolo: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(yolo.root.parent))
    yolo.photo("images/train/a.png", "0 .5 .5 .5 .5")
    yolo.yaml(f"path: ~/{yolo.root.name}\ntrain: images/train\nnames: [cat, dog]\n")
    assert names(yolo.source()) == ["a.png"]


def test_a_background_photo_with_lines_that_are_no_objects_is_not_taken(yolo: Set) -> None:
    yolo.photo("images/train/a.png", "0,.5,.5,.5,.5")
    with pytest.raises(UserError, match="declared background, but none of its 1 photos shows noth"):
        yolo.source(kind="background")
    yolo.photo("images/train/b.png", "")
    assert names(yolo.source(kind="background")) == ["b.png"]
