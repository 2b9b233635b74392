"""COCO files: what is used, what is counted, and what is refused in one sentence."""

import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.images import BrokenPhoto
from data.root import VARIABLE
from data.sources.coco import CocoSource
from data.sources.json_items import read_json_lists
from wordtree import LabelMap, WordTree
from wordtree.errors import UserError

TREE = WordTree(["animal", "thing", "cat", "dog"], [-1, -1, 0, 0])
CAT, DOG = 2, 3


class Names:
    """A label map of three categories, one of them null."""

    categories = ("cat", "dog", "sofa")

    def nodes(self, tree: WordTree) -> np.ndarray:
        assert tree is TREE
        return np.array([CAT, DOG, -1])


def content(**changes: object) -> dict:
    whole = {
        "info": {"year": 2017},
        "images": [
            {"id": 9, "file_name": "a.png", "width": 60, "height": 40},
            {"id": 4, "file_name": "b/b.png", "width": 60, "height": 40},
            {"id": 7, "file_name": "c.png", "width": 60, "height": 40},
        ],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 3, "bbox": [10, 5, 20, 30]},
            {"id": 2, "image_id": 9, "category_id": 1, "bbox": [0, 0, 10, 10], "iscrowd": 1},
            {"id": 3, "image_id": 9, "category_id": 8, "bbox": [1.5, 2, 30, 20]},
            {"id": 4, "image_id": 9, "category_id": 1, "bbox": [5, 5, 9, 9]},
        ],
        "categories": [
            {"id": 1, "name": "cat"},
            {"id": 3, "name": "dog"},
            {"id": 8, "name": "sofa"},
        ],
    }
    return whole | changes


@pytest.fixture
def make(tmp_path: Path):
    """Writes `content` (or a text) and three images, and gives the source."""
    (tmp_path / "images" / "b").mkdir(parents=True)
    for name in ("a.png", "b/b.png", "c.png"):
        Image.new("RGB", (60, 40), "teal").save(tmp_path / "images" / name)

    def source(written: dict | str, **options) -> CocoSource:
        text = written if isinstance(written, str) else json.dumps(written)
        (tmp_path / "some.json").write_text(text)
        options = {"tree": TREE, "label_map": Names()} | options
        return CocoSource(tmp_path / "some.json", tmp_path / "images", **options)

    return source


def annotation(**changes: object) -> dict:
    return {"id": 50, "image_id": 9, "category_id": 1, "bbox": [5, 5, 20, 20]} | changes


def test_photos_come_in_the_order_of_the_file_with_their_own_boxes(make) -> None:
    source = make(content())
    assert len(source) == 3
    assert source.image_ids.tolist() == [9, 4, 7]
    first, second, third = (source.read(i) for i in range(3))
    assert first.boxes.tolist() == [[0, 0, 10, 10], [1.5, 2, 31.5, 22], [5, 5, 14, 14]]
    assert first.nodes.tolist() == [CAT, -1, CAT]
    assert first.ignore.tolist() == [True, True, False]
    assert first.boxes.dtype == np.float32
    assert second.boxes.tolist() == [[10, 5, 30, 35]]
    assert second.path.endswith("images/b/b.png")
    assert (second.source, second.index, second.original_size) == ("coco", 1, (40, 60))
    assert third.boxes.shape == (0, 4)
    assert {s.kind for s in (first, second, third)} == {"boxed"}
    assert first.exhaustive is None
    assert not source.problems


def test_nodes_are_all_that_the_categories_stand_for_and_labelled_nodes_those_that_occur(
    make,
) -> None:
    file = content()
    file["annotations"] = file["annotations"][1:]
    source = make(file)
    assert source.nodes.tolist() == [CAT, DOG]
    assert source.labelled_nodes.tolist() == [CAT]


def test_without_a_label_map_the_names_are_keys_of_the_tree(make) -> None:
    names = [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}, {"id": 8, "name": "thing"}]
    source = make(content(categories=names), label_map=None)
    assert source.nodes.tolist() == [1, CAT, DOG]
    with pytest.raises(UserError, match=r"'sofa'.*name a label map"):
        make(content(), label_map=None)


