"""Tables of file and label: delimiters, headers, several labels a photo, boxes, and bad rows."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from PIL import Image

from data.images import BrokenPhoto
from data.sources.catalogue import open_sources, source_labels
from data.sources.table import TableSource
from wordtree import LabelMap, UserError, WordTree, build

TREE = WordTree(["animal", "cat", "dog"], [-1, 0, 0])
CAT, DOG = 1, 2


@pytest.fixture
def make(tmp_path: Path):
    """Writes a table (a text, or bytes) beside four photos of 80 x 40 pixels; gives the source."""
    for name in ("a.png", "b.png", "deep/c.png", "with, comma.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (80, 40), "teal").save(tmp_path / name)

    def source(text: str | bytes, **options) -> TableSource:
        data = text.encode() if isinstance(text, str) else text
        (tmp_path / "labels.csv").write_bytes(data)
        return TableSource(tmp_path / "labels.csv", tmp_path, **({"tree": TREE} | options))

    return source


def labels(source: TableSource) -> dict[str, list[int]]:
    return {
        os.path.basename(source.path(i)): source.read(i).labels.tolist() for i in range(len(source))
    }


def test_rows_of_one_photo_are_its_labels(make) -> None:
    source = make('file,label\na.png,dog\ndeep/c.png,dog\na.png,cat\n"with, comma.png",cat\n')
    assert source.kind == "label_only"
    assert labels(source) == {"a.png": [CAT, DOG], "c.png": [DOG], "with, comma.png": [CAT]}
    assert source.nodes.tolist() == source.labelled_nodes.tolist() == [CAT, DOG]
    assert source.counts().photos.tolist() == [2, 2]
    assert source.read(0).kind == "label_only"
    assert len(source.read(0).boxes) == 0
    assert not source.problems


@pytest.mark.parametrize(
    "text",
    [
        "\ufefffile,label\r\na.png,dog\r\nb.png,cat\r\n",
        "file\tlabel\na.png\tdog\nb.png\tcat",
        "\n\nLabel , FILE\ndog, a.png \n\ncat,b.png\n",
        "file,words,label\na.png,x,dog\nb.png,y,cat\n",
    ],
)
def test_a_table_may_be_written_in_many_ways(make, text: str) -> None:
    assert labels(make(text)) == {"a.png": [DOG], "b.png": [CAT]}


def test_columns_may_have_other_names_or_numbers(make) -> None:
    named = make("path,wnid\na.png,dog\n", columns={"file": "path", "label": "wnid"})
    assert labels(named) == {"a.png": [DOG]}
    numbered = make("dog,0,a.png\ncat,0,b.png\n", columns={"file": 2, "label": 0})
    assert labels(numbered) == {"a.png": [DOG], "b.png": [CAT]}


BAD = {
    "": "nothing but blank lines",
    "a.png,dog\n": r"no column 'file' in its first line 'a\.png,dog'; name its columns",
    "file,labels\na.png,dog\n": "no column 'label' in its first line",
    "file,label,file\na.png,dog,b\n": "two columns 'file'",
    "file,label,x1,y1\na.png,dog,1,2\n": "but no x2, y2",
    'file,label\n"a.png,dog\n': "not CSV",
    "file,label\n": "has no image that can be used",
    "file\na.png\n": "none of the 1 photos .* has a label",
    "file,label\na.png,\n": "none of the 1 photos .* has a label",
    "file,label\nnone.png,dog\n": r"none of the 1 images .* \(the first is 'none\.png'\)",
    "file,label\na.png,kitty\nb.png,dgo\n": r"2 categories .*'dgo' \(nearest: 'dog'\).*label map",
}


@pytest.mark.parametrize("text", BAD)
def test_a_table_that_cannot_be_used_is_refused_and_named(make, text: str) -> None:
    with pytest.raises(UserError, match=BAD[text]) as caught:
        make(text)
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused_with_their_line(make) -> None:
    with pytest.raises(UserError, match=r"line 2: the byte 0xff is not UTF-8"):
        make(b"file,label\na\xff.png,dog\n")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"file": 0, "lable": 1}, "columns of .* has 'lable'; it may have file, label"),
        ({"file": 0, "label": 7}, r"says label: 7, but its first line has 2 cells"),
        ({"label": 1}, "but none for file"),
        ({"file": 0, "label": True}, "says label: True"),
    ],
)
def test_columns_that_cannot_be_are_refused(make, columns: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make("a.png,dog\n", columns=columns)


def test_rows_that_cannot_be_used_are_counted(make) -> None:
    source = make("file,label\na.png,dog\nb.png\nb.png,cat,more\n,cat\nnone.png,cat\ndeep/c.png,\n")
    assert labels(source) == {"a.png": [DOG]}
    assert source.problems.counts == {
        "rows with too many or too few cells": 2,
        "rows without a file name": 1,
        "images not on disk": 1,
        "images without a label": 1,
    }
    assert "line 3" in str(source.problems)


BOXES = """file,label,x1,y1,x2,y2
a.png,dog,10,5,30.5,40
b.png,,,,,
a.png,cat,0,0,80,40
deep/c.png,,1,2,30,4
"""


def test_four_columns_more_make_it_boxed(make) -> None:
    source = make(BOXES)
    assert source.kind == "boxed"
    first, second, third = (source.read(i) for i in range(3))
    assert first.boxes.tolist() == [[10, 5, 30.5, 40], [0, 0, 80, 40]]
    assert first.nodes.tolist() == [DOG, CAT]
    assert len(second.boxes) == 0
    # a box without a label is an object that nobody knows the name of
    assert third.nodes.tolist() == [-1]
    assert third.ignore.tolist() == [False]
    assert source.labelled_nodes.tolist() == [CAT, DOG]
    assert source.counts().unknown == 1


def test_the_kind_may_be_declared_otherwise(make) -> None:
    assert labels(make(BOXES, kind="label_only")) == {"a.png": [CAT, DOG]}
    assert make("file\na.png\nb.png\n", kind="background").read(1).kind == "background"
    with pytest.raises(UserError, match="declared background but has 1 annotations"):
        make("file,label\na.png,dog\n", kind="background")
    with pytest.raises(UserError, match="declared boxed, but has no boxes; declare it label_only"):
        make("file,label\na.png,dog\n", kind="boxed")


def test_boxes_that_are_hurt_go_by_the_rules_and_are_counted(make) -> None:
    source = make(
        "file,label,x1,y1,x2,y2\na.png,dog,10,5,30,40\na.png,dog,30,40,10,5\na.png,cat,nan,0,9,9\n"
        "a.png,cat,x,0,9,9\na.png,cat,0,0,1e9,1e9\na.png,cat,5,5,5,9\na.png,cat,,1,2,3\na.png,cat,,,,\n"
        "a.png,dog,70,30,90,40\na.png,dog,500,500,600,600\n"
    )
    assert source.problems.counts == {
        "rows with a part of a box": 1,
        "rows with a label and no box": 1,
        "boxes not finite: dropped": 2,
        "boxes swapped corners: set right": 1,
        "boxes mostly or wholly outside the photo: dropped": 2,
        "boxes partly outside the photo: clipped": 1,
        "boxes under one pixel: dropped": 1,
    }
    assert source.read(0).boxes.tolist() == [[10, 5, 30, 40], [10, 5, 30, 40], [70, 30, 80, 40]]


def test_boxes_in_fractions_are_refused(make) -> None:
    with pytest.raises(UserError, match=r"labels\.csv are fractions .*multiply them"):
        make("file,label,x1,y1,x2,y2\na.png,dog,.1,.2,.5,1.0\n")


def test_labels_go_through_a_label_map_and_null_leaves_out(make) -> None:
    names = LabelMap("some", {"kitty": "cat", "sofa": None})
    source = make("file,label\na.png,kitty\nb.png,sofa\na.png,sofa\n", label_map=names)
    assert labels(source) == {"a.png": [CAT]}
    assert source.problems.counts == {"images without a label": 1}


def test_a_source_survives_pickling(make) -> None:
    assert labels(pickle.loads(pickle.dumps(make("file,label\na.png,dog\n")))) == {"a.png": [DOG]}


def test_the_shared_table_agrees_with_the_folders_of_its_photos() -> None:
    folder = os.environ.get("WORDTREE_DATA")
    if not folder or not (Path(folder) / "imagenet224").is_dir():
        pytest.skip("set WORDTREE_DATA to the folder that holds imagenet224/")
    table = {
        "type": "table",
        "table": "imagenet224/labels.csv",
        "images": "imagenet224",
        "columns": {"label": "wnid"},
    }
    tree, _ = build(source_labels({"labels": table}))
    source = open_sources({"labels": table}, tree)["labels"]
    assert len(source) == 2100
    assert not source.problems
    for index in (0, 1000, 2099):
        wnid = Path(source.path(index)).parent.name
        assert [tree.keys[node] for node in source.read(index).labels] == [wnid]


def test_a_label_only_table_looks_at_no_box(make) -> None:
    text = "file,label,x1,y1,x2,y2\na.png,dog,,,,\nb.png,cat,.1,.1,.5,.5\ndeep/c.png,cat,7,,,\n"
    source = make(text, kind="label_only")
    assert labels(source) == {"a.png": [DOG], "b.png": [CAT], "c.png": [CAT]}
    assert not source.problems


def test_photos_whose_rows_are_all_of_no_use_do_not_become_background(make) -> None:
    source = make("file,label,x1,y1,x2,y2\na.png,dog,1,2,30,40\nb.png,dog,,,,\ndeep/c.png,,,,,\n")
    assert [os.path.basename(source.path(i)) for i in range(len(source))] == ["a.png", "c.png"]
    assert source.problems.counts["photos without a box that can be used, left out"] == 1
    with pytest.raises(UserError, match="declared boxed, but none of its 1 photos has a box"):
        make("file,label,x1,y1,x2,y2\na.png,,,,,\n")


@pytest.mark.parametrize("more", [{"x1": 2}, {"x2": 4}])
def test_numbers_for_a_part_of_a_box_are_refused(make, more: dict) -> None:
    with pytest.raises(UserError, match="some columns of a box, but no"):
        make("a.png,dog,1,2,30,30\n", columns={"file": 0, "label": 1, **more})


def test_a_photo_with_all_its_boxes_elsewhere_does_not_become_background(make) -> None:
    source = make(
        "file,label,x1,y1,x2,y2\na.png,dog,500,500,600,600\nb.png,,,,,\ndeep/c.png,dog,1,2,30,30\n"
    )
    assert [os.path.basename(source.path(i)) for i in range(len(source))] == ["b.png", "c.png"]
    assert source.problems.counts["photos without a box that can be used, left out"] == 1


def test_a_photo_that_changed_its_size_since_the_start_is_broken(make) -> None:
    source = make("file,label,x1,y1,x2,y2\na.png,dog,1,2,30,30\n")
    Image.new("RGB", (40, 40)).save(source.path(0))
    with pytest.raises(BrokenPhoto, match=r"40 x 40 pixels, where at the start it had 80 x 40"):
        source.read(0)


def test_boxed_photos_that_cannot_be_read_are_left_out_and_counted(make) -> None:
    rows = "file,label,x1,y1,x2,y2\na.png,dog,1,2,30,30\nb.png,dog,1,2,30,30\n"
    Path(make(rows).path(1)).write_text("text")
    source = make(rows)
    assert (len(source), source.truth(0)[0].tolist()) == (1, [[1, 2, 30, 30]])
    assert source.problems.counts == {"photos that cannot be read, left out": 1}
    assert "b.png: not a photo" in str(source.problems)
    assert len(make(rows, kind="label_only")) == 2
    with pytest.raises(UserError, match=r"none of the 1 photos of .* can be read: .*b\.png"):
        make("file,label,x1,y1,x2,y2\nb.png,dog,1,2,30,30\n")
