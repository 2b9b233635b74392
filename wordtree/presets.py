"""The options of a build: their values, their defaults, and named sets of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from wordtree.errors import UserError

# The first value of each is the default. `root`, `walk` and `edits` take any synset or file.
CHOICES: dict[str, tuple[str, ...]] = {
    "rule": ("min_growth", "shortest", "first"),
    "ties": ("name_path", "shortest", "wordnet_order"),
    "unary": ("collapse", "keep"),
    "lone_leaf": ("keep", "promote"),
    "edits_applied": ("before", "after"),
    "unreachable": ("root", "refuse"),
}
DEFAULTS: dict[str, Any] = {
    "root": None,  # the graph's own: physical_entity.n.01 for WordNet
    "walk": "root",
    "edits": None,
    **{option: values[0] for option, values in CHOICES.items()},
}

PRESETS: dict[str, dict[str, Any]] = {
    # 1,369 nodes from the 1,000 ILSVRC-2012 labels, the paper's count. It is one of several rules
    # with that count: the paper's tree was never published, so no test can tell them apart.
    "paper1k": {"ties": "shortest"},
    # The rule behind darknet's 9k.tree: all of its 9,418 nodes and 9,412 of their parents.
    "darknet9k": {
        "walk": "entity.n.01",
        "lone_leaf": "promote",
        "edits": "darknet9k",
        "edits_applied": "after",
    },
}


def resolve_options(preset: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options: those given (not None), else the preset's, else the defaults.

    Raises UserError for an unknown preset or value, with the nearest one named.
    """
    if preset is not None and preset not in PRESETS:
        raise UserError(f"there is no preset {preset!r}{_nearest(preset, PRESETS)}")
    options = {**DEFAULTS, **(PRESETS[preset] if preset else {})}
    options.update({name: value for name, value in given.items() if value is not None})
    for name, allowed in CHOICES.items():
        if options[name] not in allowed:
            raise UserError(
                f"{name} has no value {options[name]!r}{_nearest(str(options[name]), allowed)}"
            )
    return options


def _nearest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{hint} (there is {', '.join(known)})"
