"""How fast the HTML page of a tree opens and answers, in Chromium without a window.

  python benchmarks/html_page.py
  python benchmarks/html_page.py runs/latest/wordtree.json --opens 9

Writes the page of a tree (darknet's 9,418 nodes by default), opens it several times and prints
medians. Opening ends when the outline can be used and is painted; an interaction is timed inside
the page, from its event until the next frame is drawn. Exits 1 where opening takes over 2 s or an
interaction over 100 ms. Needs selenium, and Debian's `chromium` and `chromium-driver`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from wordtree import UserError, WordTree
from wordtree.formats.html import write_html

OPEN_MS = 2000
INTERACTION_MS = 100
PROGRAMS = ("chromium", "chromedriver")
CHOICES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--window-size=1280,900",
)
OPENED = """
const done = arguments[0];
requestAnimationFrame(() => setTimeout(() => done(Math.max(
  performance.getEntriesByName("usable")[0].startTime,
  ...performance.getEntriesByType("paint").map((paint) => paint.startTime)))));
"""
# In this order: each starts from where the one before it ended.
INTERACTIONS = {
    "expand all": "id('expand').click()",
    "scroll to the middle": "outline.scrollTop = outline.scrollHeight / 2",
    "select a row": "outline.querySelector('.row:nth-child(12)').click()",
    "a row down by key": "press(outline, 'ArrowDown')",
    "larger text": "id('larger').click()",
    "zoom the picture": "press(outline, 'z')",
    "search one letter": "type('a')",
    "search a word": "type('dog')",
    "next hit": "press(id('search'), 'Enter')",
    "follow a link": "document.querySelector('.path a').click()",
    "collapse all": "id('collapse').click()",
}
TIMED = """
const done = arguments[0];
const id = (name) => document.getElementById(`wt-${name}`);
const outline = id("outline");
const press = (target, key) =>
  target.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
const type = (text) => {
  id("search").value = text;
  id("search").dispatchEvent(new Event("input", {bubbles: true}));
};
requestAnimationFrame(() => setTimeout(() => {
  const begun = performance.now();
  ACTION;
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
}));
"""


def open_chromium() -> Any:
    """A Chromium without a window, driven by the driver of the same package; looks up nothing.

    Raises UserError where the browser, its driver or selenium is missing.
    """
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        missing.append("selenium")
    if missing:
        raise UserError(
            f"no {' and no '.join(missing)} here; install Debian's chromium and chromium-driver, "
            f"and this project with its extra `dev`"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for choice in CHOICES:
        options.add_argument(choice)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def opening(browser: Any, address: str) -> float:
    """Milliseconds until the page can be used, from the start of its navigation."""
    browser.get("about:blank")
    browser.get(address)
    return float(browser.execute_async_script(OPENED))


def interactions(browser: Any) -> dict[str, float]:
    """Milliseconds of each interaction with the page that is open."""
    return {
        name: float(browser.execute_async_script(TIMED.replace("ACTION", action)))
        for name, action in INTERACTIONS.items()
    }


def measure(tree: WordTree, opens: int) -> tuple[int, float, float, dict[str, float]]:
    """Bytes, seconds of writing, and medians of milliseconds: opening, interactions."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tree.html"
        begun = time.perf_counter()
        write_html(tree, file)
        writing = time.perf_counter() - begun
        browser = open_chromium()
        try:
            opened, rounds = [], []
            for _ in range(opens):
                opened.append(opening(browser, file.as_uri()))
                rounds.append(interactions(browser))
        finally:
            browser.quit()
        medians = {name: statistics.median(r[name] for r in rounds) for name in INTERACTIONS}
        return file.stat().st_size, writing, statistics.median(opened), medians


def main() -> int:
    """Measures, prints a table in Markdown, and gives the exit code."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(os.environ.get("WORDTREE_DATA", "datasets")) / "darknet" / "9k.tree"
    options.add_argument("tree", type=Path, nargs="?", default=default, help=f"({default})")
    options.add_argument("--opens", type=int, default=5, help="how often it is opened (5)")
    given = options.parse_args()
    try:
        tree = WordTree.load(given.tree)
        size, writing, opened, medians = measure(tree, max(1, given.opens))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{given.tree}: {len(tree):,} nodes, {size:,} bytes, written in {writing:.2f} s\n")
    print(f"| medians of {max(1, given.opens)} | ms | bar |\n|---|---|---|")
    rows = [("open", opened, OPEN_MS), *((n, ms, INTERACTION_MS) for n, ms in medians.items())]
    missed = [name for name, found, bar in rows if found > bar]
    for name, found, bar in rows:
        print(f"| {name} | {found:.0f} | {bar}{' missed' if name in missed else ''} |")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
