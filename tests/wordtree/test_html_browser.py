"""The HTML page in Chromium without a window, as a user has it: opened from a file, offline."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.html_page import INTERACTION_MS, OPEN_MS, interactions, open_chromium, opening
from wordtree import UserError, WordTree
from wordtree.formats.html import write_html

SLOWER = 5  # a machine of the suite, shared with others, against a user's
FRAMES = "const done = arguments[0]; requestAnimationFrame(() => setTimeout(done));"
SHOWN = """
return [...document.querySelectorAll("#wt-outline .row:not([hidden])")]
  .map((row) => [Number(row.dataset.node), row.textContent])
"""
ARROWS = {"down": "\ue015", "up": "\ue013", "left": "\ue012", "right": "\ue014"}
ENTER, ESCAPE, HOME, END = "\ue007", "\ue00c", "\ue011", "\ue010"


class User:
    """A person before the page: clicks, types, looks."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.browser = browser
        self.folder = folder

    def open(self, tree: WordTree, fragment: str = "", **options: Any) -> float:
        """Writes and opens the page of a tree; milliseconds until it can be used."""
        file = self.folder / "page.html"
        write_html(tree, file, **options)
        return opening(self.browser, file.as_uri() + fragment)

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def click(self, selector: str) -> None:
        self.find(selector).click()
        self.wait()

    def row(self, node: int, part: str = ".name") -> str:
        """The selector of a part of a node's row."""
        return f"#wt-row-{node} {part}"

    def press(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        self.browser.switch_to.active_element.send_keys(*keys)
        self.wait()

    def search(self, text: str) -> None:
        """Types this in the search box, in place of what is there."""
        self.find("#wt-search").clear()
        self.find("#wt-search").send_keys(text)
        self.wait()

    def run(self, script: str) -> Any:
        return self.browser.execute_script(script)

    def wait(self) -> None:
        """Until what was asked for is drawn."""
        self.browser.execute_async_script(FRAMES)
        self.browser.execute_async_script(FRAMES)

    @property
    def shown(self) -> list[int]:
        """The nodes of the rows, from the top."""
        return [node for node, _ in self.run(SHOWN)]

    @property
    def selected(self) -> int:
        row = self.find("#wt-outline .row[aria-selected='true']:not([hidden])")
        return int(row.get_attribute("data-node"))

    @property
    def fragment(self) -> str:
        # The address follows a held key with a delay, so that no browser refuses it.
        self.browser.execute_async_script("setTimeout(arguments[0], 300)")
        return self.run("return location.hash")

    @property
    def facts(self) -> dict[str, str]:
        """The numbers of the details."""
        script = "return [...document.querySelectorAll('.facts div')].map((d) => d.innerText)"
        return dict(entry.split("\n", 1) for entry in self.run(script))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        chromium = open_chromium()
    except UserError as error:
        pytest.skip(str(error))
    yield chromium
    chromium.quit()


@pytest.fixture
def user(browser: Any, tmp_path: Path) -> Iterator[User]:
    """A user; at the end nothing was loaded, refused or reported as an error."""
    yield User(browser, tmp_path)
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == []


@pytest.fixture
def tree(small_tree: WordTree) -> WordTree:
    """The small tree with wnids for keys: n00000000, and so on."""
    keys = [f"n{at:08d}" for at in range(len(small_tree))]
    return WordTree(keys, small_tree.parent, small_tree.names, small_tree.labelled)


THING, PLANT, ANIMAL, TOOL, CAT, DOG, HAMMER, SAW, POODLE, TERRIER = range(10)


def in_order(tree: WordTree, is_open: Callable[[int], bool]) -> list[int]:
    """The nodes that show where these are open, by recursion."""

    def below(node: int) -> list[int]:
        children = tree.children(node).tolist() if is_open(node) else []
        return [node, *(other for child in children for other in below(child))]

    top = np.flatnonzero(tree.parent < 0).tolist()
    return [node for start in top for node in below(start)]


def test_a_click_on_a_triangle_expands_and_collapses(user: User, tree: WordTree) -> None:
    user.open(tree)
    user.click("#wt-collapse")
    assert user.shown == [THING, PLANT]
    user.click(user.row(THING, ".twist"))
    assert user.shown == [THING, ANIMAL, TOOL, PLANT]
    assert user.find("#wt-row-0").get_attribute("aria-expanded") == "true"
    user.click(user.row(ANIMAL, ".twist"))
    user.click(user.row(CAT))
    assert user.selected == CAT
    user.click(user.row(THING, ".twist"))
    assert user.shown == [THING, PLANT]
    assert user.selected == THING  # what was selected is hidden


def test_the_outline_opens_to_any_depth(user: User, tree: WordTree) -> None:
    user.open(tree)
    for depth in (0, 2, 1, 3):
        field = user.find("#wt-level")
        field.clear()
        field.send_keys(str(depth))
        user.wait()
        assert user.shown == in_order(tree, lambda node, depth=depth: tree.depth[node] < depth)
    user.click("#wt-collapse")
    user.click("#wt-expand")
    assert user.shown == in_order(tree, lambda _: True)


def test_search_finds_by_name_and_by_wnid_and_walks_through_the_hits(
    user: User, tree: WordTree
) -> None:
    user.open(tree)
    user.click("#wt-collapse")
    user.press("/")
    user.press("T")
    hits = "return [...document.querySelectorAll('#wt-hits .item .name')].map((e) => e.innerText)"
    # Beginnings first, the shorter first; then the other names that have it.
    assert user.run(hits) == ["tool", "thing", "terrier", "cat", "plant"]
    assert user.text("#wt-count") == "5 hits"
    assert user.shown == [THING, PLANT]  # typing alone opens nothing
    user.press(ENTER)
    assert (user.selected, user.text("#wt-count")) == (TOOL, "1 of 5 hits")
    user.press(ARROWS["up"])
    assert (user.selected, user.text("#wt-count")) == (PLANT, "5 of 5 hits")
    user.press(ARROWS["down"], ARROWS["down"], ARROWS["down"])
    assert user.selected == TERRIER
    assert user.text(user.row(TERRIER, "mark")) == "t"
    assert user.fragment == "#n00000009"
    user.press(ESCAPE)
    assert user.shown[0] == THING
    assert not user.find("#wt-hits").is_displayed()
    assert user.find("#wt-outline") == user.browser.switch_to.active_element

    user.search("n00000006")
    user.press(ENTER)
    assert (user.selected, user.text("#wt-count")) == (HAMMER, "1 of 1 hit")
    user.search("no such thing")
    assert user.text("#wt-count") == "0 hits"


def test_a_link_of_the_path_is_followed_and_back_returns(user: User, tree: WordTree) -> None:
    user.open(tree, "#n00000009")
    assert user.text(".path").split("\n") == ["thing", "animal", "dog", "terrier"]
    user.find(".path").find_element("link text", "animal").click()
    user.wait()
    assert user.selected == ANIMAL
    assert user.fragment == "#n00000002"
    assert user.text("#wt-details h2") == "animal"
    user.browser.back()
    assert user.fragment == "#n00000009"
    assert user.selected == TERRIER
    user.browser.forward()
    assert user.fragment == "#n00000002"
    assert user.selected == ANIMAL


def test_the_link_of_a_node_can_be_copied(user: User, tree: WordTree) -> None:
    user.open(tree, "#n00000009")
    user.click(".copy")
    assert user.text(".copy") == "Copied"
    user.search("\ue009v")  # Ctrl+V
    assert user.find("#wt-search").get_property("value") == (
        f"{(user.folder / 'page.html').as_uri()}#n00000009"
    )


@pytest.mark.parametrize("key", ["a b&c", "<i>", "ü/…#?", "%41", "%", "wt-outline", "שלום"])
def test_a_fragment_opens_its_node_whatever_the_key(user: User, key: str) -> None:
    wide = [f"k{at}" for at in range(300)]
    tree = WordTree(["top", *wide, "A", key], [-1, *[0] * 301, 300])
    user.open(tree)
    user.click("#wt-expand")
    user.press(END)
    user.press(ARROWS["up"])
    assert user.selected == 302
    user.open(tree, user.fragment)
    assert user.selected == 302
    assert user.text("#wt-details h2") == key
    assert user.run("return document.scrollingElement.scrollTop") == 0


def test_a_fragment_of_no_node_is_told(user: User, tree: WordTree) -> None:
    user.open(tree, "#n99999999")
    assert user.text("#wt-status") == "This tree has no node with the key n99999999."
    assert user.selected == THING
    user.press(ARROWS["down"])
    assert not user.find("#wt-status").is_displayed()


def test_keys_walk_the_tree(user: User, tree: WordTree) -> None:
    user.open(tree)
    user.click("#wt-collapse")
    user.click(user.row(THING))
    steps = [
        (ARROWS["right"], THING),  # opens
        (ARROWS["right"], ANIMAL),
        (ARROWS["down"], TOOL),
        (ARROWS["up"], ANIMAL),
        ("*", ANIMAL),
        (ARROWS["down"], CAT),
        (ARROWS["down"], DOG),
        (ARROWS["right"], POODLE),
        (ARROWS["left"], DOG),
        (ARROWS["left"], DOG),  # closes
        (ARROWS["left"], ANIMAL),
        (END, PLANT),
        (HOME, THING),
        ("\ue00f", PLANT),  # page down
        ("\ue00e", THING),  # page up
    ]
    for key, expected in steps:
        user.press(key)
        assert user.selected == expected
        assert user.find("#wt-outline").get_attribute("aria-activedescendant") == (
            f"wt-row-{expected}"
        )
    assert user.shown == in_order(tree, lambda node: node in (THING, ANIMAL))
    user.press("?")
    assert user.find("#wt-keys").is_displayed()
    user.press(ESCAPE)
    assert not user.find("#wt-keys").is_displayed()


def test_rows_tell_their_place_to_those_who_hear_them(user: User, tree: WordTree) -> None:
    user.open(tree)
    user.click("#wt-expand")
    for node in range(len(tree)):
        row = user.find(f"#wt-row-{node}")
        group = np.flatnonzero(tree.parent == tree.parent[node]).tolist()
        assert row.get_attribute("role") == "treeitem"
        assert int(row.get_attribute("aria-level")) == tree.depth[node] + 1
        assert int(row.get_attribute("aria-setsize")) == len(group)
        assert int(row.get_attribute("aria-posinset")) == group.index(node) + 1
        expanded = row.get_attribute("aria-expanded")
        assert expanded == (None if tree.is_leaf[node] else "true")


def test_details_count_what_the_tree_counts(user: User, tree: WordTree) -> None:
    images = {key: 7**at for at, key in enumerate(tree.keys) if at % 3}
    data_sets = {"photos": [DOG, POODLE, -1, POODLE, SAW], "plants": [PLANT]}
    user.open(
        tree,
        glosses={tree.keys[DOG]: "barks"},
        data_sets=data_sets,
        images=images,
    )
    user.click("#wt-expand")
    for node in range(len(tree)):
        user.click(user.row(node))
        below = [other for other in range(len(tree)) if tree.is_ancestor(node, other)]
        own = images.get(tree.keys[node])
        assert user.facts == {
            "Depth": str(tree.depth[node]),
            "Group size": str(tree.group_size[tree.group[node]]),
            "Children": str(len(tree.children(node))),
            "Nodes below": str(len(below) - 1),
            "Leaves below": str(sum(tree.is_leaf[other] for other in below if other != node)),
            "Images here": "–" if own is None else f"{own:,}",
            "Images in all": f"{sum(images.get(tree.keys[other], 0) for other in below):,}",
        }
        tags = user.text("#wt-details .keys").split("\n")
        assert ("labelled" in tags) == tree.labelled[node]
        assert ("leaf" in tags) == tree.is_leaf[node]
        assert user.text("#wt-details .gloss") == ("barks" if node == DOG else "No gloss.")
        rows = user.run(
            "return [...document.querySelectorAll('.sets tbody tr')].map(r => r.innerText)"
        )
        assert rows == [
            f"{name}\t{nodes.count(node) or '–'}\t{inside}"
            for name, nodes in data_sets.items()
            if (inside := sum(other in below for other in nodes))
        ]


def test_a_click_on_the_picture_zooms_in_and_its_path_zooms_out(user: User, tree: WordTree) -> None:
    user.open(tree)
    # Leaves from left to right: cat, poodle, terrier, hammer, saw, plant.
    click = """
    const box = document.getElementById("wt-picture").getBoundingClientRect();
    return [box.left + box.width * 2.5 / 6, box.top + 24 * 2.5];
    """
    x, y = user.run(click)
    target = "document.elementFromPoint({0}, {1})"
    event = "new MouseEvent('click', {{clientX: {0}, clientY: {1}, bubbles: true}})"
    user.run(f"{target}.dispatchEvent({event})".format(x, y))
    user.wait()
    trail = "return [...document.querySelectorAll('#wt-trail button')].map((b) => b.innerText)"
    assert user.selected == ANIMAL
    assert user.run(trail) == ["All", "thing", "animal"]
    user.find("#wt-trail button").click()
    user.wait()
    assert user.run(trail) == ["All"]
    assert user.selected == ANIMAL  # the picture alone is zoomed
    user.find("#wt-outline").click()
    user.press(HOME)
    user.press("z")
    assert user.run(trail) == ["All", "thing"]
    user.click(user.row(PLANT))  # stands elsewhere: the picture goes out as far as it must
    assert user.run(trail) == ["All"]


def test_the_text_grows_and_shrinks(user: User, tree: WordTree) -> None:
    user.open(tree)
    row = "const row = document.getElementById('wt-row-0');"
    sizes = f"{row} return [row.offsetHeight, parseFloat(getComputedStyle(row).fontSize)]"
    height, font = user.run(sizes)
    user.click("#wt-larger")
    user.press("+")
    higher, larger = user.run(sizes)
    assert user.text("#wt-size") == f"{round(100 * larger / font)}%" == "130%"
    assert higher == round(1.3 * height)
    user.press("0")
    assert user.run(sizes) == [height, font]
    user.click("#wt-smaller")
    assert user.run(sizes)[0] < height


def test_names_that_look_like_programs_are_text_and_nothing_runs(user: User) -> None:
    attack = "<img src=x onerror='window.ran = 1'><script>window.ran = 1</script>"
    names = [attack, f"</script>{attack}", "<!--", "\u202egnp.exe", "x" * 10_000, "a\nb\u2028c"]
    keys = [f"{at}{attack}" for at in range(len(names))]
    tree = WordTree(keys, [-1] + [0] * 5, names)
    texts = dict(zip(keys, names, strict=True))
    user.open(tree, title=f"</title>{attack}", glosses=texts, data_sets={attack: [0, 1]})
    for node, name in enumerate(names):
        user.click(user.row(node))
        title = user.run("return document.querySelector('#wt-details h2').textContent")
        gloss = user.run("return document.querySelector('#wt-details .gloss').textContent")
        assert (title, gloss) == (name, name)
    user.press("/")
    user.press("img src")
    user.press(ENTER)
    assert user.run("return window.ran") is None
    assert user.run("return document.images.length") == 0
    assert user.run("return document.title") == f"</title>{attack}"
    row = user.find("#wt-row-4")
    assert row.size["height"] == user.find("#wt-row-0").size["height"]


def test_an_empty_tree_says_so(user: User) -> None:
    user.open(WordTree([], []))
    assert user.text("main") == "This tree is empty: it has no nodes."


@pytest.mark.parametrize("width", [360, 1600])
def test_the_page_fits_its_window(user: User, tree: WordTree, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    user.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        user.open(tree, "#n00000009")
        assert user.run("return document.scrollingElement.scrollWidth") <= width
        assert user.run("return document.scrollingElement.scrollHeight") <= 800
        assert user.find("#wt-row-9").is_displayed()
        assert user.find("#wt-details h2").is_displayed()
    finally:
        user.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_chain_and_a_star_are_walked_to_their_ends(user: User) -> None:
    chain = WordTree([f"k{at}" for at in range(100_000)], np.arange(100_000) - 1)
    user.open(chain)
    user.click("#wt-expand")
    user.press(END)
    assert user.selected == 99_999
    assert user.facts["Depth"] == "99,999"
    star = WordTree([f"k{at}" for at in range(1_000_001)], [-1] + [0] * 1_000_000)
    user.open(star, "#k700000")
    assert user.selected == 700_000
    user.press(END)
    assert user.selected == 1_000_000
    assert user.facts["Group size"] == "1,000,000"
    user.press(HOME)
    assert user.shown[0] == 0


def test_darknets_tree_opens_and_answers_at_once(user: User, darknet_files: Path) -> None:
    tree = WordTree.load(darknet_files / "9k.tree")
    assert user.open(tree) < SLOWER * OPEN_MS
    times = interactions(user.browser)
    assert {name: ms for name, ms in times.items() if ms > SLOWER * INTERACTION_MS} == {}
    user.search("dog")
    found = [at for at, name in enumerate(tree.names) if "dog" in name.lower()]
    assert user.text("#wt-count") == f"{len(found)} hits"
    user.press(ENTER)
    assert tree.keys[user.selected] == "n02084071"
    assert user.text("#wt-details .gloss").startswith("a member of the genus Canis")
    user.search("n02094114")
    user.press(ENTER)
    assert tree.names[user.selected] == "Norfolk terrier"
    path = [tree.names[at] for at in tree.path(user.selected).tolist()]
    steps = "return [...document.querySelectorAll('.path a')].map((a) => a.innerText)"
    assert user.run(steps) == path
    user.press(ESCAPE)
    user.click("#wt-expand")
    user.press(END)
    assert user.selected == in_order(tree, lambda _: True)[-1]
