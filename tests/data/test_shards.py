"""Tar shards: read at random as tarfile reads them, indexed once, refused where they must be."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import pickle
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data.images import BrokenPhoto, decode_image
from data.sources import progress, shard_index
from data.sources.catalogue import open_sources, source_labels
from data.sources.shard_index import index_shard, read_member
from data.sources.shard_samples import find_shards
from data.sources.shards import ShardSource
from wordtree import LabelMap, UserError, WordTree

TREE = WordTree(["n00000001", "n00000002", "n00000003", "n00000004"], [-1, 0, 0, 0])
ONE, TWO, THREE = 1, 2, 3


def photo(colour: int = 0, ending: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    """A photo of one grey, so that it is known again."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (colour,) * 3).save(buffer, ending)
    return buffer.getvalue()


def pack(path: Path, *members: Any, format: int = tarfile.PAX_FORMAT) -> Path:
    """A tar of (name, bytes), or of TarInfo; long enough ago that its index is kept."""
    with tarfile.open(path, "w", format=format) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    os.utime(path, (1e9, 1e9))
    return path


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def classes(path: Path) -> Path:
    """Three photos of two classes, in class folders."""
    names = ("n00000003/b.png", "n00000002/a.PNG", "n00000003/c.png")
    return pack(path, *((name, photo(10 * i)) for i, name in enumerate(names)))


def labelled(*paths: Path, **options: Any) -> ShardSource:
    return ShardSource(paths, **({"kind": "label_only", "tree": TREE} | options))


def boxed(*paths: Path, **options: Any) -> ShardSource:
    return ShardSource(paths, **({"kind": "boxed", "tree": TREE} | options))


def shades(source: ShardSource) -> list[int]:
    return [int(source.read(i).image[0, 0, 0]) for i in range(len(source))]


def table(path: Path, *rows: str, header: str = "file,label,x1,y1,x2,y2") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("WORDTREE_CACHE", str(folder))
    shard_index._say_once.cache_clear()
    return folder


# -- what stands in shards -----------------------------------------------------------------------


def test_photos_in_class_folders_carry_the_node_of_their_folder(tmp_path: Path) -> None:
    source = labelled(classes(tmp_path / "a.tar"), pack(tmp_path / "b.tar", ("n00000002/a.PNG",
                      photo(99))))  # fmt: skip
    samples = [source.read(i) for i in range(len(source))]
    assert [s.labels.tolist() for s in samples] == [[TWO], [ONE], [TWO], [ONE]]
    assert shades(source) == [0, 10, 20, 99]
    assert samples[1].path == source.path(1) == str(tmp_path / "a.tar/n00000002/a.PNG")
    assert {(s.kind, s.original_size, len(s.boxes)) for s in samples} == {("label_only", (6, 8), 0)}
    assert source.nodes.tolist() == source.labelled_nodes.tolist() == [ONE, TWO]
    assert source.counts().photos.tolist() == [2, 2]
    assert not source.problems


@pytest.mark.parametrize("ending", ["cls", "txt", "json"])
def test_labels_stand_beside_the_photo_under_its_key(tmp_path: Path, ending: str) -> None:
    def text(label: str) -> bytes:
        return json.dumps({"label": label, "more": 1}).encode() if ending == "json" else (
            f"{label}\n".encode())  # fmt: skip

    # Not one sample's members are adjacent, and keys are told apart by folder.
    shard = pack(
        tmp_path / "a.tar",
        ("0001.png", photo(1)),
        (f"sub/0001.{ending}", text("n00000003")),
        (f"0002.{ending}", text("n00000002")),
        ("sub/0001.png", photo(2)),
        ("0002.png", photo(3)),
        (f"0001.{ending}", text("n00000004")),
    )
    source = labelled(shard, labels=ending)
    assert [source.labels(i).tolist() for i in range(3)] == [[THREE], [TWO], [ONE]]
    assert shades(source) == [1, 2, 3]


