"""The rows of the demo's table can be trained, and are what their titles say."""

from __future__ import annotations

import pytest

from benchmarks.emoji import ROWS
from tools import assemble
from tools.config import compose_config

SHARES = {
    "flat": {"scenes": True, "tiles": True, "photos": True},
    "siblings": {"scenes": True, "tiles": True, "photos": True},
    "paper": {"scenes": True, "tiles": False, "photos": True},
    "boxed_only": {"scenes": True, "tiles": True, "photos": False},
    "boxes_for_all": {"scenes": True, "tiles": True, "photos": False},
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_draws_from_the_sources_that_its_title_names(row: str) -> None:
    config = compose_config(["experiment=emoji", *ROWS[row][1]])
    assemble.make_criterion(config)
    tree, _ = assemble.make_tree(config)
    sources, _ = assemble.make_sources(config, tree)
    drawn = {e.name: e.share > 0 for e in assemble.make_stream(config, sources).mixture.expected()}
    assert drawn == SHARES[row]
    with_boxes = len(assemble.boxed_nodes(sources))
    assert with_boxes == (243 if row == "boxes_for_all" else 122)
