import json
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from wordtree import UserError, WordTree
from wordtree.formats import FORMATS, read, write
from wordtree.formats.darknet import read_labels, read_map, write_map
from wordtree.formats.text import write_text


def test_darknets_own_files_go_round_byte_for_byte(darknet_files: Path, tmp_path: Path) -> None:
    tree = WordTree.load(darknet_files / "9k.tree")
    assert len(tree) == 9418
    assert len(tree.group_size) == 1846
    tree.save(tmp_path / "9k.tree")
    for ending in ("tree", "names", "labels"):
        written = (tmp_path / f"9k.{ending}").read_bytes()
        assert written == (darknet_files / f"9k.{ending}").read_bytes()
    for name in ("coco9k.map", "inet9k.map"):
        write_map(read_map(darknet_files / name), tmp_path / name)
        assert (tmp_path / name).read_bytes() == (darknet_files / name).read_bytes()
    tree.save(tmp_path / "9k.json")
    assert WordTree.load(tmp_path / "9k.json") == tree
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "9k.json",
        "9k.labels",
        "9k.names",
        "9k.tree",
        "coco9k.map",
        "inet9k.map",
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"a -1\nb 0\nc 0\n",
        b"a -1\r\nb 0\r\nc 0\r\n",
        b"\xef\xbb\xbfa -1\nb 0\nc 0\n",
        b"a\t-1\nb   0\n c 0 \n",
        b"a -1\nb 0\nc 0\n\n \n",
    ],
)
def test_line_ends_marks_and_blanks_do_not_matter(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.tree"
    file.write_bytes(content)
    assert read(file) == WordTree(["a", "b", "c"], [-1, 0, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "nothing but blank lines"),
        (b"\n \n\n", "nothing but blank lines"),
        (b"a -1\nb 0", "line 2: .*may be cut"),
        (b"a -1\nb\n", "line 2: 'b' is not a key and one whole number"),
        (b"a -1\n\nb 0\n", "line 2: '' is not a key"),
        (b"a -1\nb 0 0\n", "line 2"),
        (b"a -1\nb 0.5\n", "line 2"),
        (b"a -1\nb -2\n", "line 2"),
        (b"a -1\nb 0x0\n", "line 2"),
        (b"a -1\nb --1\n", "line 2"),
        ("a -1\nb ٠\n".encode(), "line 2"),
        (b"a -1\nb 99999999999999999999999\n", "line 2"),
        (b"a -1\nb 2\n", "line 2: .* numbered from 0 to 1"),
        (b"a -1\nb 1\n", "line 2: .*does not come before it"),
        (b"a 1\nb -1\n", "line 1: .*does not come before it"),
        (b"a -1\nb -1\nc 0\nd 1\ne 0\n", "line 5: 'e' is a child of 'a'.*side by side"),
        (b"a -1\nb 0\nc -1\n", "line 3: .*the top"),
        (b"a -1\nb 0\na 0\n", "line 3: the key 'a' is used already"),
        (b"a -1\nb\0\0 0\n", "line 2: .*NUL"),
        (b"a -1\n\xff 0\n", "line 2: the byte 0xff is not UTF-8"),
    ],
)
def test_a_tree_file_that_is_wrong_is_refused_with_its_line(
    content: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.tree"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("ending", "content", "message"),
    [
        (".names", "one\n", r"has 1 lines and x.tree has 2"),
        (".names", "one\n\ntwo\n", r"has 3 lines and x.tree has 2"),
        (".names", "\ntwo\n", r"line 1: the name of a is empty"),
        (".labels", "a\nc\n", r"line 2: 'c' stands where x.tree has 'b'"),
    ],
)
def test_names_and_labels_must_fit_their_tree(
    ending: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "x.tree").write_text("a -1\nb 0\n")
    (tmp_path / f"x{ending}").write_text(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "x.tree")


@pytest.mark.parametrize("content", ["1\n-1\n", "1\n\n2\n", "1 2\n", "1\n2", "x\n", ""])
def test_a_map_that_is_wrong_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.map").write_text(content)
    with pytest.raises(UserError, match=r"x\.map"):
        read_map(tmp_path / "x.map")


def test_a_list_of_labels_leaves_out_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("a\n\n  b c \r\n")
    assert read_labels(tmp_path / "labels") == ["a", "b c"]


@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=0, max_size=8), min_size=1, max_size=6)
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_format_holds_a_tree_unchanged_or_refuses_it(tmp_path: Path, texts: list[str]) -> None:
    keys = [f"k{at}" for at in range(len(texts))]
    parent = [at - 1 for at in range(len(texts))]
    tree = WordTree(keys, parent, texts)
    write(tree, tmp_path / "t.json")
    assert read(tmp_path / "t.json") == tree
    try:
        write(tree, tmp_path / "t.tree")
    except UserError:
        assert any(
            not name.strip() or set(name) & set("\r\n\0") or name[0] == "\ufeff" for name in texts
        )
    else:
        assert read(tmp_path / "t.tree") == tree


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[" * 100_000, "not a tree"),
        ("[]", "this is another file"),
        ('{"nodes": []}', "format None"),
        ('{"format": 2, "nodes": []}', "format 2"),
        ('{"format": 1, "nodes": [{"key": 1}]}', "node 0"),
        ('{"format": 1, "nodes": [{"key": "a", "parent": true}]}', "node 0"),
        ('{"format": 1, "nodes": [{"key": "a", "parent": -1}]}', "node 0"),
        ('{"format": 1, "nodes": [{"key": "a", "parent": 3}]}', "numbered from 0"),
        ('{"format": 1, "nodes": [{"key": "\\ud800"}]}', "UTF-8"),
    ],
)
def test_a_json_file_that_is_no_tree_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "x.json")


