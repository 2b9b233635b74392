from __future__ import annotations

import re
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from wordtree import UserError, WordTree
from wordtree.formats.darknet import read_darknet
from wordtree.inspection.lint import Problem, lint
from wordtree.inspection.rows import read_rows

IN_PLACE = [HealthCheck.function_scoped_fixture]


def write(folder: Path, tree: bytes | str, **beside: str) -> Path:
    path = folder / "x.tree"
    for name, content in {"tree": tree, **beside}.items():
        data = content if isinstance(content, bytes) else content.encode()
        path.with_suffix(f".{name}").write_bytes(data)
    return path


def errors(problems: list[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == "error"]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"", 1, "nothing but blank lines"),
        (b"a -1\nb 0", 2, "no line end.*lost digits"),
        (b"a -1\nb\n", 2, "'b' has no parent.*silently makes it a top node"),
        (b"a -1\n\nb 0\nc 0\n", 2, "blank, which darknet reads as a nameless top node, number 1"),
        (b"a -1\nhot dog 0\n", 2, "more than two words: darknet takes 'hot' for the key"),
        (b"a -1\nb 0.5\n", 2, "'0.5' of 'b' is no whole number"),
        (b"a -1\nb -2\n", 2, "only -1 means a top node"),
        (b"a -1\nb 7\n", 2, "number 7, but the 2 lines.*from 0 to 1.*outside its arrays"),
        (b"a -1\nb 2\nc 0\n", 2, r"number 2 \(line 3\), which comes after it"),
        (b"a 1\nb -1\n", 1, "first node 'a' is not at the top.*answers node 0"),
        (b"a -1\nb 1\n", 2, "'b' is its own parent.*endless loop"),
        (b"a -1\nb 2\nc 1\n", 2, "each other's ancestors.*lines 2, 3.*endless loop"),
        (b"a -1\nb -1\nc 0\nd 1\ne 0\n", 5, "children of 'a' begin here again.*line 3.*softmaxes"),
        (b"a -1\nb 0\nc -1\n", 3, "top nodes begin here again.*'c' and all below.*never"),
        (b"a -1\nb 0\na 0\n", 3, "key 'a' is used already in line 1"),
        (b"a -1\nb\0 0\n", 2, "NUL bytes"),
        (b"a -1\n\xff 0\n", 2, "not UTF-8"),
        (b"a -1\nb " + b"x" * 100_000 + b"\n", 2, "longer than 65,536 bytes"),
        (b"a -1\rb 0\r\n", 1, "carriage returns inside"),
        ("a -1\nb 0\n".encode("utf-16"), 1, "UTF-16"),
        (b"a -1\n\nb 1\n", 3, r"number 1 \(line 2\), which is not a node"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_what_darknet_does(
    content: bytes, line: int, words: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    found = [problem for problem in errors(lint(path)) if problem.line == line]
    texts = [problem.problem for problem in found]
    assert any(re.search(words, text) for text in texts), texts
    assert all(problem.remedy for problem in found)
    with pytest.raises(UserError):
        read_darknet(path)


@pytest.mark.parametrize(
    ("content", "line", "severity", "words"),
    [
        (b"a -1\r\nb 0\r\n", 1, "note", "2 lines end in CRLF"),
        (b"\xef\xbb\xbfa -1\nb 0\n", 1, "warning", "byte order mark.*part of the first key"),
        (b"a -1\nb \t 0\nc 00\n", 2, "note", "2 lines have tabs, several blanks or leading zeros"),
        (b"a -1\nb 0\n\n\n", 3, "warning", "2 blank lines at the end, each.*one more top node"),
        (b"a -1\nb -1\n", 1, "note", "2 top nodes"),
        (b"a -1\nb 0\n", 2, "warning", "'b' is the only child of 'a'.*constant 1"),
        (b"a -1\nb 0\n", 1, "warning", "'a' is the only top node"),
        (b"a -1\n" + b"k" * 256 + b" 0\n", 2, "warning", "256 bytes; darknet has room for 255"),
        (b"dog -1\nhotdog 0\n", 1, "warning", "1 key is part of another .'dog' of 'hotdog'"),
    ],
)
def test_what_is_read_all_the_same_is_a_warning_or_a_note(
    content: bytes, line: int, severity: str, words: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    read_darknet(path)
    found = lint(path)
    assert not errors(found)
    assert any(
        problem.line == line and problem.severity == severity and re.search(words, problem.problem)
        for problem in found
    ), found


def test_a_key_of_255_bytes_has_room(tmp_path: Path) -> None:
    texts = [problem.problem for problem in lint(write(tmp_path, f"a -1\n{'é' * 127}k 0\n"))]
    assert not any("has room for" in text for text in texts)
    texts = [problem.problem for problem in lint(write(tmp_path, f"a -1\n{'é' * 128} 0\n"))]
    assert any("has room for" in text for text in texts)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("a\nc\nc\n", "line 2.*: 'c' stands where x.tree has 'b'"),
        ("a\nb\nz\nc\n", "4 lines for 3 nodes; .*line 3: 'z' is missing from x.tree"),
        ("a\nc\n", "2 lines for 3 nodes; .*line 2: 'b' is missing here"),
        ("a\nb\n", "all 2 agree"),
        ("a\nq\nr\ns\n", "line 2: 'q' where x.tree has 'b'"),
        ("\n", "nothing but blank lines"),
    ],
)
def test_labels_that_do_not_fit_name_the_first_line_that_disagrees(
    labels: str, words: str, tmp_path: Path
) -> None:
    path = write(tmp_path, "a -1\nb 0\nc 0\n", labels=labels)
    texts = [f"line {problem.line}: {problem.problem}" for problem in errors(lint(path))]
    assert any(re.search(words, text) for text in texts), texts
    with pytest.raises(UserError):
        read_darknet(path)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("one\n\nthree\n", "line 2: x.names: the name of 'b' is empty"),
        ("one\ntwo\n", "line 3: .*2 names for 3 nodes.*names are missing"),
        ("one\ntwo\nthree\nfour\n", "line 4: .*a name was added or a node removed"),
        ("one\ntwo\0\nthree\n", "line 2: x.names: the line has NUL bytes"),
    ],
)
def test_names_that_do_not_fit_are_an_error(names: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a -1\nb 0\nc 0\n", names=names)
    texts = [f"line {problem.line}: {problem.problem}" for problem in errors(lint(path))]
    assert any(re.search(words, text) for text in texts), texts
    with pytest.raises(UserError):
        read_darknet(path)


def test_names_that_repeat_are_counted_with_an_example(tmp_path: Path) -> None:
    path = write(tmp_path, "a -1\nb 0\nc 0\nd 1\n", names="x\ny\nx\nx\n")
    (found,) = [problem for problem in lint(path) if "repeat" in problem.problem]
    assert (found.severity, found.line) == ("warning", 1)
    assert "2 names repeat one used already ('x' is the name of a, c, d, say)" in found.problem


@pytest.mark.parametrize(
    ("content", "line", "severity", "words"),
    [
        ("1\n3\n", 2, "error", r"category 1 \('two'\) is node 3, but nodes.* from 0 to 2"),
        ("1\n-1\n", 2, "error", "no way to leave a category out"),
        ("\n1\n", 1, "error", r"blank, which darknet reads as 0: category 0 \('one'\) is 'a'"),
        ("1\nb\n", 2, "error", "'b' is not one whole number"),
        ("1\n2", 2, "error", "digits"),
        ("1\n", 2, "error", "1 line for the 2 categories"),
        ("", 1, "error", "nothing but blank lines"),
        ("1\n1\n", 2, "warning", r"category 1 \('two'\) and category 0 \('one'\) are both 'b'"),
        ("0\n1\n", 2, "note", r"category 1 \('two'\) stands below category 0 \('one'\)"),
    ],
)
def test_a_map_is_checked_against_its_tree_and_its_categories(
    content: str, line: int, severity: str, words: str, tmp_path: Path
) -> None:
    path = write(tmp_path, "a -1\nb 0\nc 0\n")
    (tmp_path / "voc.map").write_text(content)
    (tmp_path / "voc.names").write_text("one\ntwo\n")
    found = [
        problem
        for problem in lint(path, maps=[tmp_path / "voc.map"])
        if problem.line == line and problem.severity == severity
    ]
    assert any(
        problem.problem.startswith("voc.map: ") and re.search(words, problem.problem)
        for problem in found
    ), found


def test_a_right_map_has_no_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "a -1\nb 0\nc 0\n")
    (tmp_path / "voc.map").write_text("2\n1\n")
    assert lint(path, maps=[tmp_path / "voc.map"]) == lint(path)