def test_numbers_are_lines_of_a_file_of_names(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("n00000003\nn00000002\n")
    shard = pack(tmp_path / "a.tar", ("x.png", photo()), ("x.cls", b"1"))
    source = labelled(shard, labels="cls", label_names=names)
    assert source.labels(0).tolist() == [ONE]
    shard = pack(tmp_path / "b.tar", ("x.png", photo()), ("x.cls", b"2"))
    with pytest.raises(UserError, match=r"label '2' is no line of .*names\.txt, which has 2"):
        labelled(shard, labels="cls", label_names=names)


def test_what_is_no_photo_or_has_no_label_is_counted(tmp_path: Path) -> None:
    shard = pack(
        tmp_path / "a.tar",
        ("n00000002/a.png", photo()),
        ("n00000002/b.seg.png", photo()),
        ("notes.md", b"x"),
        ("lost.txt", b"x"),
        ("top.png", photo()),
        special("n00000002", tarfile.DIRTYPE),
    )
    source = labelled(shard)
    assert len(source) == 1
    assert source.problems.counts == {
        "members that are no photos": 2,
        "samples without a photo": 1,
        "photos without a label": 1,
    }


def test_two_photos_of_one_sample_need_a_word_which_counts(tmp_path: Path) -> None:
    shard = pack(tmp_path / "a.tar", ("n00000002/a.jpg", photo(7, "JPEG")), ("n00000002/a.png",
                 photo(9)))  # fmt: skip
    with pytest.raises(UserError, match=r"a\.tar has two photos .*a\.jpg.*a\.png.*\(photo: jpg\)"):
        labelled(shard)
    assert shades(labelled(shard, photo="png")) == [9]


def test_a_label_that_is_not_known_is_refused_with_the_nearest(tmp_path: Path) -> None:
    shard = pack(tmp_path / "a.tar", ("n0000002/a.png", photo()))
    with pytest.raises(UserError, match=r"a\.tar .*'n0000002' \(nearest: 'n00000002'\)"):
        labelled(shard)


def test_classes_leave_the_photos_of_others_out(tmp_path: Path) -> None:
    shard = classes(tmp_path / "a.tar")
    source = labelled(shard, classes=["n00000002", "n00000004"])
    assert (len(source), source.labels(0).tolist()) == (1, [ONE])
    assert source.nodes.tolist() == [ONE, THREE]
    assert source.labelled_nodes.tolist() == [ONE]
    assert source.problems.counts == {"classes without a photo": 1}
    with pytest.raises(UserError, match=r"none of the 3 photos of .*a\.tar has a label that count"):
        labelled(shard, classes=["n00000004"])


def test_a_label_map_names_the_nodes_and_leaves_classes_out(tmp_path: Path) -> None:
    shard = pack(tmp_path / "a.tar", ("dog/a.png", photo(1)), ("sofa/b.png", photo(2)))
    names = LabelMap("mine", {"dog": "n00000003", "sofa": None})
    source = labelled(shard, label_map=names)
    assert (len(source), source.labels(0).tolist(), source.nodes.tolist()) == (1, [TWO], [TWO])
    assert source.problems.counts == {"photos without a label that the label map keeps": 1}
    csv = table(tmp_path / "b.csv", "dog/a.png,dog,0,0,4,4", "dog/a.png,sofa,1,1,5,5")
    _, nodes, ignore = boxed(shard, boxes=csv, label_map=names).truth(0)
    assert (nodes.tolist(), ignore.tolist()) == ([TWO, -1], [False, True])


def test_background_shows_nothing_and_needs_no_tree(tmp_path: Path) -> None:
    source = ShardSource([classes(tmp_path / "a.tar")], kind="background")
    sample = source.read(2)
    assert (len(source), sample.kind, sample.labels.tolist()) == (3, "background", [])
    assert source.nodes.tolist() == []
    assert source.counts().empty == 3


# -- boxes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inclusive", "end"), [(False, (5, 4)), (True, (6, 5))])
def test_corners_of_a_csv_may_be_pixels_of_the_box(
    tmp_path: Path, inclusive: bool, end: tuple[int, int]
) -> None:
    csv = table(tmp_path / "b.csv", "n00000003/b.png,n00000003,1,2,5,4",
                "n00000002/a.PNG,n00000003,5,4,1,2")  # fmt: skip
    source = boxed(classes(tmp_path / "a.tar"), boxes=csv, inclusive=inclusive)
    assert source.truth(0)[0].tolist() == source.read(0).boxes.tolist() == [[1, 2, *end]]
    # Swapped corners are set right, and only then is the pixel added.
    assert source.read(1).boxes.tolist() == [[1, 2, *end]]
    assert source.problems.counts == {
        "photos of which the boxes say nothing, left out": 1,
        "boxes swapped corners: set right": 1,
    }


def test_boxed_photos_are_exhaustive_for_the_source_or_their_own_classes(tmp_path: Path) -> None:
    shard = classes(tmp_path / "a.tar")
    csv = table(tmp_path / "b.csv", "n00000003/b.png,n00000003,1,1,5,5",
                "n00000003/b.png,n00000003,0,0,4,4",
                "n00000002/a.PNG,n00000002,1,1,5,5")  # fmt: skip
    source = boxed(shard, boxes=csv)
    assert source.read(0).exhaustive is None
    assert source.nodes.tolist() == [ONE, TWO]
    own = boxed(shard, boxes=csv, exhaustive="photo").read(0)
    assert (own.exhaustive.tolist(), own.nodes.tolist()) == ([TWO], [TWO, TWO])
    assert source.counts().boxes.tolist() == [1, 2]


def test_boxes_of_other_classes_are_not_read(tmp_path: Path) -> None:
    csv = table(tmp_path / "b.csv", "n00000003/b.png,n00000003,1,1,5,5",
                "n00000003/b.png,n00000004,these,are,not,read",
                "n00000002/a.PNG,n00000002,nor,are,these,ones")  # fmt: skip
    source = boxed(classes(tmp_path / "a.tar"), boxes=csv, classes=["n00000003"])
    assert (len(source), source.nodes.tolist()) == (1, [TWO])
    assert source.problems.counts == {
        "boxes of other classes in photos of the classes, left out": 1,
    }


def test_a_label_only_source_never_reads_boxes(tmp_path: Path) -> None:
    shard = pack(tmp_path / "a.tar", ("n00000002/a.png", photo()),
                 ("n00000002/a.json", b'{"boxes": "of no use", "labels": 3}'))  # fmt: skip
    source = labelled(shard)
    sample = source.read(0)
    assert (len(sample.boxes), len(source.truth(0)[0]), sample.labels.tolist()) == (0, 0, [ONE])
    with pytest.raises(UserError, match=r"declared label_only, so boxes=.* would not be read"):
        labelled(shard, boxes=tmp_path / "b.csv")


def test_boxes_may_stand_in_the_json_beside_the_photo(tmp_path: Path) -> None:
    def stated(**content: Any) -> bytes:
        return json.dumps(content).encode()

    shard = pack(
        tmp_path / "a.tar",
        ("1.png", photo(1)),
        ("1.json", stated(boxes=[[0, 0, 4, 4], [1, 1, 8, 6]], labels=["n00000003", "n00000002"],
                          ignore=[False, True])),
        ("2.png", photo(2)),
        ("2.json", stated(boxes=[], labels=[])),
        ("3.png", photo(3)),
        ("3.json", stated(label="n00000003")),
    )  # fmt: skip
    source = boxed(shard, boxes="json")
    assert shades(source) == [1, 2]
    boxes, nodes, ignore = source.truth(0)
    assert boxes.tolist() == [[0, 0, 4, 4], [1, 1, 8, 6]]
    assert (nodes.tolist(), ignore.tolist()) == ([TWO, ONE], [False, True])
    assert len(source.truth(1)[0]) == 0
    assert source.problems.counts == {"photos of which the boxes say nothing, left out": 1}
    assert shades(boxed(shard, boxes="json", classes=["n00000003"])) == [1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "holds no JSON object"),
        (b'{"boxes": [[0, 0, 1, 1]], "labels": []}', "lists of one length"),
        (b'{"boxes": 3, "labels": []}', "lists of one length"),
        (b'{"boxes": [[0, 0, 1, 1]], "labels": ["a"], "ignore": 1}', "lists of one length"),
    ],
)
def test_json_of_boxes_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes, said: str
) -> None:
    shard = pack(tmp_path / "a.tar", ("1.png", photo()), ("1.json", content))
    with pytest.raises(UserError, match=rf"json member of '1\.png' in .*a\.tar .*{said}"):
        boxed(shard, boxes="json")


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    csv = table(
        tmp_path / "b.csv",
        "n00000003/b.png,n00000003,1,1,5,5",
        "n00000003/b.png,n00000003,1,one,5,5",
        "n00000003/b.png,n00000003,1",
        "n00000003/b.png,n00000003,1,nan,5,5",
        "n00000002/a.PNG,n00000002,1,1,1,5",
        "elsewhere.png,n00000002,1,1,5,5",
    )
    source = boxed(classes(tmp_path / "a.tar"), boxes=csv)
    assert len(source) == 1
    assert source.problems.counts == {
        "boxes without a label and four numbers": 2,
        "boxes of photos that are in no shard": 1,
        "photos of which the boxes say nothing, left out": 1,
        "boxes not finite: dropped": 1,
        "boxes under one pixel: dropped": 1,
        "photos without a box that can be used": 1,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,x1,y1,x2,y2\na,1,1,2,2\n", "'file, x1, y1, x2, y2'; boxes need file, label"),
        ("", "boxes need file, label"),
        ("file,label,x1,y1,x2,y2\nn00000003/b.png,n00000003,.1,.1,.9,1\n", "are fractions"),
        ("file,label,x1,y1,x2,y2\n", "none of the 3 photos"),
    ],
)
def test_a_csv_without_boxes_is_refused(tmp_path: Path, text: str, said: str) -> None:
    csv = tmp_path / "b.csv"
    csv.write_text(text)
    with pytest.raises(UserError, match=said):
        boxed(classes(tmp_path / "a.tar"), boxes=csv)


