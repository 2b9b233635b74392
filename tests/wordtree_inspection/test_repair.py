from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from wordtree import UserError, WordTree
from wordtree.formats.darknet import read_darknet, read_map
from wordtree.inspection.repair import repair

IN_PLACE = [HealthCheck.function_scoped_fixture]


def write(folder: Path, tree: bytes | str, **beside: str) -> Path:
    path = folder / "x.tree"
    for ending in ("names", "labels"):
        path.with_suffix(f".{ending}").unlink(missing_ok=True)
    for ending, content in {"tree": tree, **beside}.items():
        data = content if isinstance(content, bytes) else content.encode()
        path.with_suffix(f".{ending}").write_bytes(data)
    return path


def edges(tree: WordTree) -> set[tuple[str, str, str | None]]:
    """A tree whatever its order: key, name and the parent's key of every node."""
    return {(node.key, node.name, node.parent.key if node.parent else None) for node in tree}


@st.composite
def valid_parents(draw: st.DrawFn) -> list[int]:
    """Parents of a valid file: each group of siblings is put below an earlier node at once."""
    parents = [-1] * draw(st.integers(1, 4))
    free = list(range(len(parents)))
    for _ in range(draw(st.integers(0, 6))):
        above = free.pop(draw(st.integers(0, len(free) - 1)))
        size = draw(st.integers(1, 3))
        free += range(len(parents), len(parents) + size)
        parents += [above] * size
    return parents


@given(valid_parents())
@settings(max_examples=50, deadline=None, suppress_health_check=IN_PLACE)
def test_a_valid_file_comes_out_as_it_is(tmp_path: Path, parents: list[int]) -> None:
    tree = WordTree([f"k{at}" for at in range(len(parents))], parents)
    tree.save(tmp_path / "x.tree")
    found = repair(tmp_path / "x.tree")
    assert found.tree == tree
    assert found.order.tolist() == list(range(len(tree)))
    assert found.changes == []


@given(valid_parents(), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=80, deadline=None, suppress_health_check=IN_PLACE)
def test_shuffled_lines_give_the_same_tree_and_maps_the_same_keys(
    tmp_path: Path, parents: list[int], random: object, untidy: bool
) -> None:
    count = len(parents)
    names = [f"name {at // 2}" for at in range(count)]
    tree = WordTree([f"k{at}" for at in range(count)], parents, names)
    # Line i of the file is node lines[i]; untidy files have blank lines too, which count.
    lines: list[int | None] = list(range(count))
    lines += [None, None] if untidy else []
    random.shuffle(lines)  # type: ignore[attr-defined]
    line_of = {node: line for line, node in enumerate(lines)}
    end = "\r\n" if untidy else "\n"
    rows = [
        "" if node is None else f"k{node} {line_of[up] if (up := parents[node]) >= 0 else -1}"
        for node in lines
    ]
    path = write(
        tmp_path,
        ("\ufeff" * untidy) + "".join(f"{row}{end}" for row in rows),
        names="".join(f"{'' if node is None else names[node]}\n" for node in lines),
        labels="".join(f"k{node}\n" for node in lines if node is not None),
    )
    found = repair(path)
    assert edges(found.tree) == edges(tree)
    map_file = tmp_path / "x.map"
    map_file.write_text("".join(f"{line_of[node]}\n" for node in reversed(range(count))))
    new = found.remapped(read_map(map_file))
    assert [found.tree.keys[node] for node in new] == list(reversed(tree.keys))
    found.tree.save(tmp_path / "y.tree")
    assert read_darknet(tmp_path / "y.tree") == found.tree
    if not found.changes:
        assert not untidy
        assert read_darknet(path) == found.tree


def test_order_is_kept_as_far_as_possible(tmp_path: Path) -> None:
    content = "poodle 3\nanimal -1\ntool -1\ndog 1\nsaw 2\ncat 1\n"
    found = repair(write(tmp_path, content))
    assert found.tree.keys == ("animal", "tool", "dog", "cat", "poodle", "saw")
    assert found.order.tolist() == [4, 0, 1, 2, 5, 3]
    (change,) = found.changes
    assert "6 nodes of 6 renumbered" in change