def test_a_photo_may_be_exhaustive_for_its_own_classes_alone(make) -> None:
    source = make(content(), exhaustive="photo")
    assert source.read(0).exhaustive.tolist() == [CAT]
    assert source.read(2).exhaustive.tolist() == []


def test_label_only_takes_the_labels_and_forgets_the_boxes(make) -> None:
    source = make(content(), kind="label_only")
    assert source.image_ids.tolist() == [9, 4]
    sample = source.read(0)
    assert sample.labels.tolist() == [CAT]
    assert len(sample.boxes) == 0
    assert source.problems.counts == {"images without a label": 1}


def test_background_takes_images_without_annotations_and_no_others(make) -> None:
    source = make({"images": content()["images"]}, kind="background")
    assert [source.read(i).kind for i in range(3)] == ["background"] * 3
    with pytest.raises(UserError, match="declared background but has 4 annotations"):
        make(content(), kind="background")


def test_boxed_is_never_concluded_from_a_file_without_annotations(make) -> None:
    for key in ("annotations", "categories", "images"):
        file = content()
        del file[key]
        with pytest.raises(UserError, match=f"has no '{key}'"):
            make(file)


def test_a_source_survives_pickling(make) -> None:
    source = make(content())
    copy = pickle.loads(pickle.dumps(source))
    assert copy.read(1).boxes.tolist() == source.read(1).boxes.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[1, 2]",
        '"text"',
        "{",
        '{"images": [',
        '{"images": [{"id": 1}',
        "\ufeff{",
        '{"images": {}}',
        '{"images": [1 2]}',
        '{"images": []} more',
        '{"images": [], "images": []}',
        pytest.param("[" * 200_000, id="deep"),
    ],
)
def test_what_is_no_coco_file_is_refused_and_named(make, text: str) -> None:
    with pytest.raises(UserError, match=r"some\.json") as caught:
        make(text)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_a_file_cut_anywhere_is_refused(make) -> None:
    whole = json.dumps(content())
    for cut in range(0, len(whole), 37):
        with pytest.raises(UserError, match="cut off"):
            make(whole[:cut])


def test_a_number_of_many_thousand_digits_is_refused(make) -> None:
    with pytest.raises(UserError, match=r"some\.json"):
        make('{"images": [' + "9" * 10_000 + "]}")


def test_the_reader_agrees_with_the_json_module_whatever_the_spacing(tmp_path: Path) -> None:
    for indent in (None, 0, 3):
        (tmp_path / "a.json").write_text(json.dumps(content(), indent=indent), "utf-8-sig")
        lists: dict[str, list] = {"images": [], "categories": [], "absent": []}
        found = read_json_lists(tmp_path / "a.json", {k: v.append for k, v in lists.items()})
        assert found == {"images", "categories"}
        assert lists["images"] == content()["images"]
        assert lists["categories"] == content()["categories"]


@pytest.mark.parametrize("window", [1, 2, 3, 7, 50, 400])
def test_a_window_of_any_size_reads_the_same(tmp_path: Path, window: int) -> None:
    odd = [1.5e-7, -1e22, 12345678901234567890, '\u7167\u7247 \U0001f600 \\ " é', None, True]
    odd += [float("inf"), [], {}, {"a": [1, {"b": "c" * 100}]}]
    for indent, ascii_only in ((None, True), (2, False)):
        text = json.dumps(content(images=odd, other=odd), indent=indent, ensure_ascii=ascii_only)
        (tmp_path / "a.json").write_text("\ufeff" + text, "utf-8")
        found: list = []
        names = read_json_lists(tmp_path / "a.json", {"images": found.append}, window=window)
        assert (found, names) == (odd, {"images"})