def test_members_of_one_name_in_two_shards_are_told_apart_by_the_csv_column(tmp_path: Path) -> None:
    shards = [pack(tmp_path / f"{n}.tar", ("x.png", photo(n))) for n in (1, 2)]
    csv = table(tmp_path / "b.csv", "x.png,n00000003,1,1,5,5")
    with pytest.raises(UserError, match=r"'x\.png' of .*1\.tar and .*2\.tar .* column `shard`"):
        boxed(*shards, boxes=csv)
    header = "shard,file,wnid,x1,y1,x2,y2"
    csv = table(csv, "2.tar,x.png,n00000003,1,1,5,5", "3.tar,x.png,n00000003,0,0,0,0",
                header=header)  # fmt: skip
    source = boxed(*shards, boxes=csv, classes=["n00000003"])
    assert (shades(source), source.problems.counts) == ([2], {})


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    shard = classes(tmp_path / "a.tar")
    for options, said in (
        ({"kind": "boxes"}, "kind=boxes; choose boxed"),
        ({"kind": "boxed"}, "boxes=None"),
        ({"labels": "name"}, "labels=name; choose folder"),
        ({"kind": "boxed", "boxes": "json", "labels": "cls"}, "boxes carry theirs"),
        ({"exhaustive": "all"}, "exhaustive=all; choose source or photo"),
    ):
        with pytest.raises(UserError, match=said):
            labelled(shard, **options)


# -- which shards --------------------------------------------------------------------------------


