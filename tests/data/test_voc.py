"""Pascal VOC's XML: corners from 1 to pixels, difficult objects, and files that are hurt."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.images import BrokenPhoto
from data.sources.catalogue import open_sources, source_labels
from data.sources.voc import VocSource
from wordtree import LabelMap, UserError, WordTree, build

TREE = WordTree(["animal", "cat", "dog"], [-1, 0, 0])
CAT, DOG = 1, 2


def obj(name: str = "cat", *corners: object, difficult: object = 0, more: str = "") -> str:
    xmin, ymin, xmax, ymax = corners or (11, 6, 30, 35)
    return (
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{xmin}</xmin>"
        f"<ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>{more}</object>"
    )


def xml(*objects: str, photo: str = "x.jpg", size: tuple[int, int] = (60, 40)) -> str:
    return (
        f"<annotation><filename>{photo}</filename><size><width>{size[0]}</width><height>{size[1]}"
        f"</height></size>{''.join(objects)}</annotation>"
    )


class Folder:
    """A VOC folder below a temporary one: `write(NAME=xml)` adds annotations with their photos."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (root / name).mkdir(parents=True)

    def write(self, *, ending: str = ".jpg", **files: str) -> None:
        for stem, text in files.items():
            (self.root / f"Annotations/{stem}.xml").write_text(text)
            Image.new("RGB", (60, 40), "teal").save(self.root / f"JPEGImages/{stem}{ending}")

    def split(self, name: str, text: str) -> None:
        (self.root / f"ImageSets/Main/{name}.txt").write_text(text)

    def source(self, **options) -> VocSource:
        return VocSource(self.root, **({"tree": TREE} | options))


@pytest.fixture
def voc(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "VOC2007")


def test_corners_are_inclusive_and_start_at_one(voc: Folder) -> None:
    voc.write(a=xml(obj("cat", 1, 1, 60, 40), obj("dog", 11, 6, 30, 35), obj("dog", 5, 5, 5, 5)))
    source = voc.source()
    sample = source.read(0)
    assert sample.boxes.tolist() == [[0, 0, 60, 40], [10, 5, 30, 35], [4, 4, 5, 5]]
    assert sample.nodes.tolist() == [CAT, DOG, DOG]
    assert (sample.kind, sample.source, sample.original_size) == ("boxed", "voc", (40, 60))
    boxes, nodes, ignore = source.truth(0)
    assert boxes.tolist() == sample.boxes.tolist()
    assert nodes.tolist() == [CAT, DOG, DOG]
    assert not ignore.any()
    assert not source.problems
    assert source.nodes.tolist() == source.labelled_nodes.tolist() == [CAT, DOG]


@pytest.mark.parametrize(
    ("rule", "ignore", "count"),
    [("ignore", [False, True], 2), ("keep", [False, False], 2), ("drop", [False], 1)],
)
def test_difficult_objects_go_by_one_rule(voc: Folder, rule, ignore, count) -> None:
    voc.write(a=xml(obj("cat"), obj("dog", 1, 1, 9, 9, difficult=1)))
    source = voc.source(difficult=rule)
    sample = source.read(0)
    assert len(sample.boxes) == count
    assert sample.ignore.tolist() == ignore
    assert source.labelled_nodes.tolist() == ([CAT, DOG] if rule == "keep" else [CAT])
    assert source.problems.counts == ({"difficult objects left out": 1} if rule == "drop" else {})
    with pytest.raises(UserError, match="difficult=never; choose ignore, keep or drop"):
        voc.source(difficult="never")


def test_a_split_chooses_the_photos_in_its_order(voc: Folder) -> None:
    voc.write(a=xml(obj()), b=xml(obj()), c=xml(obj()))
    voc.split("train", "c\na\n")
    voc.split("dog_val", "b -1\r\nmissing 1\r\n")
    assert [os.path.basename(voc.source(split="train").path(i)) for i in range(2)] == [
        "c.jpg",
        "a.jpg",
    ]
    source = voc.source(split="dog_val")
    assert len(source) == 1
    assert source.problems.counts == {"photos of the split without an annotation file": 1}
    with pytest.raises(UserError, match=r"test\.txt is not there; give split as one of dog_val, "):
        voc.source(split="test")
    assert len(voc.source()) == 3


def test_a_flat_folder_of_xml_beside_photos_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(xml(obj()))
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    source = VocSource(tmp_path, tree=TREE)
    assert source.path(0) == str(tmp_path / "a.png")
    assert len(source.read(0).boxes) == 1


def test_a_photo_is_found_by_the_files_name_and_else_by_what_it_says(voc: Folder) -> None:
    voc.write(a=xml(obj(), photo="b.jpg"))
    voc.write(b=xml(obj(), photo="C:\\photos\\other.png"))
    (voc.root / "JPEGImages/b.jpg").rename(voc.root / "JPEGImages/other.png")
    source = voc.source()
    assert [os.path.basename(source.path(i)) for i in range(2)] == ["a.jpg", "other.png"]