@pytest.mark.parametrize("window", [1, 16, 1 << 20])
def test_a_fault_is_told_by_the_same_line_and_column_whatever_the_window(
    tmp_path: Path, window: int
) -> None:
    text = json.dumps(content(), indent=1)
    places = {text.index(mark) for mark in ('"width"', "60,", '"annotations"', '"bbox"')}
    for at in sorted(places):
        (tmp_path / "a.json").write_text(text[:at] + "é§" + text[at:])
        with pytest.raises(json.JSONDecodeError) as theirs:
            json.loads((tmp_path / "a.json").read_text())
        with pytest.raises(UserError, match=f"line {theirs.value.lineno} column "
                           f"{theirs.value.colno}: "):  # fmt: skip
            read_json_lists(tmp_path / "a.json", {"images": print, "x": print}, window=window)
    (tmp_path / "a.json").write_bytes(text.encode() + b"\xff")
    with pytest.raises(UserError, match=f"its byte {len(text.encode())} is not UTF-8"):
        read_json_lists(tmp_path / "a.json", {}, window=window)


def test_reading_a_large_file_does_not_hold_its_text(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    images = ",".join(f'{{"id": {i}, "file_name": "{i:0500}"}}' for i in range(20_000))
    file.write_text(f'{{"licences": [{images}], "images": [{images}]}}')
    count = 0

    def one(entry: dict) -> None:
        nonlocal count
        count += entry["id"]

    tracemalloc.start()
    read_json_lists(file, {"images": one})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == sum(range(20_000))
    assert file.stat().st_size > 20e6
    assert peak < 8e6


def test_a_missing_file_or_folder_is_named(make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json"):
        CocoSource(tmp_path / "nowhere.json", tmp_path, tree=TREE)
    make(content())
    with pytest.raises(UserError, match="WORDTREE_DATA"):
        CocoSource(tmp_path / "some.json", tmp_path / "none", tree=TREE, label_map=Names())


def test_an_unknown_category_is_refused_with_the_nearest_named(make) -> None:
    names = [{"id": 1, "name": "cat"}, {"id": 3, "name": "doge"}, {"id": 8, "name": "zebra"}]
    with pytest.raises(UserError, match=r"2 categories .*'doge' \(nearest: 'dog'\), 'zebra'"):
        make(content(categories=names))


def test_all_that_makes_a_file_ambiguous_comes_in_one_message_of_ten_examples_each(make) -> None:
    file = content()
    file["images"] += [{"id": 9, "file_name": "z.png"}, {"file_name": "no id"}, 5]
    file["images"] += [{"id": 1000 + i % 20, "file_name": f"{i}.png"} for i in range(40)]
    file["categories"] += [{"id": 3, "name": "cat"}, {"id": 77}]
    with pytest.raises(UserError) as caught:
        make(file)
    message = str(caught.value)
    assert "21 image ids used twice" in message
    assert "and 11 more" in message
    assert "2 images without an id or a file name" in message
    assert "1 category ids used twice (3)" in message
    assert "1 categories without an id or a name" in message


def test_a_missing_part_does_not_hide_the_other_faults_of_a_file(make) -> None:
    file = content(annotations=[annotation(bbox=[0.1, 0.2, 0.5, 1.0])])
    del file["categories"]
    file["images"].append({"id": 9, "file_name": "z.png"})
    with pytest.raises(
        UserError, match=r"has no 'categories'; .*1 image ids used twice.*fractions"
    ):
        make(file)


def test_a_file_without_a_box_that_can_be_used_is_refused(make) -> None:
    boxes = [[0, 0, 0, 9], [500, 500, 9, 9], [0, 0, 1e9, 1e9], [float("nan"), 0, 1, 1]]
    file = content(annotations=[annotation(id=i, bbox=box) for i, box in enumerate(boxes)])
    with pytest.raises(UserError, match=r"none of the 4 boxes .* can be used: 1 boxes not finite"):
        make(file)


def test_label_only_without_a_label_is_refused(make) -> None:
    with pytest.raises(UserError, match=r"none of the 3 photos .* has a label"):
        make(content(annotations=[]), kind="label_only")


def test_a_crowd_is_what_says_so_and_nothing_else(make) -> None:
    marks = [1, True, "1", 0, False, "0", None, "no"]
    file = content(annotations=[annotation(id=i, iscrowd=m) for i, m in enumerate(marks)])
    assert make(file).truth(0)[2].tolist() == [True] * 3 + [False] * 5


def test_a_box_of_a_photo_whose_size_is_not_stated_is_at_most_as_large_as_a_photo_can_be(
    make,
) -> None:
    file = content(annotations=[annotation(bbox=[0, 0, 1e9, 1e9]), annotation(id=2)])
    del file["images"][0]["width"], file["images"][0]["height"]
    source = make(file)
    assert source.truth(0)[0].tolist() == [[5, 5, 25, 25]]
    assert source.problems.counts == {"boxes mostly or wholly outside the photo: dropped": 1}


def test_small_boxes_of_photos_of_two_pixels_are_no_fractions(make) -> None:
    images = [{"id": 9, "file_name": "a.png", "width": 2, "height": 1}]
    source = make(content(images=images, annotations=[annotation(bbox=[0, 0, 1, 1])]))
    assert source.truth(0)[0].tolist() == [[0, 0, 1, 1]]


def test_what_can_be_left_out_is_counted(make) -> None:
    file = content()
    file["images"].append({"id": 11, "file_name": "gone.png", "width": 60, "height": 40})
    file["annotations"] += [
        annotation(image_id=555),
        annotation(id=51, category_id=99, bbox=[40, 20, 10, 10]),
        annotation(id=52, bbox=None),
        annotation(id=53, bbox=[1, 2, "3", 4]),
        annotation(id=1, bbox=[1, 2, 30, 4]),
        annotation(id=54, bbox=[0, 0, 0, 9]),
        annotation(id=55, bbox=[0, 0, 1e9, 1e9]),
        annotation(id=56, bbox=[50, 30, -20, -10]),
        annotation(id=57, bbox=[float("nan"), 0, 5, 5]),
        annotation(id=58, bbox=[-9, 0, 30, 30]),
        annotation(id=59, bbox=[10**400, 0, 5, 5]),
        "nonsense",
    ]
    source = make(file)
    assert source.problems.counts == {
        "annotations of an unknown image": 1,
        "annotations of an unknown category (now ignore regions)": 1,
        "annotations without an image_id and a bbox of four numbers": 3,
        "annotation ids used twice (each is kept)": 1,
        "boxes under one pixel: dropped": 1,
        "boxes mostly or wholly outside the photo: dropped": 1,
        "boxes swapped corners: set right": 1,
        "boxes not finite: dropped": 2,
        "boxes partly outside the photo: clipped": 1,
        "images not on disk": 1,
    }
    assert "gone.png" in str(source.problems)
    boxes, nodes, ignore = source.truth(0)
    assert boxes[ignore].tolist() == [[0, 0, 10, 10], [1.5, 2, 31.5, 22], [40, 20, 50, 30]]
    assert [30, 20, 50, 30] in boxes.tolist()
    assert [0, 0, 21, 30] in boxes.tolist()
    assert nodes[-3:].tolist() == [CAT, CAT, CAT]


def test_boxes_in_fractions_are_refused(make) -> None:
    file = content(annotations=[annotation(bbox=[0.1, 0.2, 0.5, 1.0])])
    with pytest.raises(UserError, match=r"fractions.*multiply"):
        make(file)


def test_no_image_on_disk_is_refused(make) -> None:
    images = [{"id": 9, "file_name": "train/a.png", "width": 60, "height": 40}]
    with pytest.raises(UserError, match=r"none of the 1 images .*'train/a\.png'"):
        make(content(images=images))


def test_a_photo_of_another_size_than_stated_is_broken(make) -> None:
    file = content()
    file["images"][0]["width"] = 40
    file["images"][0]["height"] = 60
    with pytest.raises(BrokenPhoto, match="60 x 40 pixels, where the annotation file says 40 x 60"):
        make(file).read(0)


def test_a_size_that_is_not_stated_is_taken_from_the_photo(make) -> None:
    file = content()
    del file["images"][0]["width"]
    file["annotations"] = [annotation(bbox=[50, 30, 15, 30]), annotation(id=2, bbox=[90, 0, 9, 9])]
    sample = make(file).read(0)
    assert sample.boxes.tolist() == [[50, 30, 60, 40]]


def test_names_and_ids_of_any_kind_are_taken(make, tmp_path: Path) -> None:
    names = ["with space.png", 'it\'s "quoted".png', "照片.png", "x" * 250 + ".png", "A.PNG"]
    for name in names:
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / name)
    images = [
        {"id": f"id {i}", "file_name": n, "width": 60, "height": 40} for i, n in enumerate(names)
    ]
    source = make(content(images=images, annotations=[annotation(image_id="id 2")]))
    assert source.image_ids.tolist() == [f"id {i}" for i in range(5)]
    assert [len(source.read(i).boxes) for i in range(5)] == [0, 0, 1, 0, 0]


def test_the_shared_coco_photos_agree_with_pycocotools(data_folder: Path) -> None:
    from pycocotools.coco import COCO

    label_map = LabelMap.load("coco80")
    keys = label_map.keys()
    tree = WordTree(keys, [-1] * len(keys))
    file = data_folder / "coco320/instances_val.json"
    source = CocoSource(file, data_folder / "coco320/val", tree=tree, label_map=label_map)
    theirs = COCO(str(file))
    assert len(source) == len(theirs.imgs) == 350
    assert not source.problems
    assert len(source.labelled_nodes) == 80
    for index in (0, 17, 349):
        sample = source.read(index)
        expected = theirs.imgToAnns[int(source.image_ids[index])]
        boxes = np.array([a["bbox"] for a in expected]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        assert np.abs(sample.boxes - boxes).max() < 0.01
        assert sample.ignore.tolist() == [bool(a["iscrowd"]) for a in expected]


@pytest.fixture
def data_folder() -> Path:
    import os

    folder = os.environ.get(VARIABLE)
    if not folder or not (Path(folder) / "coco320").is_dir():
        pytest.skip(f"set {VARIABLE} to the folder that holds coco320/")
    return Path(folder)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image_id": "9"}, "annotations of an unknown image"),
        ({"category_id": "1"}, "annotations of an unknown category"),
        ({"bbox": None}, "annotations without an image_id and a bbox"),
    ],
)
def test_a_boxed_file_of_which_no_box_is_left_is_refused(make, wrong: dict, said: str) -> None:
    with pytest.raises(UserError, match=f"declared boxed, but none of its 3 photos.*1 {said}.*"
                       "declare it background"):  # fmt: skip
        make(content(annotations=[annotation(**wrong)]))


