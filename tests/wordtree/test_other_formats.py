import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from wordtree import UserError, WordTree
from wordtree.formats import FORMATS, read, write

ENDINGS = (".csv", ".graphml", ".newick")
READ = tuple({form.name: ending for ending, form in FORMATS.items() if form.read}.values())
SHARED_FOLDER = [HealthCheck.function_scoped_fixture]

PIECES = [
    *",;:()[]{}'\"&<>=+-@_%\\/|#$` \t\x7f",
    *("\u200f", "\u202e", "\u2028", "\x85", "\ufeff", "＝", "é", "犬", "🐕", "e\u0301"),
    *("'=", "''", "%41", "&amp;", "]]>", "<script>", "<!DOCTYPE a>", "[&&NHX:name=x]", "-1", "a"),
]
KEYS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)
NAMES = st.one_of(
    st.lists(st.sampled_from([*PIECES, "\n", "\r", "\r\n"]), max_size=4).map("".join),
    st.text(st.characters(codec="utf-8"), max_size=6),
)


@st.composite
def trees(draw: st.DrawFn) -> WordTree:
    """Any tree with texts that are hard to write; its order need not be breadth first."""
    parent = [-1] * draw(st.integers(0, 3))
    leaves = list(range(len(parent)))
    while leaves and len(parent) < 12 and draw(st.booleans()):
        above = leaves.pop(draw(st.integers(0, len(leaves) - 1)))
        children = range(len(parent), len(parent) + draw(st.integers(1, 3)))
        leaves += children
        parent += [above] * len(children)
    count = len(parent)
    keys = draw(st.lists(KEYS, min_size=count, max_size=count, unique=True))
    names = draw(st.lists(st.one_of(st.none(), NAMES), min_size=count, max_size=count))
    flags = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    shown = [key if name is None else name for key, name in zip(keys, names, strict=True)]
    return WordTree(keys, parent, shown, flags)


# What a format cannot hold, of the names of a tree.
BEYOND: dict[str, Callable[[str], bool]] = {
    ".csv": lambda name: "\0" in name or "\r\n" in name,
    ".graphml": lambda name: bool(re.search("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", name)),
    ".newick": lambda _: False,
}


@pytest.mark.parametrize("ending", ENDINGS)
@given(tree=trees())
@settings(max_examples=100, deadline=None, suppress_health_check=SHARED_FOLDER)
def test_any_tree_comes_back_equal_or_is_refused_where_a_format_cannot_hold_a_name(
    tmp_path: Path, ending: str, tree: WordTree
) -> None:
    file = tmp_path / f"t{ending}"
    if any(map(BEYOND[ending], tree.names)):
        file.unlink(missing_ok=True)
        with pytest.raises(UserError, match=r"write \.json$"):
            write(tree, file)
        assert not file.exists()
    else:
        write(tree, file)
        assert read(file) == tree


@pytest.mark.parametrize("ending", [*ENDINGS, ".json"])
def test_very_long_names_and_the_empty_tree_come_back(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"t{ending}"
    for tree in (WordTree([], []), WordTree(["a", "b"], [-1, 0], ["x'," * 3_400, "<&" * 5_000])):
        write(tree, file)
        assert read(file) == tree


@pytest.mark.parametrize("ending", ENDINGS)
def test_darknets_tree_keeps_its_order_which_is_not_breadth_first(
    ending: str, darknet_files: Path, tmp_path: Path
) -> None:
    tree = WordTree.load(darknet_files / "9k.tree")
    assert np.any(np.diff(tree.parent) < 0)
    tree.save(tmp_path / f"t{ending}")
    assert WordTree.load(tmp_path / f"t{ending}") == tree


@pytest.mark.parametrize(("ending", "depth"), [(".csv", 100_000), (".newick", 100_000)])
def test_a_chain_of_100000_is_written_and_read(ending: str, depth: int, tmp_path: Path) -> None:
    chain = WordTree(map(str, range(depth)), np.arange(depth) - 1)
    chain.save(tmp_path / f"t{ending}")
    assert WordTree.load(tmp_path / f"t{ending}") == chain


SMALL = WordTree(
    ["animal", "tool", "d'og", "=cat"],
    [-1, -1, 0, 0],
    ["animal", "a, b", "<dog>", "cat\nof two lines"],
    [False, True, True, False],
)


@pytest.mark.parametrize("ending", [*ENDINGS, ".json"])
def test_byte_order_marks_and_windows_line_ends_do_not_matter(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"t{ending}"
    write(SMALL, file)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert read(file) == SMALL


@pytest.mark.parametrize("ending", [*ENDINGS, ".json"])
def test_a_file_cut_at_any_byte_is_refused(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"t{ending}"
    write(SMALL, file)
    whole = file.read_bytes()
    for length in range(len(whole.rstrip())):
        # Whole rows that are left off cannot be seen in a table.
        if ending == ".csv" and whole[:length].endswith((b"1\n", b"0\n", b"labelled\n")):
            continue
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"t\.\w+"):
            read(file)


@pytest.mark.parametrize("ending", READ)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "blank|JSON"),
        (b" \n\n", "blank|JSON"),
        (b"a\n\0\n", "line 2: .*NUL"),
        (b"a\n\nd\xf6g\n", "line 3: .*0xf6 is not UTF-8"),
        ("a -1\n".encode("utf-16"), "line 1: .*NUL"),
    ],
)
def test_a_file_that_is_no_text_is_refused_by_all_readers(
    ending: str, content: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / f"t{ending}"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(file)


def assert_tree_or_sentence(file: Path) -> None:
    """Any other exception than a UserError ends the test."""
    try:
        sentence = "" if isinstance(read(file), WordTree) else "something else"
    except UserError as error:
        sentence = str(error)
    assert not sentence or str(file.parent) in sentence
    assert len(sentence) < 600


@pytest.mark.parametrize("ending", READ)
@given(content=st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(PIECES)).map("".join)))
@settings(max_examples=150, deadline=None, suppress_health_check=SHARED_FOLDER)
def test_any_bytes_are_a_tree_or_one_sentence(
    tmp_path: Path, ending: str, content: bytes | str
) -> None:
    file = tmp_path / f"t{ending}"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_tree_or_sentence(file)


