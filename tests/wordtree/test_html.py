import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from wordtree import UserError, WordTree
from wordtree.formats.html import write_html

HOSTILE = [
    "<script>document.title = 1</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!--",
    "]]>",
    "&lt;&amp;",
    "'\"`",
    "two\nlines\r\u2028\u2029",
    "\u202ecod.exe",
    "\0\x1f\x85\ufeff\ufffe",
    "x" * 10_000,
    "",
]


class Page(HTMLParser):
    """What a parser of HTML finds: tags and their attributes, and the text inside each kind."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._inside: list[str] = []
        self.feed(file.read_text())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside[-1]][-1] += data

    @property
    def data(self) -> dict[str, Any]:
        """The JSON columns."""
        return json.loads(self.texts["script"][0])


def page(tree: WordTree, folder: Path, **options: Any) -> Page:
    write_html(tree, folder / "page.html", **options)
    return Page(folder / "page.html")


def parents(columns: dict[str, Any]) -> list[int]:
    """The parent of every node, from the parent and the size of every group."""
    pairs = zip(columns["above"], columns["sizes"], strict=True)
    return [above for above, size in pairs for _ in range(size)]


def test_the_page_holds_the_whole_tree(small_tree: WordTree, tmp_path: Path) -> None:
    columns = page(small_tree, tmp_path).data
    assert columns["keys"] == list(small_tree.keys)
    assert columns["names"] is None  # they are the keys
    assert parents(columns) == small_tree.parent.tolist()
    assert columns["labelled"] == "0100111111"
    assert columns["glosses"] is None
    assert columns["images"] is None
    assert columns["dataSets"] == []


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.booleans()), max_size=6))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_comes_out_of_a_parser_as_it_went_in(
    tmp_path: Path, nodes: list[tuple[str, bool]]
) -> None:
    keys = [f"k{at}" for at in range(len(nodes))]
    names = [name for name, _ in nodes]
    labelled = [flag for _, flag in nodes]
    tree = WordTree(keys, [at - 1 for at in range(len(nodes))], names, labelled)
    columns = page(tree, tmp_path, glosses=dict(zip(keys, names, strict=True))).data
    assert (columns["names"] or columns["keys"]) == names
    assert parents(columns) == tree.parent.tolist()
    assert columns["labelled"] in (None, "".join(str(int(flag)) for flag in labelled))
    assert (columns["glosses"] or [""] * len(nodes)) == names


def test_hostile_texts_add_no_tag(tmp_path: Path) -> None:
    keys = [f"{at}<script>&</script>'\"" for at in range(len(HOSTILE))]
    tree = WordTree(keys, [-1] * len(keys), HOSTILE)
    harmless = WordTree([f"k{at}" for at in range(len(keys))], [-1] * len(keys))
    title = "</title><script>1</script>"
    found = page(
        tree,
        tmp_path,
        title=title,
        glosses=dict(zip(keys, HOSTILE, strict=True)),
        data_sets={text: [0] for text in HOSTILE},
        images=dict.fromkeys(keys, 1),
    )
    assert found.data["names"] == HOSTILE
    assert found.texts["title"] == [title]
    plain = page(harmless, tmp_path)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert found.texts["script"][1] == plain.texts["script"][1]


def test_the_policy_allows_this_style_and_this_script_alone(
    small_tree: WordTree, tmp_path: Path
) -> None:
    found = page(small_tree, tmp_path)
    policy = next(
        attributes["content"] or ""
        for tag, attributes in found.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    def allowed(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == allowed(found.texts["style"][0])
    assert rules["script-src"] == allowed(found.texts["script"][1])
    assert "unsafe" not in policy


def test_nothing_in_the_page_is_loaded_from_an_address(
    small_tree: WordTree, tmp_path: Path
) -> None:
    found = page(small_tree, tmp_path)
    for _, attributes in found.tags:
        assert not set(attributes) & {"src", "srcset", "style", "action"}
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "data:").startswith(("data:", "#"))
    program = found.texts["style"][0] + found.texts["script"][1]
    assert not re.search(
        r"https?:|url\(|@import|fetch\(|XMLHttp|innerHTML|insertAdj|eval\(", program
    )


def test_the_same_tree_gives_the_same_bytes(small_tree: WordTree, tmp_path: Path) -> None:
    written = set()
    for name in ("one.html", "other.html"):
        write_html(small_tree, tmp_path / name, images={"dog": 3}, data_sets={"a": [1]})
        written.add((tmp_path / name).read_bytes())
    assert len(written) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.html", "other.html"]


def test_wnids_take_wordnets_definition_and_other_keys_none(tmp_path: Path) -> None:
    tree = WordTree(["n02084071", "mine", "n99999999"], [-1, 0, 0], ["dog", "mine", "odd"])
    glosses = page(tree, tmp_path).data["glosses"]
    assert glosses[0].startswith("a member of the genus Canis")
    assert '"' not in glosses[0]
    assert glosses[1:] == ["", ""]
    given = {"mine": "ours", "another tree's": "left out"}
    assert page(tree, tmp_path, glosses=given).data["glosses"] == ["", "ours", ""]
    assert page(tree, tmp_path, glosses={}).data["glosses"] is None


def test_categories_without_a_node_and_keys_of_other_trees_are_left_out(
    small_tree: WordTree, tmp_path: Path
) -> None:
    found = page(
        small_tree,
        tmp_path,
        data_sets={"photos": np.array([5, -1, 5, 4]), "none": []},
        images={"dog": np.int64(7), "cat": 0, "wolf": 9},
    ).data
    assert found["dataSets"] == [
        {"name": "photos", "nodes": [5, 5, 4]},
        {"name": "none", "nodes": []},
    ]
    assert found["images"] == {"nodes": [4, 5], "counts": [0, 7]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_sets": {"photos": [3, 10]}}, "'photos' has a category at node 10.* 10 nodes"),
        ({"data_sets": {"photos": [-2]}}, "node -2"),
        ({"images": {"dog": -1}}, "images of 'dog' is -1"),
        ({"images": {"dog": 1.5}}, "images of 'dog' is 1.5"),
        ({"glosses": {"dog": 3}}, "gloss of 'dog' is 3"),
        ({"glosses": {"dog": "\ud800"}}, "UTF-8"),
    ],
)
def test_what_does_not_fit_the_tree_is_refused_and_nothing_written(
    small_tree: WordTree, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        write_html(small_tree, tmp_path / "page.html", **options)
    assert not list(tmp_path.iterdir())


def test_a_deep_chain_and_an_empty_tree_are_written(tmp_path: Path) -> None:
    count = 100_000
    chain = WordTree([f"k{at}" for at in range(count)], np.arange(count) - 1)
    assert parents(page(chain, tmp_path).data) == chain.parent.tolist()
    assert page(WordTree([], []), tmp_path).data["keys"] == []


def test_the_page_of_darknets_tree_is_small(darknet_files: Path, tmp_path: Path) -> None:
    tree = WordTree.load(darknet_files / "9k.tree")
    columns = page(tree, tmp_path).data
    assert columns["names"] == list(tree.names)
    assert all(columns["glosses"])
    assert (tmp_path / "page.html").stat().st_size < 1_500_000