def test_a_filename_leads_nowhere_but_into_the_folder_of_the_photos(voc: Folder) -> None:
    voc.write(a=xml(obj()))
    (voc.root / "secret.jpg").write_bytes((voc.root / "JPEGImages/a.jpg").read_bytes())
    (voc.root / "Annotations/b.xml").write_text(xml(obj(), photo="../secret.jpg"))
    source = voc.source()
    assert len(source) == 1
    assert source.problems.counts == {"images not on disk": 1}


def test_a_file_without_objects_is_a_photo_without_objects(voc: Folder) -> None:
    voc.write(a=xml(), b=xml(obj()))
    source = voc.source()
    assert [len(source.read(i).boxes) for i in range(2)] == [0, 1]
    assert {source.read(i).kind for i in range(2)} == {"boxed"}


def test_kinds_are_declared(voc: Folder) -> None:
    voc.write(a=xml(obj("dog"), obj("cat"), obj("cat")), b=xml())
    source = voc.source(kind="label_only")
    assert [source.read(i).labels.tolist() for i in range(len(source))] == [[CAT, DOG]]
    assert source.counts().photos.tolist() == [1, 1]
    with pytest.raises(UserError, match="declared background but has 3 annotations"):
        voc.source(kind="background")
    with pytest.raises(UserError, match="declared kind=boxes; choose boxed, label_only"):
        voc.source(kind="boxes")


def test_names_go_through_a_label_map_and_null_is_an_ignore_region(voc: Folder) -> None:
    voc.write(a=xml(obj("kitty"), obj("sofa", 1, 1, 9, 9)))
    names = LabelMap("some", {"kitty": "cat", "sofa": None, "puppy": "dog"})
    sample = voc.source(label_map=names).read(0)
    assert sample.nodes.tolist() == [CAT, -1]
    assert sample.ignore.tolist() == [False, True]
    with pytest.raises(UserError, match=r"2 categories that are no keys of the tree .*label map"):
        voc.source()
    with pytest.raises(UserError, match=r"'kitty' \(nearest: 'kitten'\)"):
        voc.source(label_map=LabelMap("some", {"kitten": "cat", "sofa": None}))


def test_boxes_that_are_hurt_go_by_the_rules_and_are_counted(voc: Folder) -> None:
    voc.write(
        a=xml(
            obj("cat", 21, 11, 40, 30),
            obj("cat", -9, 1, 30, 30),
            obj("cat", 30, 35, 11, 6),
            obj("cat", "nan", 1, 9, 9),
            obj("cat", "wide", 1, 9, 9),
            obj("cat", 1, 1, 1e9, 1e9),
            obj("cat", 61, 41, 80, 80),
            obj("cat", 60.5, 5, 61, 9),
            "<object><name>cat</name></object>",
            "<object><bndbox/></object>",
        )
    )
    source = voc.source()
    assert source.problems.counts == {
        "objects without a name or a box": 2,
        "boxes not finite: dropped": 2,
        "boxes swapped corners: set right": 1,
        "boxes mostly or wholly outside the photo: dropped": 2,
        "boxes partly outside the photo: clipped": 1,
        "boxes under one pixel: dropped": 1,
    }
    assert source.read(0).boxes.tolist() == [[20, 10, 40, 30], [0, 0, 30, 30], [10, 5, 30, 35]]


def test_boxes_in_fractions_are_refused(voc: Folder) -> None:
    voc.write(a=xml(obj("cat", 0.1, 0.2, 0.5, 0.9)), b=xml(obj("dog", 0, 0, 1, 1)))
    with pytest.raises(UserError, match=r"VOC2007 are fractions .*multiply them by width"):
        voc.source()


def test_parts_of_an_object_are_no_objects(voc: Folder) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    voc.write(a=xml(obj("cat", more=part)))
    assert len(voc.source().read(0).boxes) == 1


HURT = {
    "empty": "",
    "cut": xml(obj())[:150],
    "text": "this is no XML",
    "other": "<html></html>",
    "doctype": f'<!DOCTYPE annotation SYSTEM "file:///etc/passwd">{xml(obj())}',
    "bad_bytes": "<annotation>\udcff</annotation>",
}


@pytest.mark.parametrize("fault", HURT)
def test_xml_that_cannot_be_read_is_refused_and_named(voc: Folder, fault: str) -> None:
    voc.write(good=xml(obj()), hurt="")
    (voc.root / "Annotations/hurt.xml").write_bytes(HURT[fault].encode(errors="surrogateescape"))
    with pytest.raises(
        UserError, match=r"1 annotation files .*hurt\.xml: .*correct them"
    ) as caught:
        voc.source()
    assert "\n" not in str(caught.value)