def test_ten_of_a_kind_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "a -1\n" + "".join(f"n{at:02d} 99\n" for at in range(30)))
    outside = [problem for problem in lint(path) if problem.severity == "error"]
    assert [problem.line for problem in outside] == [*range(2, 12), 12]
    assert outside[-1].problem == "and 20 more parents that are out of range"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a 0\nb 1\nc 1\n", "counted from 1, with 0 for the top"),
        ("a -1\nb -1\nc 2\nd 2\n", "counted from 1, with -1 for the top"),
        ("a -1\nb 1\nc 1\nd 2\n", "counted from 1, with -1 for the top"),
        ("a -1\nb -1\nc 0\nd 1\ne 0\n", None),
    ],
)
def test_numbers_counted_from_one_are_recognised(
    content: str, expected: str | None, tmp_path: Path
) -> None:
    texts = [problem.problem for problem in lint(write(tmp_path, content))]
    found = [text for text in texts if "counted from" in text]
    assert (expected in found[0]) if expected else (found == [])


def test_lines_removed_by_hand_are_told_as_such(tmp_path: Path) -> None:
    tree = "a -1\nb -1\nc 0\nd 0\ne 3\nf 3\n"
    lines = tree.splitlines(keepends=True)
    labels = "".join(f"{line[0]}\n" for line in lines)
    path = write(tmp_path, "".join([*lines[:1], *lines[2:]]), labels=labels)
    texts = [problem.problem for problem in errors(lint(path))]
    assert any("'b' is missing from x.tree, whose parents' numbers may still" in t for t in texts)