def test_ids_that_pandas_wrote_are_the_whole_numbers_they_were(make) -> None:
    source = make(content(annotations=[annotation(id=1.0, image_id=9.0, category_id=1.0)]))
    assert source.read(0).nodes.tolist() == [CAT]
    assert not source.problems


def test_an_image_whose_annotations_are_all_of_no_use_does_not_become_background(make) -> None:
    kept = annotation()
    lost = [
        annotation(id=51, image_id=4, bbox=[]),
        annotation(id=52, image_id=7, bbox=[1, 1, 0, 0]),
    ]
    source = make(content(annotations=[kept, *lost]))
    assert source.image_ids.tolist() == [9]
    assert source.problems.counts["photos without a box that can be used, left out"] == 2
    # An image without any annotation is known to show nothing.
    assert make(content(annotations=[kept])).image_ids.tolist() == [9, 4, 7]


def test_two_images_of_one_file_are_refused_since_each_hides_the_other_s_objects(make) -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}]
    with pytest.raises(UserError, match=r"1 file names used twice \('a\.png'\); correct the file"):
        make(content(images=images))


@pytest.mark.parametrize("box", [None, [0, 0, 0, 0], [0.1, 0.1, 0.5, 0.5], [1e9, 1, 5, 5]])
def test_a_label_only_source_takes_labels_whatever_their_boxes_are(make, box: list | None) -> None:
    source = make(content(annotations=[annotation(bbox=box)]), kind="label_only")
    assert source.read(0).labels.tolist() == [CAT]
    assert source.problems.counts == {"images without a label": 2}


def test_a_name_that_no_file_can_have_is_an_image_that_is_not_on_disk(make) -> None:
    images = [{"id": 9, "file_name": "a.png"}, {"id": 4, "file_name": "\ud800/a.png"}]
    source = make(content(images=images))
    assert source.image_ids.tolist() == [9]
    assert source.problems.counts["images not on disk"] == 1