def test_all_files_that_cannot_be_read_come_in_one_message_of_ten_examples(voc: Folder) -> None:
    voc.write(**{f"hurt{i:02}": "<annotation>" for i in range(15)})
    with pytest.raises(
        UserError, match=r"15 annotation files .*hurt09\.xml.*, and 5 more"
    ) as caught:
        voc.source()
    assert "hurt10" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_that_would_grow_without_end_are_refused_at_once(
    voc: Folder, encoding: str
) -> None:
    grow = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    head = f'<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY e0 "lol">{grow}]>'
    voc.write(hurt="")
    text = head + "<annotation><filename>&e11;</filename></annotation>"
    (voc.root / "Annotations/hurt.xml").write_bytes(text.encode(encoding))
    began = time.monotonic()
    with pytest.raises(UserError, match="declares a document type"):
        voc.source()
    assert time.monotonic() - began < 1


def test_a_folder_that_cannot_be_used_is_named(voc: Folder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Annotations holds no \.xml file"):
        voc.source()
    with pytest.raises(UserError, match="does not exist"):
        VocSource(tmp_path / "none", tree=TREE)
    (voc.root / "Annotations/a.xml").write_text(xml(obj()))
    with pytest.raises(UserError, match=r"none of the 1 images .* \(the first is 'a\.jpg'\)"):
        voc.source()


def test_a_photo_of_another_size_than_stated_is_broken(voc: Folder) -> None:
    voc.write(a=xml(obj(), size=(600, 400)))
    with pytest.raises(BrokenPhoto, match="60 x 40 pixels, where the annotation file says 600"):
        voc.source().read(0)


def test_a_source_survives_pickling(voc: Folder) -> None:
    voc.write(a=xml(obj()))
    source = voc.source()
    copy = pickle.loads(pickle.dumps(source))
    assert copy.read(0).boxes.tolist() == source.read(0).boxes.tolist()


def test_the_shared_photo_has_the_boxes_of_its_xml() -> None:
    folder = os.environ.get("WORDTREE_DATA")
    if not folder or not (Path(folder) / "voc").is_dir():
        pytest.skip("set WORDTREE_DATA to the folder that holds voc/")
    options = {"type": "voc", "folder": "voc/VOC2007", "split": "test", "label_map": "voc20"}
    tree, _ = build(source_labels({"boxes": options}))
    source = open_sources({"boxes": options}, tree)["boxes"]
    sample = source.read(0)
    assert sample.image.shape == (500, 353, 3)
    assert sample.boxes.tolist() == [[47, 239, 195, 371], [7, 11, 352, 498]]
    assert [tree.names[node].split(",")[0] for node in sample.nodes] == ["dog", "person"]
    assert np.array_equal(source.nodes, np.unique(sample.nodes))


def test_a_copied_file_that_names_another_file_s_photo_does_not_take_it(voc: Folder) -> None:
    voc.write(a=xml(obj("cat", 1, 1, 10, 30), photo="a.jpg"))
    voc.split("val", "b\n")
    Image.new("RGB", (60, 40)).save(voc.root / "JPEGImages/other.jpg")
    for stem, said in (("b", "a"), ("c", "other"), ("d", "other")):
        text = xml(obj("dog", 40, 1, 60, 30), photo=f"{said}.jpg")
        (voc.root / f"Annotations/{stem}.xml").write_text(text)
    source = voc.source()
    assert [source.read(i).nodes.tolist() for i in range(len(source))] == [[CAT], [DOG]]
    assert source.problems.counts["files that name another file's photo"] == 2
    with pytest.raises(UserError, match="none of the 1 images"):
        voc.source(split="val")


def test_capital_endings_are_opened_and_hidden_files_passed_over(voc: Folder) -> None:
    Image.new("RGB", (60, 40)).save(voc.root / "JPEGImages/A.jpg")
    (voc.root / "Annotations/A.XML").write_text(xml(obj()))
    (voc.root / "Annotations/._A.xml").write_bytes(b"\0\5\x16\7")
    source = voc.source()
    assert len(source) == 1
    assert not source.problems


def test_a_photo_whose_objects_all_lack_a_box_is_no_background_but_a_label(voc: Folder) -> None:
    bare = "<object><name>dog</name></object>"
    voc.write(a=xml(obj("cat")), b=xml(bare), c=xml())
    source = voc.source()
    assert [os.path.basename(source.path(i)) for i in range(len(source))] == ["a.jpg", "c.jpg"]
    assert source.problems.counts["photos without a box that can be used, left out"] == 1
    labels = voc.source(kind="label_only")
    assert [labels.read(i).labels.tolist() for i in range(len(labels))] == [[CAT], [DOG]]


def test_a_folder_that_may_not_be_listed_is_a_users_mistake(
    voc: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(UserError, match=r"Annotations cannot be read \(Permission denied\)"):
        voc.source()