def test_shards_are_named_by_braces_wildcards_and_lists(tmp_path: Path) -> None:
    for name in ("t-08.tar", "t-09.tar", "t-10.tar", "v[1].tar", "a.tar"):
        (tmp_path / name).touch()

    def named(patterns: Any) -> list[str]:
        return [path.name for path in find_shards(patterns, root=tmp_path)]

    assert named("t-{08..10}.tar") == ["t-08.tar", "t-09.tar", "t-10.tar"]
    assert named("t-{10,08}.tar") == ["t-10.tar", "t-08.tar"]
    assert named("{t}-0{8..9}.ta{r}") == ["t-08.tar", "t-09.tar"]
    assert named(["t-*.tar", "a.tar"]) == ["t-08.tar", "t-09.tar", "t-10.tar", "a.tar"]
    assert named("v[1].tar") == ["v[1].tar"]  # a file of that very name goes before a pattern
    assert named(str(tmp_path / "a.tar")) == ["a.tar"]
    for patterns, said in (
        ("t-{08..11}.tar", r"t-11\.tar does not exist"),
        ("z*.tar", r"no file matches the shards .*z\*\.tar"),
        (["a.tar", "a.t?r"], r"a\.tar is named twice"),
        ("t-{0..999999999}.tar", "100,000 shards at most"),
        ("t-{0{8..9},10}.tar", "braces inside of braces"),
        ([], "no shards are named"),
        ("https://x.org/a.tar", "lies on a server; copy it to a disk"),
        ("s3://bucket/a-{0..3}.tar", "lies on a server"),
        ("pipe:cat a.tar", "lies on a server"),
    ):
        with pytest.raises(UserError, match=said):
            named(patterns)


def test_a_config_names_labels_first_and_opens_the_source_then(tmp_path: Path) -> None:
    classes(tmp_path / "a.tar")
    (tmp_path / "split.json").write_text('{"some": ["n00000003"], "none": []}')
    table(tmp_path / "b.csv", "n00000003/b.png,n00000003,1,1,5,5",
          "n00000002/a.PNG,n00000002,1,1,5,5")  # fmt: skip
    shared = {"type": "shards", "shards": "{a}.tar"}
    by_folder = {**shared, "kind": "label_only", "weight": 2.0}
    by_box = {**shared, "kind": "boxed", "boxes": "b.csv", "inclusive": True}
    some = {**by_box, "classes": {"file": "split.json", "key": "some"}}
    assert source_labels({"a": by_folder}, root=tmp_path) == ["n00000002", "n00000003"]
    assert source_labels({"a": by_box}, root=tmp_path) == ["n00000002", "n00000003"]
    assert source_labels({"a": some}, root=tmp_path) == ["n00000003"]
    assert source_labels({"a": {**shared, "kind": "background"}}, root=tmp_path) == []
    opened = open_sources({"folders": by_folder, "some": some}, TREE, root=tmp_path)
    assert [len(source) for source in opened.values()] == [3, 1]
    assert opened["some"].read(0).source == "some"
    for wrong, said in (
        ({**by_folder, "lables": "cls"}, r"'?lables'?.*labels"),
        ({**some, "classes": {"file": "split.json", "key": "most"}}, "no 'most' .*some, none"),
        ({**some, "classes": {"file": "split.json"}}, r"file \(a JSON file\) and key"),
        ({**some, "classes": {"file": "b.csv", "key": "some"}}, "is not JSON"),
        ({**some, "classes": {"file": "split.json", "key": "none"}}, "give a list of labels"),
        ({**some, "classes": "n00000003"}, "give a list of labels"),
    ):
        with pytest.raises(UserError, match=said):
            open_sources({"a": wrong}, TREE, root=tmp_path)


# -- random access -------------------------------------------------------------------------------


def by_tarfile(path: Path) -> dict[str, bytes]:
    """The slow twin: tarfile's own reading, names without `./` and `//`."""
    found = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None:
                parts = [part for part in member.name.split("/") if part not in ("", ".")]
                found["/".join(parts)] = content.read()
    return found


def at_random(path: Path) -> dict[str, bytes]:
    """Every member by the index, last one first."""
    index = index_shard(path)
    return {
        index.names[i]: read_member(
            index.shard, index.names[i], int(index.offsets[i]), int(index.sizes[i])
        )
        for i in reversed(range(len(index)))
    }