def test_darknets_files_refuse_what_they_cannot_hold(tmp_path: Path) -> None:
    for tree in (WordTree([], []), WordTree(["a b"], [-1]), WordTree(["a"], [-1], ["x\ny"])):
        with pytest.raises(UserError, match=r"x\.(tree|names)"):
            tree.save(tmp_path / "x.tree")
    assert not list(tmp_path.iterdir())


def test_an_unknown_ending_and_a_missing_file_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.tree, \.json, .* or \.html, not '\.txt'"):
        WordTree.load(tmp_path / "x.txt")
    with pytest.raises(UserError, match="ends in .*, not 'nothing'"):
        WordTree(["a"], [-1]).save(tmp_path / "x")
    with pytest.raises(UserError, match="cannot be read"):
        WordTree.load(tmp_path / "x.tree")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        WordTree.load(tmp_path / "folder.json")


def test_each_format_has_one_ending_to_write_and_some_are_never_read(tmp_path: Path) -> None:
    written = {form.name: ending for ending, form in FORMATS.items()}
    assert written == {
        "darknet": ".tree",
        "json": ".json",
        "csv": ".csv",
        "graphml": ".graphml",
        "newick": ".newick",
        "dot": ".dot",
        "html": ".html",
    }
    WordTree(["a"], [-1]).save(tmp_path / "x.dot")
    for ending in (".dot", ".html"):
        with pytest.raises(UserError, match=r"only written; .* \.tree, .*\.nwk or \.newick$"):
            read(tmp_path / f"x{ending}")
    WordTree(["a"], [-1]).save(tmp_path / "x.NWK")
    assert len(read(tmp_path / "x.NWK")) == 1


def tree_or_sentence(make: Callable[[], WordTree]) -> WordTree | str:
    """What is made, or why it was refused."""
    try:
        return make()
    except UserError as error:
        return str(error)


def slow_read(text: str) -> list[tuple[str, int]] | int:
    """The rows of a `.tree`, or the number of the first line that is none."""
    rows = []
    for at, line in enumerate(text.rstrip().split("\n")):
        words = line.split()
        sign_free = words[1].removeprefix("-") if len(words) == 2 else ""
        if not sign_free or not all(digit in "0123456789" for digit in sign_free):
            return at + 1
        if int(words[1]) < -1:
            return at + 1
        rows.append((words[0], int(words[1])))
    return rows


@given(
    st.lists(
        st.one_of(
            st.builds("{} {}".format, st.text("abc", min_size=1), st.integers(-2, 4)),
            st.text("ab 01-+_\t\x0b\x85٠", max_size=6),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_columns_read_at_once_are_those_of_a_look_at_each_line(
    tmp_path: Path, lines: list[str]
) -> None:
    file = tmp_path / "x.tree"
    file.write_text("\n".join([*lines, ""]), encoding="utf-8", newline="")
    rows = slow_read("\n".join(lines)) if "".join(lines).strip() else []
    found = tree_or_sentence(lambda: read(file))
    if isinstance(rows, int):
        assert f"line {rows}: " in str(found)
        assert "is not a key and one whole number" in str(found)
    elif not rows:
        assert "nothing but blank lines" in str(found)
    elif isinstance(found, WordTree):
        assert rows == list(zip(found.keys, found.parent.tolist(), strict=True))
    else:
        with pytest.raises(UserError):
            WordTree([key for key, _ in rows], [above for _, above in rows])


VALUES = st.sampled_from([None, True, False, 0, 1, -1, 2**62, 0.0, "a", "b", [], {}])


@given(
    st.lists(
        st.one_of(
            st.fixed_dictionaries(
                {"key": st.sampled_from("abcd")},
                optional={"parent": VALUES, "name": VALUES, "labelled": VALUES},
            ),
            VALUES,
        ),
        max_size=3,
    )
)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_json_columns_checked_at_once_name_the_first_node_that_a_look_at_each_finds(
    tmp_path: Path, nodes: list[object]
) -> None:
    def is_node(node: object) -> bool:
        if not isinstance(node, dict):
            return False
        above = node.get("parent")
        return (
            isinstance(node.get("key"), str)
            and (above is None or (type(above) is int and 0 <= above < 2**62))
            and isinstance(node.get("name", ""), str)
            and isinstance(node.get("labelled", True), bool)
        )

    file = tmp_path / "x.json"
    file.write_text(json.dumps({"format": 1, "nodes": nodes}))
    wrong = [at for at, node in enumerate(nodes) if not is_node(node)]
    if wrong:
        with pytest.raises(UserError, match=f"node {wrong[0]}: .* is not an object with key"):
            read(file)
        return
    columns: list[dict] = [node for node in nodes if isinstance(node, dict)]
    expected = tree_or_sentence(
        lambda: WordTree(
            [node["key"] for node in columns],
            [-1 if node.get("parent") is None else node["parent"] for node in columns],
            [node.get("name", node["key"]) for node in columns],
            [node.get("labelled", True) for node in columns],
        )
    )
    found = tree_or_sentence(lambda: read(file))
    assert found == (f"{file}: {expected}" if isinstance(expected, str) else expected)


def test_a_file_name_that_is_not_utf8_is_written_so_that_text_stays_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    write_text(tmp_path / "inputs.txt", f"ü\t{name}\n")
    assert (tmp_path / "inputs.txt").read_text("utf-8") == "ü\tcaf\\udce9.jpg\n"