SLICES = st.tuples(st.integers(0, 10_000), st.integers(0, 12))
INSERTED = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [
            *(b"'", b'"', b"(", b")", b"[", b"]", b",", b":", b";", b"\n", b"<", b"</", b">"),
            *(b"&#13;", b"&lol;", b"<node>", b"<graph>", b"<key/>", b"-1", b"9" * 30, b"null"),
            *(b"[[", b"{}", b":at=0", b":labelled=2", b":name=%FF", b"'=", b"1e999"),
            *(b"\xed\xa0\x80", b"\\ud800"),
        ]
    ),
)


@pytest.mark.parametrize("ending", READ)
@given(changes=st.lists(st.tuples(SLICES, INSERTED, SLICES), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None, suppress_health_check=SHARED_FOLDER)
def test_a_damaged_file_is_a_tree_or_one_sentence(
    tmp_path: Path, ending: str, changes: list[tuple[tuple[int, int], bytes, tuple[int, int]]]
) -> None:
    file, whole = tmp_path / f"t{ending}", tmp_path / f"whole{ending}"
    if not whole.exists():
        write(WordTree(SMALL.keys, SMALL.parent) if ending == ".tree" else SMALL, whole)
    content = whole.read_bytes()
    for (start, length), new, (other, size) in changes:
        start, other = start % (len(content) + 1), other % (len(content) + 1)
        content = content[:start] + new + content[other : other + size] + content[start + length :]
    file.write_bytes(content)
    assert_tree_or_sentence(file)


DOT_TOKEN = re.compile(r'\s+|->|[{};=,[\]]|\w+|"(?:[^"\\]|\\.)*"', re.DOTALL)


def dot_statements(text: str) -> list[list[str]]:
    """The tokens of each statement; fails where the text is no run of tokens."""
    tokens, end = [], 0
    while end < len(text):
        found = DOT_TOKEN.match(text, end)
        assert found, text[end : end + 20]
        tokens.append(found[0])
        end = found.end()
    words = [token for token in tokens if not token.isspace()]
    assert words[:3] == ["digraph", "wordtree", "{"]
    assert words[-1] == "}"
    statements: list[list[str]] = [[]]
    for word in words[3:-1]:
        if word == ";":
            statements.append([])
        else:
            statements[-1].append(word)
    return statements[:-1]


def unquoted(token: str) -> str:
    """What Graphviz makes of a quoted text, escapes and entities of labels included."""
    plain = re.sub(
        r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), token[1:-1], flags=re.DOTALL
    )
    return plain.replace("&amp;", "&")


@given(tree=trees())
@settings(max_examples=100, deadline=None, suppress_health_check=SHARED_FOLDER)
def test_graphviz_text_has_every_node_and_edge_with_names_unharmed(
    tmp_path: Path, tree: WordTree
) -> None:
    file = tmp_path / "t.dot"
    if any("\0" in name for name in tree.names):
        with pytest.raises(UserError, match="NUL"):
            write(tree, file)
        return
    write(tree, file)
    statements = dot_statements(file.read_bytes().decode())
    assert statements[:2] == [["rankdir", "=", "LR"], ["node", "[", "shape", "=", "box", "]"]]
    nodes = statements[2 : 2 + len(tree)]
    ids = [words[0] for words in nodes]
    assert len(set(ids)) == len(tree)
    for node, words in zip(tree, nodes, strict=True):
        assert words[1:4] == ["[", "label", "="]
        lines = node.name.replace("\r\n", "\n").replace("\r", "\n")
        assert unquoted(words[4]) == lines
        dashed = [] if node.labelled else [",", "style", "=", "dashed"]
        assert words[5:] == [*dashed, "]"]
    edges = {(words[0], words[2]) for words in statements[2 + len(tree) :]}
    assert edges == {
        (ids[above], ids[at]) for at, above in enumerate(tree.parent.tolist()) if above >= 0
    }


def test_loading_the_formats_loads_neither_networkx_nor_wordnet() -> None:
    code = (
        "import sys, wordtree.formats;"
        "print([name for name in ('networkx', 'nltk', 'yaml', 'wordtree.wordnet') "
        "if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