def test_blank_lines_count_as_darknet_counts_them(tmp_path: Path) -> None:
    found = repair(write(tmp_path, "a -1\nb -1\n\nc 0\nd 0\ne 3\n\n"))
    assert edges(found.tree) == {
        ("a", "a", None),
        ("b", "b", None),
        ("c", "c", "a"),
        ("d", "d", "a"),
        ("e", "e", "c"),  # number 3 is line 4
    }
    assert found.order.tolist() == [0, 1, -1, 2, 3, 4]
    assert any("1 blank line left out" in change for change in found.changes)
    assert any("1 blank line at the end" in change for change in found.changes)


def test_a_map_that_points_to_no_node_is_refused_with_its_line(tmp_path: Path) -> None:
    found = repair(write(tmp_path, "a -1\n\nb 0\n"))
    assert found.remapped([2, -1, 0]).tolist() == [1, -1, 0]
    for bad in (1, 3, -2):
        with pytest.raises(UserError, match=rf"voc\.map, line 2: {bad} is no node"):
            found.remapped([0, bad], "voc.map")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a -1\nb 2\nc 1\n", "lines 2, 3 each other's ancestors"),
        (b"a -1\nb 1\n", "line 2 its own parent"),
        (b"a -1\nb 7\nc -3\n", r"lines 2, 3 with a parent out of range \(7 first\)"),
        (b"a -1\nb 0\na 0\n", "line 3 with a key used before"),
        (b"a -1\nb\nc 0\n", "line 2 without a parent's number"),
        (b"a -1\nhot dog 0\n", "line 2 with more than a key"),
        (b"a -1\nb x\n", "line 2 with a parent that is no whole number"),
        (b"a -1\nb 0", "line 2 without a line end"),
        (b"a -1\n\nb 1\n", "line 3 with a blank line for a parent .*never counted, remove them"),
        (b"a -1\nb\0 0\n", "line 2 with NUL"),
        (b"a -1\nb\xff 0\n", "line 2 not UTF-8"),
        (b"\n\n", "nothing but blank lines"),
        (b"a 1\nb 0\nc\n", "line 3 without a parent.*; lines 1, 2 each other's"),
        ("a -1\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_what_a_person_must_decide_is_refused_with_the_lines(
    content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        repair(write(tmp_path, content))


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"names": "one\n"}, r"x\.names has 1 line and x\.tree has 2"),
        ({"names": "one\n\nthree\n"}, r"x\.names has 3 lines and x\.tree has 2"),
        ({"names": "\ntwo\n"}, "line 1: nothing for the key 'b'"),
        ({"labels": "a\nb\n"}, "line 1: 'a' where x.tree has 'b'"),
        ({"labels": "b\n"}, r"x\.labels has 1 line and x\.tree has 2"),
    ],
)
def test_names_and_labels_that_do_not_fit_are_refused(
    beside: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        repair(write(tmp_path, "b 1\na -1\n", **beside))


def test_darknets_tree_is_right_and_comes_back_from_any_order(
    darknet_files: Path, tmp_path: Path
) -> None:
    tree = WordTree.load(darknet_files / "9k.tree")
    assert repair(darknet_files / "9k.tree").changes == []
    lines = np.random.default_rng(0).permutation(len(tree))
    place = np.argsort(lines)
    parents = [int(place[up]) if up >= 0 else -1 for up in tree.parent[lines].tolist()]
    rows = [f"{tree.keys[node]} {up}\n" for node, up in zip(lines, parents, strict=True)]
    path = write(tmp_path, "".join(rows), names="".join(f"{tree.names[at]}\n" for at in lines))
    found = repair(path)
    assert edges(found.tree) == edges(tree)
    assert [found.tree.keys[at] for at in found.remapped(place)] == list(tree.keys)


def test_a_chain_of_100_000_is_put_in_order(tmp_path: Path) -> None:
    count = 100_000
    rows = [f"k{at} {at + 1 if at + 1 < count else -1}\n" for at in range(count)]
    found = repair(write(tmp_path, "".join(rows)))
    assert found.tree.depth[-1] == count - 1
    assert found.order.tolist() == list(range(count - 1, -1, -1))
