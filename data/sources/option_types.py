"""What kind of value each option of a source takes: a config has no types of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wordtree.errors import UserError

Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str | Path)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and all(map(_is_text, value)))


def _is_columns(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(one, str) or _is_whole(one) for one in value.values()
    )


_TEXT: tuple[Check, str] = (_is_text, "a text, in quotes where it looks like a number")
_WHOLE: tuple[Check, str] = (_is_whole, "a whole number")
_SWITCH: tuple[Check, str] = (lambda value: isinstance(value, bool), "true or false")
# Options that are not here are checked by the source that takes them.
_TYPES: dict[str, tuple[Check, str]] = {
    **dict.fromkeys(("annotations", "images", "folder", "yaml", "table", "split"), _TEXT),
    **dict.fromkeys(("label_map", "label_names", "labels", "boxes", "photo"), _TEXT),
    **dict.fromkeys(("kind", "exhaustive", "difficult", "unlabelled", "nodes"), _TEXT),
    **dict.fromkeys(("seed", "length"), _WHOLE),
    **dict.fromkeys(("inclusive", "fresh", "masks"), _SWITCH),
    "shards": (_is_texts, "a pattern, or a list of them, as text"),
    "columns": (_is_columns, "a name or a place each, as in {file: path, label: wnid}"),
}


def check_option_types(what: str, options: Mapping[str, Any]) -> None:
    """UserError where an option of `what` (`source NAME (type=...)`) has a value of another type;
    null leaves an option out."""
    for option, value in options.items():
        check, form = _TYPES.get(option, (None, ""))
        if check is not None and value is not None and not check(value):
            raise UserError(f"{what} has {option}={str(value)[:100]}; give {form}.")