def test_darknets_own_files_have_no_error(darknet_files: Path) -> None:
    names = [darknet_files / "coco.names"]
    found = lint(darknet_files / "9k.tree", maps=[darknet_files / "coco9k.map"], categories=names)
    assert not errors(found)
    assert any("662 names repeat" in problem.problem for problem in found)
    # 46 groups of one: ten are listed.
    assert any(problem.problem == "and 36 more groups of one" for problem in found)
    below = [problem.problem for problem in found if "stands below" in problem.problem]
    assert ["'parking meter'" in below[0], "'hot dog'" in below[1]] == [True, True]


def test_only_a_file_that_cannot_be_read_raises(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.tree", tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            lint(missing)
    path = write(tmp_path, "a -1\nb 0\n")
    with pytest.raises(UserError, match="cannot be read"):
        lint(path, maps=[tmp_path / "none.map"])
    path.with_suffix(".names").mkdir()
    assert any("x.names cannot be read" in problem.problem for problem in errors(lint(path)))


def test_other_formats_tell_the_readers_fault_or_the_trees_problems(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('{"format": 1,\n "nodes": [}')
    (problem,) = lint(file)
    assert (problem.line, problem.severity) == (2, "error")
    assert problem.problem.startswith("not JSON")
    WordTree(["a", "b", "c", "d"], [-1, 0, 0, 1], ["x", "y", "x", "z"]).save(file)
    texts = [problem.problem for problem in lint(file)]
    assert len(texts) == 3
    assert "1 name repeats one used already" in texts[0]
    assert "'x' (a) is the only top node" in texts[1]


def test_a_long_line_costs_no_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "x.tree"
    with path.open("wb") as file:
        file.write(b"a -1\n")
        file.truncate(200_000_000)  # a sparse line of NULs
    tracemalloc.start()
    found = lint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
    assert any("longer than" in problem.problem for problem in found)


VALID = [
    "a -1\nb -1\nc 0\nd 0\ne 1\nf 1\ng 2\nh 2\n",
    "n01 -1\nn02 0\nn03 0\nn04 2\nn05 2\n",
    "k -1\n",
]


@st.composite
def mutated(draw: st.DrawFn, text: str) -> bytes:
    """A few bytes of a file changed, lines moved, doubled, dropped."""
    data = text.encode()
    for _ in range(draw(st.integers(0, 3))):
        lines = data.splitlines(keepends=True) or [b""]
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["byte", "drop", "double", "move", "insert", "cut"]))
        if how == "byte" and data:
            place = draw(st.integers(0, len(data) - 1))
            pieces = [b"-", b"0", b"9", b" ", b"\t", b"\n", b"\r", b"\0", b"\xff", b"a", b"\x1f"]
            pieces += [b"\xc2\xa0", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xd9\xa0", b""]
            data = data[:place] + draw(st.sampled_from(pieces)) + data[place + 1 :]
            continue
        if how == "cut":
            data = data[: draw(st.integers(0, len(data)))]
            continue
        line = lines[at]
        if how in ("drop", "move"):
            del lines[at]
        if how in ("double", "move"):
            lines.insert(draw(st.integers(0, len(lines))), line)
        if how == "insert":
            extra = [b"\n", b" \r\n", b"z 0\n", b"z 99999999999999999999\n", b"\xef\xbb\xbf"]
            lines.insert(at, draw(st.sampled_from(extra)))
        data = b"".join(lines)
    return data


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=IN_PLACE)
def test_lint_has_an_error_exactly_where_the_reader_refuses(
    tmp_path: Path, data: st.DataObject
) -> None:
    tree = data.draw(st.sampled_from(VALID))
    keys = "".join(f"{line.split()[0]}\n" for line in tree.splitlines())
    path = tmp_path / "x.tree"
    path.write_bytes(data.draw(mutated(tree)))
    for ending in (".names", ".labels"):
        beside = path.with_suffix(ending)
        beside.unlink(missing_ok=True)
        if data.draw(st.booleans()):
            beside.write_bytes(data.draw(mutated(keys)))
    refused = ""
    try:
        read_darknet(path)
    except UserError as error:
        refused = str(error)
    assert bool(errors(lint(path))) == bool(refused), refused


@given(st.data(), st.integers(1, 9))
@settings(max_examples=100, deadline=None, suppress_health_check=IN_PLACE)
def test_where_a_block_of_the_file_ends_does_not_matter(
    tmp_path: Path, data: st.DataObject, size: int
) -> None:
    path = tmp_path / "x.tree"
    path.write_bytes(data.draw(mutated(VALID[0])))
    whole = read_rows(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wordtree.inspection.rows._BLOCK", size)
        parts = read_rows(path)
    assert (parts.texts, parts.faults, parts.keys) == (whole.texts, whole.faults, whole.keys)
    assert parts.parent.tolist() == whole.parent.tolist()


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None, suppress_health_check=IN_PLACE)
def test_lint_survives_any_bytes(tmp_path: Path, content: bytes) -> None:
    for ending in ("tree", "names", "labels", "map", "json"):
        (tmp_path / f"x.{ending}").write_bytes(content)
    lint(tmp_path / "x.tree", maps=[tmp_path / "x.map"], categories=[tmp_path / "x.names"])
    assert lint(tmp_path / "x.json")