NAMES = st.text("ab.é/ -", min_size=1, max_size=300).filter(
    lambda name: name[0] != "/" and name[-1] != "/" and ".." not in name.split("/")
    and any(part not in ("", ".") for part in name.split("/"))
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    members=st.dictionaries(NAMES, st.binary(min_size=1, max_size=1200), min_size=1, max_size=6),
    format=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_any_member_is_what_tarfile_reads(members: dict[str, bytes], format: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = pack(Path(folder) / "a.tar", *members.items(), format=format)
        os.utime(path)  # not kept in the cache
        expected = by_tarfile(path)
        if len(expected) < len(members):  # `a//b` and `a/./b` are one name
            with pytest.raises(UserError, match="twice"):
                at_random(path)
        else:
            assert at_random(path) == expected


def read_all(source: ShardSource) -> list[tuple[bytes, list[int]]]:
    samples = [source.read(i) for i in reversed(range(len(source)))]
    return [(s.image.tobytes(), s.labels.tolist()) for s in samples]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_what_their_parent_reads(tmp_path: Path, method: str) -> None:
    rows = [(f"n0000000{1 + i % 3}/{i}.png", photo(i)) for i in range(60)]
    source = labelled(*(pack(tmp_path / f"{n}.tar", *rows[n::3]) for n in range(3)))
    expected = read_all(source)  # the parent holds its shards open when it forks
    # A spawned worker imports torch anew, which takes seconds: one is enough.
    count = 2 if method == "fork" else 1
    with multiprocessing.get_context(method).Pool(count) as workers:
        read = workers.map_async(source.read, range(59, -1, -1), chunksize=5)
        assert read_all(source) == expected
        assert [(s.image.tobytes(), s.labels.tolist()) for s in read.get(60)] == expected


def test_a_source_survives_pickling_and_keeps_no_handle_in_it(tmp_path: Path) -> None:
    source = labelled(classes(tmp_path / "a.tar"))
    expected = read_all(source)
    assert read_all(pickle.loads(pickle.dumps(source))) == expected


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc to count handles in")
def test_few_shards_are_open_at_once(tmp_path: Path) -> None:
    shards = [pack(tmp_path / f"{n:02}.tar", ("n00000002/a.png", photo(n))) for n in range(40)]
    before = len(os.listdir("/proc/self/fd"))
    source = labelled(*shards)
    assert shades(source) == list(range(40))
    assert len(os.listdir("/proc/self/fd")) <= before + shard_index.MAX_OPEN


def test_a_shard_that_changes_under_a_run_is_not_read_on(tmp_path: Path) -> None:
    source = labelled(classes(tmp_path / "a.tar"))
    classes(tmp_path / "b.tar")
    os.utime(tmp_path / "b.tar")
    os.replace(tmp_path / "b.tar", tmp_path / "a.tar")
    with pytest.raises(UserError, match=r"a\.tar changed after it was indexed"):
        source.read(0)


@pytest.mark.parametrize("how", ["written anew", "cut"])
def test_a_shard_that_changes_in_place_while_it_is_open_is_not_read_on(
    tmp_path: Path, how: str
) -> None:
    one, two = ("n00000002/a.png", photo(1)), ("n00000003/b.png", photo(2))
    source = labelled(pack(tmp_path / "a.tar", one, two))
    assert shades(source) == [1, 2]
    if how == "cut":
        os.truncate(tmp_path / "a.tar", 520)
    else:
        (tmp_path / "a.tar").write_bytes(pack(tmp_path / "b.tar", two, one).read_bytes())
    for index in range(2):
        with pytest.raises(UserError, match=r"a\.tar changed after it was indexed"):
            source.read(index)


@pytest.mark.parametrize("ignore", [[], [True]])
def test_shards_declared_boxed_without_a_box_that_counts_are_refused(
    tmp_path: Path, ignore: list[bool]
) -> None:
    said = {"boxes": [[0, 0, 4, 4]][: len(ignore)], "labels": ["n00000002"][: len(ignore)]}
    text = json.dumps(said | {"ignore": ignore}).encode()
    shard = pack(tmp_path / "a.tar", ("a.png", photo(1)), ("a.json", text))
    with pytest.raises(UserError, match=r"none of the 1 photos of .*a\.tar has a box that counts"):
        boxed(shard, boxes="json")


def test_a_long_text_beside_a_photo_is_refused_only_where_it_is_read(tmp_path: Path) -> None:
    long = json.dumps({"label": "n00000002", "more": "x" * (1 << 16)}).encode()
    shard = pack(tmp_path / "a.tar", ("n00000003/a.png", photo(1)), ("n00000003/a.json", long))
    assert labelled(shard).labels(0).tolist() == [TWO]
    with pytest.raises(UserError, match=r"\.json member of 'n00000003/a\.png' .* is longer than"):
        labelled(shard, labels="json")


def test_a_line_of_a_csv_ends_at_its_line_end_only(tmp_path: Path) -> None:
    names = ("a\u2028b.png", "c\x85d.png", "e\x0cf.png")
    shard = pack(tmp_path / "a.tar", *((name, photo(i)) for i, name in enumerate(names)))
    rows = table(tmp_path / "b.csv", *(f"{name},n00000002,1,1,5,5" for name in names))
    assert shades(boxed(shard, boxes=rows)) == [0, 1, 2]


def test_the_ending_of_photos_may_be_given_with_its_dot(tmp_path: Path) -> None:
    shard = pack(tmp_path / "a.tar", ("n00000002/a.png", photo(1)), ("n00000002/a.bmp", b""))
    assert shades(labelled(shard, photo=".png")) == [1]


def test_broken_photos_say_shard_and_member_when_they_are_read(tmp_path: Path) -> None:
    whole = photo(5)
    shard = pack(tmp_path / "a.tar", ("n00000002/a.png", whole), ("n00000002/b.png", b""),
                 ("n00000002/c.png", b"text"), ("n00000002/d.png", whole[:40]))  # fmt: skip
    source = labelled(shard)
    assert source.read(0).image[0, 0, 0] == 5
    for index in (1, 2, 3):
        with pytest.raises(BrokenPhoto) as caught:
            source.read(index)
        assert caught.value.path == str(shard / "n00000002" / f"{'abcd'[index]}.png")


# -- the cache of indexes ------------------------------------------------------------------------


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the shards whose headers were read."""
    seen: list[str] = []
    original = shard_index.list_members

    def counted(file: int, path: Any, **options: Any) -> Any:
        seen.append(Path(path).name)
        return original(file, path, **options)

    monkeypatch.setattr(shard_index, "list_members", counted)
    return seen


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_headers_are_read_once_and_again_where_the_shard_changed(
    tmp_path: Path, cache: Path, scans: list[str]
) -> None:
    shard = pack(tmp_path / "a.tar", ("x.png", photo(1)), ("x.cls", b"n00000002"))
    before = os.stat(tmp_path).st_mtime_ns
    first = labelled(shard, labels="cls")
    again = labelled(shard, labels="cls")
    assert scans == ["a.tar"]
    assert shades(first) == shades(again) == [1]
    assert again.labels(0).tolist() == [ONE]
    assert len(entries(cache)) == 1
    # Nothing was written beside the shard.
    assert os.listdir(tmp_path) == ["a.tar"]
    assert os.stat(tmp_path).st_mtime_ns == before
    pack(shard, ("x.png", photo(2)), ("x.cls", b"n00000003"))
    os.utime(shard, (1e9, 1e9 + 5))  # of the same size, at another time
    assert labelled(shard, labels="cls").labels(0).tolist() == [TWO]
    assert scans == ["a.tar"] * 2


def test_a_shard_that_changed_just_now_is_not_kept(
    tmp_path: Path, cache: Path, scans: list[str]
) -> None:
    shard = classes(tmp_path / "a.tar")
    os.utime(shard)
    for _ in range(2):
        assert len(labelled(shard)) == 3
    assert (scans, entries(cache)) == (["a.tar"] * 2, [])


def test_a_damaged_entry_is_made_again(tmp_path: Path, cache: Path, scans: list[str]) -> None:
    shard = classes(tmp_path / "a.tar")
    expected = read_all(labelled(shard))
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    places = range(0, len(whole), max(1, len(whole) // 15))
    damaged = [whole[:n] + bytes([whole[n] ^ 4]) + whole[n + 1 :] for n in places]
    for number, content in enumerate([b"", whole[:50], whole[:-1], whole + b"x", *damaged], 1):
        entry.write_bytes(content)
        assert read_all(labelled(shard)) == expected
        assert len(scans) == 1 + number
        assert [path.read_bytes() for path in entries(cache)] == [whole]


def test_a_cache_that_cannot_be_written_costs_a_scan_and_is_said_once(
    tmp_path: Path, scans: list[str], monkeypatch: Any, capsys: Any
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORDTREE_CACHE", str(tmp_path / "file"))
    shards = [classes(tmp_path / "a.tar"), classes(tmp_path / "b.tar")]
    for _ in range(2):
        assert len(labelled(*shards)) == 6
    assert scans == ["a.tar", "b.tar"] * 2
    said = capsys.readouterr().err
    assert said.count("cannot be written") == 1
    assert "set WORDTREE_CACHE to a folder that can" in said


def test_a_long_indexing_says_so(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(progress, "DELAY", -1.0)
    labelled(classes(tmp_path / "a.tar"))
    assert "indexing shards" in capsys.readouterr().err


# -- shards that must not be read (row 17) -------------------------------------------------------


def damaged_header(path: Path, member: int = 1) -> None:
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        data[tar.getmembers()[member].offset + 3] ^= 1
    path.write_bytes(data)


def stated_size(path: Path, member: str, size: bytes) -> None:
    """Writes a size (12 bytes) into a member's header, and the checksum that fits."""
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        at = tar.getmember(member).offset
    data[at + 124 : at + 136] = size
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    path.write_bytes(data)


GOOD = ("n00000002/good.png", photo())


def case(build: Callable[[Path], Any]) -> Any:
    return pytest.param(build, id=build.__name__)


def cut(path: Path) -> str:
    classes(path)
    os.truncate(path, 1540)
    return r"is cut off or damaged: the member 'n00000002/a\.PNG'"


def cut_between_members(path: Path) -> str:
    classes(path)
    os.truncate(path, 3 * 1024)
    return "is cut off or damaged: there is no end mark, but the file ends at byte 3072"


def corrupt_header(path: Path) -> str:
    classes(path)
    damaged_header(path)
    return r"has a damaged header at byte 1024, after the member 'n00000003/b\.png'"


def corrupt_first_header(path: Path) -> str:
    classes(path)
    damaged_header(path, 0)
    return "is not a tar, or its first header is damaged"


def traversal(path: Path) -> str:
    pack(path, GOOD, ("n00000002/../../x.png", photo()))
    return r"has the member 'n00000002/\.\./\.\./x\.png', which leads out of the shard"


def traversal_of_windows(path: Path) -> str:
    pack(path, GOOD, ("..\\x.png", photo()))
    return "which leads out of the shard"


def traversal_by_a_folder(path: Path) -> str:
    pack(path, GOOD, special("../outside", tarfile.DIRTYPE))
    return r"'\.\./outside', which leads out of the shard"


def absolute(path: Path) -> str:
    pack(path, GOOD, (str(path.parent / "outside.png"), photo()))
    return r"outside\.png', an absolute path"


def symbolic_link(path: Path) -> str:
    pack(path, GOOD, special("n00000002/l.png", tarfile.SYMTYPE, "/etc/passwd"))
    return r"has the member 'n00000002/l\.png', which is a symbolic link"


def hard_link(path: Path) -> str:
    pack(path, GOOD, special("n00000002/l.png", tarfile.LNKTYPE, GOOD[0]))
    return "which is a hard link"


def device(path: Path) -> str:
    pack(path, GOOD, special("n00000002/l.png", tarfile.CHRTYPE))
    return r"'n00000002/l\.png', which is a device"


def named_pipe(path: Path) -> str:
    pack(path, GOOD, special("n00000002/l.png", tarfile.FIFOTYPE))
    return "which is a named pipe"


def sparse_file(path: Path) -> str:
    pack(path, GOOD, special("n00000002/l.png", tarfile.GNUTYPE_SPARSE))
    return "which is a sparse file"


def sparse_file_of_pax(path: Path) -> str:
    info = tarfile.TarInfo("n00000002/l.png")
    info.pax_headers = {"GNU.sparse.size": "10"}
    pack(path, GOOD, info)
    return r"l\.png', which is a sparse file"


def unknown_type(path: Path) -> str:
    pack(path, GOOD, special("n00000002/l.png", b"9"))
    return "which is of the unknown type b'9'"


def twice(path: Path) -> str:
    pack(path, GOOD, GOOD)
    return r"has the member 'n00000002/good\.png' twice"


def twice_by_another_name(path: Path) -> str:
    pack(path, GOOD, ("./n00000002//good.png", photo()))
    return "twice"


def huge_size(path: Path) -> str:
    pack(path, GOOD)
    stated_size(path, GOOD[0], b"77777777777\0")
    return r"the member 'n00000002/good\.png' at byte 0 claims 8,589,934,591 bytes"


def huge_size_in_binary(path: Path) -> str:
    pack(path, GOOD)
    stated_size(path, GOOD[0], b"\x80" + b"\xff" * 11)
    return r"n00000002/good\.png'"


def negative_size(path: Path) -> str:
    pack(path, GOOD)
    stated_size(path, GOOD[0], b"\xff" * 12)
    return r"good\.png'\) of less than no bytes"


def huge_size_of_pax(path: Path) -> str:
    info = tarfile.TarInfo("n00000002/l.png")
    info.pax_headers = {"size": "9" * 18}
    pack(path, GOOD, info)
    return r"'n00000002/l\.png' at byte \d+ claims 999,999"


def strange_size_of_pax(path: Path) -> str:
    info = tarfile.TarInfo("n00000002/l.png")
    info.pax_headers = {"size": "-5"}
    pack(path, GOOD, info)
    return r"l\.png'\) of less than no bytes"


def huge_extended_header(path: Path) -> str:
    info = tarfile.TarInfo("n00000002/l.png")
    info.pax_headers = {"comment": "x" * (2 << 20)}
    pack(path, GOOD, info)
    return "a name or extended header of 2,097,"


def damaged_extended_header(path: Path) -> str:
    info = tarfile.TarInfo("n00000002/l.png")
    info.pax_headers = {"comment": "xxxx"}
    pack(path, info)
    path.write_bytes(path.read_bytes().replace(b"16 comment=", b"99 comment="))
    return "a damaged extended header at byte 512"


def one_name_for_all(path: Path) -> str:
    with tarfile.open(path, "w", pax_headers={"path": "x.png"}) as tar:
        info = tarfile.TarInfo("n00000002/l.png")
        tar.addfile(info)
    return "a header that gives all its members one path"


def very_long_name(path: Path) -> str:
    pack(path, GOOD, ("n/" * 2100 + "x.png", photo()))
    return "a member whose name has over 4096 bytes"


def very_long_name_of_gnu(path: Path) -> str:
    pack(path, GOOD, ("n/" * 2100 + "x.png", photo()), format=tarfile.GNU_FORMAT)
    return "a member whose name has over 4096 bytes"


def a_name_at_the_end(path: Path) -> str:
    pack(path, ("n00000002/" + "x" * 120 + ".png", photo()), format=tarfile.GNU_FORMAT)
    path.write_bytes(path.read_bytes()[:1024] + bytes(1024))
    return "a name or extended header without a member"


def two_tars_joined(path: Path) -> str:
    pack(path, GOOD)
    path.write_bytes(path.read_bytes() + pack(path, ("n00000002/o.png", photo())).read_bytes())
    return r"more than zeros after its end mark \(from byte"


def no_member(path: Path) -> str:
    pack(path)
    return "has no file in it"


def empty_file(path: Path) -> str:
    path.touch()
    return "is empty"


def text_of_that_ending(path: Path) -> str:
    path.write_text("not a tar\n" * 200)
    return "is not a tar"


def short_text(path: Path) -> str:
    path.write_text("not a tar\n")
    return "is cut off or damaged"


def zip_of_that_ending(path: Path) -> str:
    np.savez(path.with_suffix(".npz"), np.zeros(300))
    os.replace(path.with_suffix(".npz"), path)
    return "is not a tar"


def folder_of_that_ending(path: Path) -> str:
    path.mkdir()
    return "is no plain file"


def pipe_of_that_ending(path: Path) -> str:
    os.mkfifo(path)
    return "is no plain file"


def missing(path: Path) -> str:
    return "no such file or directory"


def compressed(path: Path) -> str:
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    return r"is compressed with gzip \(gunzip\).*decompress it"


def compressed_with_bzip2(path: Path) -> str:
    with tarfile.open(path, "w:bz2") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    return "is compressed with bzip2"


def compressed_with_xz(path: Path) -> str:
    with tarfile.open(path, "w:xz") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    return "is compressed with xz"


def compressed_with_zstd(path: Path) -> str:
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    return "is compressed with zstd"


BAD = [
    *(cut, cut_between_members, corrupt_header, corrupt_first_header, traversal),
    *(traversal_of_windows, traversal_by_a_folder, absolute, symbolic_link, hard_link, device),
    *(named_pipe, sparse_file, sparse_file_of_pax, unknown_type, twice, twice_by_another_name),
    *(huge_size, huge_size_in_binary, negative_size, huge_size_of_pax, strange_size_of_pax),
    *(huge_extended_header, damaged_extended_header, one_name_for_all, very_long_name),
    *(very_long_name_of_gnu, a_name_at_the_end, two_tars_joined, no_member, empty_file),
    *(text_of_that_ending, short_text, zip_of_that_ending, folder_of_that_ending),
    *(pipe_of_that_ending, missing, compressed, compressed_with_bzip2, compressed_with_xz),
    compressed_with_zstd,
]


def tree_of(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.parametrize("build", [case(build) for build in BAD])
def test_a_bad_shard_is_refused_by_name_and_nothing_is_written(
    tmp_path: Path, cache: Path, build: Callable[[Path], str]
) -> None:
    (tmp_path / "in").mkdir()
    shard = tmp_path / "in" / "bad.tar"
    said = build(shard)
    before = tree_of(tmp_path)
    with pytest.raises(UserError, match=rf"bad\.tar.*{said}|{said}.*bad\.tar") as caught:
        labelled(shard)
    assert "\n" not in str(caught.value)
    assert tree_of(tmp_path) == before
    assert entries(cache) == []


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_strange_names_are_read(tmp_path: Path, format: int) -> None:
    names = [
        "n00000002/" + "x" * 200 + ".png",
        "n00000002/照片.png",
        'n00000002/it\'s "q" <b>.png',
        f"./{'deep/' * 30}n00000002/a.png",
        os.fsdecode(b"n00000002/bad\xff.png"),
    ]
    shard = pack(tmp_path / "a.tar", *((name, photo(i)) for i, name in enumerate(names)),
                 format=format)  # fmt: skip
    source = labelled(shard)
    assert shades(source) == list(range(5))
    assert [source.path(i) for i in range(5)] == [
        f"{shard}/{name.removeprefix('./')}" for name in names
    ]


def small_shard(path: Path, format: int) -> Path:
    return pack(
        path,
        ("n00000002/" + "long" * 30 + ".png", photo(1)),
        ("n00000003/a.png", photo(2)),
        ("n00000003/a.json", b'{"label": "n00000003", "boxes": [[0, 0, 4, 4]],'
                             b' "labels": ["n00000003"]}'),
        special("n00000004", tarfile.DIRTYPE),
        ("n00000004/é.png", photo(3)),
        format=format,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def whole_shard(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_shard(tmp_path_factory.mktemp("whole") / "a.tar", request.param)


def try_to_read(path: Path) -> bool:
    """Whether a shard was read; then every member is what tarfile reads. Nothing is raised but
    errors for users and broken photos."""
    try:
        sources = [labelled(path), boxed(path, boxes="json")]
    except UserError:
        return False
    for source in sources:
        for index in range(len(source)):
            with contextlib.suppress(BrokenPhoto):
                source.read(index)
    assert at_random(path) == by_tarfile(path)
    return True


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(
    end=st.integers(1, 10_240) | st.none(),
    flips=st.lists(st.tuples(st.integers(0, 10_239), st.integers(1, 255)), max_size=3),
)
def test_a_shard_with_flipped_bytes_or_cut_is_refused_or_read_as_tarfile_reads_it(
    whole_shard: Path, end: int | None, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(whole_shard.read_bytes())
    for place, change in flips:
        data[place % len(data)] ^= change
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tar"
        path.write_bytes(data[:end])
        assert try_to_read(path) or data[:end] != whole_shard.read_bytes()


# -- the shared photos ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny200() -> Path:
    folder = Path(os.environ.get("WORDTREE_DATA", "datasets")) / "tiny200"
    if not (folder / "split.json").exists():
        pytest.skip(f"no {folder}: set WORDTREE_DATA to the folder of data sets")
    return folder


def test_the_experiment_gives_half_of_the_classes_boxes_and_the_others_none(tiny200: Path) -> None:
    import csv

    from tools import assemble
    from tools.config import compose_config

    config = compose_config(["experiment=tiny200"])
    tree, _ = assemble.make_tree(config)
    sources, validation = assemble.make_sources(config, tree)
    split = json.loads((tiny200 / "split.json").read_text())
    for name, key in (("boxes", "boxed"), ("labels", "label_only")):
        assert {tree.keys[n] for n in sources[name].labelled_nodes} == set(split[key])
        assert len(sources[name]) == 3600
    assert (len(validation), len(validation.labelled_nodes)) == (4000, 200)
    with (tiny200 / "train_boxes.csv").open(newline="") as file:
        stated = {f"{tiny200}/{row['shard']}/{row['file']}": row for row in csv.DictReader(file)}
    for index in range(0, 3600, 97):
        sample = sources["boxes"].read(index)
        row = stated[sample.path]
        x1, y1, x2, y2 = (int(row[key]) for key in ("x1", "y1", "x2", "y2"))
        assert sample.boxes.tolist() == [[x1, y1, x2 + 1, y2 + 1]]
        assert [tree.keys[n] for n in sample.nodes] == [row["wnid"]]
        assert sample.exhaustive.tolist() == sample.nodes.tolist()
        other = sources["labels"].read(index)
        assert (len(other.boxes), stated[other.path]["wnid"]) == (0, tree.keys[other.labels[0]])
    batch = next(iter(assemble.make_loader({**config, "workers": 0}, assemble.make_stream(
        config, sources), assemble.choose_device("cpu"))(0)))  # fmt: skip
    assert set(batch.photo_source) == {"boxes", "labels"}
    assert len(batch.truth_box) > 5


def test_a_real_shard_reads_as_tarfile_reads_it(tiny200: Path) -> None:
    path = tiny200 / "train-0.tar"
    assert at_random(path) == by_tarfile(path)
    name, data = next(iter(by_tarfile(path).items()))
    assert decode_image(data, name).shape == (64, 64, 3)
