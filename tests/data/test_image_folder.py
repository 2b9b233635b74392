"""Folders of photos by class, and folders of background."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.images import BrokenPhoto
from data.root import VARIABLE, data_path, data_root
from data.sources.file_index import FileIndex, Problems
from data.sources.image_folder import ImageFolderSource
from wordtree import WordTree
from wordtree.errors import UserError

TREE = WordTree(["n00000001", "n00000002", "n00000003"], [-1, 0, 0])


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), "teal").save(root / name)
    return root


def read(root: Path, **options) -> ImageFolderSource:
    return ImageFolderSource(root, **({"kind": "label_only", "tree": TREE} | options))


def test_photos_carry_the_node_of_their_folder(tmp_path: Path) -> None:
    source = read(fill(tmp_path, "n00000003/b.jpg", "n00000002/deep/er/a.JPEG", "n00000003/a.png"))
    assert len(source) == 3
    samples = [source.read(i) for i in range(3)]
    assert [s.labels.tolist() for s in samples] == [[1], [2], [2]]
    assert [os.path.relpath(s.path, tmp_path) for s in samples] == [
        "n00000002/deep/er/a.JPEG",
        "n00000003/a.png",
        "n00000003/b.jpg",
    ]
    assert samples[0].kind == "label_only"
    assert samples[0].original_size == (6, 8)
    assert len(samples[0].boxes) == 0
    assert source.nodes.tolist() == source.labelled_nodes.tolist() == [1, 2]
    assert not source.problems


def test_folders_may_have_names_of_a_label_map(tmp_path: Path) -> None:
    class Names:
        categories = ("golden retriever", "left out")

        def nodes(self, tree: WordTree) -> np.ndarray:
            assert tree is TREE
            return np.array([2, -1])

    fill(tmp_path, "golden retriever/a.jpg", "left out/b.jpg", "left out/c.jpg")
    source = read(tmp_path, label_map=Names())
    assert [source.read(i).labels.tolist() for i in range(len(source))] == [[2]]
    assert source.problems.counts == {"photos of classes that the label map leaves out": 2}
    with pytest.raises(UserError, match=r"'golden retriver' \(nearest: 'golden retriever'\)"):
        read(fill(tmp_path, "golden retriver/a.jpg"), label_map=Names())


def test_a_folder_that_is_no_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    fill(tmp_path, "n00000002/a.jpg", "N00000002/a.jpg", "dogs/a.jpg")
    with pytest.raises(UserError, match=r"2 class folders .*'N00000002' \(nearest: 'n00000002'\)"):
        read(tmp_path)


def test_background_is_declared_and_shows_nothing(tmp_path: Path) -> None:
    source = ImageFolderSource(fill(tmp_path, "a.jpg", "any/b.jpg"), kind="background")
    assert len(source) == 2
    assert {source.read(i).kind for i in range(2)} == {"background"}
    assert source.read(0).labels.tolist() == []
    assert source.nodes.tolist() == source.labelled_nodes.tolist() == []


def test_a_folder_has_no_boxes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="declared boxed, but has no boxes"):
        read(fill(tmp_path, "n00000002/a.jpg"), kind="boxed")


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, "n00000002/a.jpg", "n00000002/.hidden.jpg", ".cache/b.jpg")
    (tmp_path / "n00000002/notes.txt").write_text("x")
    (tmp_path / "labels.csv").write_text("x")
    (tmp_path / "n00000003").mkdir()
    source = read(tmp_path)
    assert len(source) == 1
    assert source.problems.counts == {
        "files that are no photos": 1,
        "files outside of a class folder": 1,
        "class folders without a photo": 1,
    }
    assert source.nodes.tolist() == [1, 2]
    assert source.labelled_nodes.tolist() == [1]


def test_a_folder_without_a_photo_or_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no photo"):
        read(tmp_path)
    (tmp_path / "n00000002").mkdir()
    (tmp_path / "n00000002/a.txt").write_text("x")
    with pytest.raises(UserError, match=r"holds no photo.*files that are no photos"):
        read(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        read(tmp_path / "none")


def test_names_of_any_kind_are_read(tmp_path: Path) -> None:
    names = ["a b.jpg", 'it\'s "q".jpg', "照片.jpg", "x" * 246 + ".jpg", "a.jpg", "A.JPG"]
    source = read(fill(tmp_path, *[f"n00000002/{name}" for name in names]))
    found = {os.path.basename(source.read(i).path) for i in range(len(source))}
    assert found == set(names)


def test_broken_photos_say_so_when_they_are_read_and_not_before(tmp_path: Path) -> None:
    fill(tmp_path, "n00000002/a.jpg")
    (tmp_path / "n00000002/b.jpg").write_text("text")
    (tmp_path / "n00000002/c.jpg").symlink_to("nowhere")
    source = read(tmp_path)
    assert len(source) == 3
    for index in (1, 2):
        with pytest.raises(BrokenPhoto):
            source.read(index)


def test_a_class_folder_may_be_a_link(tmp_path: Path) -> None:
    fill(tmp_path / "store", "a.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/n00000002").symlink_to(tmp_path / "store")
    assert len(read(tmp_path / "set")) == 1


def test_links_to_folders_inside_a_class_are_not_followed_but_counted(tmp_path: Path) -> None:
    fill(tmp_path, "n00000002/a.jpg")
    (tmp_path / "n00000002/up").symlink_to(tmp_path)
    source = read(tmp_path)
    assert len(source) == 1
    assert source.problems.counts == {"links to folders inside a class (not followed)": 1}


def test_a_folder_that_may_not_be_read_is_counted_or_refused(tmp_path: Path, monkeypatch) -> None:
    fill(tmp_path, "n00000002/a.jpg", "n00000002/locked/b.jpg", "n00000003/c.jpg")
    scandir = os.scandir
    locked = {"locked"}

    def guarded(path):
        if os.path.basename(path) in locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    source = read(tmp_path)
    assert len(source) == 2
    assert source.problems.counts == {"folders that cannot be read": 1}
    assert "n00000002/locked: Permission denied" in str(source.problems)
    locked.add(tmp_path.name)
    with pytest.raises(UserError, match="cannot be read .Permission denied."):
        read(tmp_path)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "photos").write_text("x")
    with pytest.raises(UserError, match="photos is a file; correct the path"):
        read(tmp_path / "photos")


def test_class_folders_that_are_twins_but_for_their_case_stay_two(tmp_path: Path) -> None:
    class Names:
        categories = ("Turkey", "turkey")

        def nodes(self, tree: WordTree) -> np.ndarray:
            return np.array([1, 2])

    fill(tmp_path, "Turkey/a.jpg", "turkey/a.jpg")
    source = read(tmp_path, label_map=Names())
    assert [source.read(i).labels.tolist() for i in range(2)] == [[1], [2]]


def test_nothing_is_written_and_the_source_survives_pickling(tmp_path: Path) -> None:
    fill(tmp_path, "n00000002/a.jpg", "n00000003/b.jpg")
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    source = pickle.loads(pickle.dumps(read(tmp_path)))
    assert [source.read(i).labels.tolist() for i in range(2)] == [[1], [2]]
    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before


def test_a_file_index_gives_back_every_path() -> None:
    paths = ["a", "", "照片/x", "b" * 250, os.fsdecode(b"bad\xff")]
    index = FileIndex(paths)
    assert [index[i] for i in range(len(index))] == paths
    for outside in (-1, 5):
        with pytest.raises(IndexError):
            index[outside]
    assert len(FileIndex([])) == 0


def test_problems_show_ten_examples_and_the_count() -> None:
    problems = Problems()
    assert not problems
    for i in range(25):
        problems.add("odd files", f"file{i}")
    problems.add("long", "x" * 1000 + "\nline")
    text = str(problems)
    assert text.startswith("25 odd files (file0, ")
    assert "file9, and 15 more)" in text
    assert "file10" not in text
    assert "\n" not in text
    assert len(text) < 400


def test_the_data_folder_is_the_environments_else_datasets(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(UserError, match=r"datasets does not exist.*WORDTREE_DATA.*data_root="):
        data_root()
    (tmp_path / "datasets").mkdir()
    assert data_root() == Path("datasets")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert data_root() == tmp_path
    assert data_root(tmp_path / "datasets") == tmp_path / "datasets"
    assert data_path("datasets") == tmp_path / "datasets"
    assert data_path(tmp_path) == tmp_path
    with pytest.raises(UserError, match=r"coco/x\.json does not exist.*WORDTREE_DATA"):
        data_path("coco/x.json")


def test_a_link_to_itself_is_no_class_folder(tmp_path: Path) -> None:
    fill(tmp_path, "n00000002/a.png")
    (tmp_path / "loop").symlink_to("loop")
    source = read(tmp_path)
    assert len(source) == 1
    assert source.problems.counts == {"files outside of a class folder": 1}


def test_a_kind_that_is_none_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kind=labelonly; choose label_only or background"):
        read(fill(tmp_path, "n00000002/a.png"), kind="labelonly")


def test_names_that_are_not_utf8_are_read_and_told(tmp_path: Path) -> None:
    fill(tmp_path, "n00000002/a.png", "n00000002/b.png")
    folder = os.fsencode(tmp_path / "n00000002")
    os.rename(folder + b"/a.png", folder + b"/caf\xe9.png")
    os.rename(folder + b"/b.png", folder + b"/caf\xe9.text")
    source = read(tmp_path)
    assert os.fsencode(source.read(0).path).endswith(b"caf\xe9.png")
    assert "caf\\udce9.text" in str(source.problems).encode().decode()
