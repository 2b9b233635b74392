"""What the values of a config may be: types, ranges and keys. Nothing heavy is imported for it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from wordtree.errors import UserError

Range = tuple[Callable[[Any], bool], str]

AT_LEAST_0: Range = (lambda v: v >= 0, "0 or more")
AT_LEAST_1: Range = (lambda v: v >= 1, "at least 1")
ABOVE_0: Range = (lambda v: v > 0, "above 0")
SHARE: Range = (lambda v: 0 <= v <= 1, "in [0, 1]")
BELOW_1: Range = (lambda v: 0 <= v < 1, "in [0, 1)")
NULL_OR_AT_LEAST_0: Range = (lambda v: v is None or v >= 0, "null, or 0 or more")

# Keys with a range: what a value must satisfy, and how to say it. NaN satisfies none of them.
RANGES: dict[str, Range] = {
    "name": (lambda v: v.strip(".") and not {*v} & {*"/\\\0"}, "the name of one folder"),
    "seed": (lambda v: 0 <= v < 2**32, "from 0 to 4294967295"),
    "steps": AT_LEAST_1,
    "batch_size": AT_LEAST_1,
    "accumulate": AT_LEAST_1,
    "image_size": (lambda v: v >= 32 and v % 32 == 0, "a multiple of 32"),
    "threads": AT_LEAST_0,
    "workers": (lambda v: v == "auto" if isinstance(v, str) else v >= 0, "auto, or 0 or more"),
    "checkpoint_every": AT_LEAST_0,
    "evaluate_every": NULL_OR_AT_LEAST_0,
    "log_every": AT_LEAST_1,
    "max_broken": AT_LEAST_0,
    "ema": BELOW_1,
    "clip": ABOVE_0,
    "timeout": ABOVE_0,
    "multiscale.sizes": (
        lambda v: all(isinstance(s, int) and s >= 32 and s % 32 == 0 for s in v),
        "a list of multiples of 32",
    ),
    "multiscale.every": AT_LEAST_1,
    "mixture.ratio": AT_LEAST_0,
    "mixture.jitter": SHARE,
    "thresholds.back_off": SHARE,
    "thresholds.objectness": SHARE,
    "network.neck_width": AT_LEAST_0,
    "network.stride": AT_LEAST_1,
    "network.head.class_tower": AT_LEAST_0,
    "network.head.box_tower": AT_LEAST_0,
    "network.head.centre_range": ABOVE_0,
    "network.head.objectness_prior": (lambda v: 0 < v < 1, "between 0 and 1"),
    "loss.anchor_warmup": AT_LEAST_0,
    "loss.ignore_iou": (lambda v: v is None or 0 <= v <= 1, "null, or in [0, 1]"),
    "loss.rule_options.k": (lambda v: v is None or v >= 1, "null, or at least 1"),
    "loss.rule_options.floor": AT_LEAST_0,
    "loss.rule_options.rows_per_label": AT_LEAST_1,
    "loss.rule_options.agree_iou": SHARE,
    "optimizer.rate": ABOVE_0,
    "optimizer.weight_decay": AT_LEAST_0,
    "optimizer.momentum": BELOW_1,
    "optimizer.rms": ABOVE_0,
    "optimizer.backbone_scale": ABOVE_0,
    "optimizer.schedule.warmup": AT_LEAST_0,
    "optimizer.schedule.warmup_power": AT_LEAST_0,
    "optimizer.schedule.final": AT_LEAST_0,
}
# Keys with a few words to choose from.
WORDS: dict[str, tuple[str, ...]] = {
    "mixture.sampling": ("quota", "replacement"),
    "precision": ("auto", "float32", "bfloat16"),
}
# Keys whose default's type is not the only one that a value may have.
LOOSE: dict[str, tuple[type, ...]] = {
    "workers": (int, str),
    "evaluate_every": (int, type(None)),
    "loss.ignore_iou": (int, float, type(None)),
    "loss.rule_options.k": (int, type(None)),
    "augment.colour": (dict, type(None)),
    "data.validation": (dict, type(None)),
    **dict.fromkeys(("data_root", "run_dir", "resume", "init"), (str, type(None))),
}
# Lists of numbers that must have as many of them as their default.
FIXED_LENGTH = ("augment.boxed.fill", "augment.boxed.scale", "augment.label_only.fill",
                "augment.label_only.scale", "optimizer.betas")  # fmt: skip
SOURCE_OPTION = re.compile(r"data\.(train\.[^.]+|validation)\.")
# Parts of a config whose keys are those of the default alone.
CLOSED = ("tree", "mixture", "multiscale", "augment", "augment.boxed", "augment.label_only",
          "augment.colour", "thresholds")  # fmt: skip


def check_values(config: Mapping[str, Any], *defaults: Mapping[str, Any]) -> None:
    """Refuses (UserError) values of another type than their default, and values out of range.

    defaults: the same tree of keys, as the files in conf/ have it. A key that the config does not
    have is left to what reads it.
    """
    for known in defaults:
        for key in every_key(known):
            default, value = look_up(known, key), look_up(config, key)
            if value is not MISSING:
                check_type(key, value, LOOSE.get(key) or _types(key, default))
                if isinstance(default, list) and default and _numbers(default):
                    _check_numbers(key, value, len(default) if key in FIXED_LENGTH else None)
    for key, (holds, words) in RANGES.items():
        value = look_up(config, key)
        if value is not MISSING and not _holds(holds, value):
            raise UserError(f"{key}={value} is out of range; it must be {words}.")
    for key, choices in WORDS.items():
        choice(key, look_up(config, key), choices)
    if config["batch_size"] % config["accumulate"]:
        raise UserError(
            f"batch_size={config['batch_size']} cannot be cut into accumulate="
            f"{config['accumulate']} equal parts; change one of the two."
        )


def check_keys(config: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    """Refuses (UserError) keys that conf/config.yaml does not have, and keys that are gone.

    base: that file's own keys, and the config's groups. A key in an experiment's file can be
    mistyped as well as one on the command line.
    """
    for prefix in ("", *CLOSED):
        known = look_up(base, prefix) if prefix else base
        found = look_up(config, prefix) if prefix else config
        dot = prefix + "." if prefix else ""
        if found is None:  # augment.colour=null
            continue
        for name in found:
            if name not in known:
                raise UserError(f"unknown key '{dot}{name}'{nearest(str(name), known)}")
        for name in known:
            if name not in found:
                raise UserError(f"the key '{dot}{name}' is missing; every run needs it.")


MISSING: Any = object()


def look_up(node: Any, key: str) -> Any:
    """The value at `a.b.c`, MISSING where there is none."""
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return MISSING
        node = node[part]
    return node


def every_key(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """All keys of nested dicts as `a`, `a.b` ..., those of the branches too."""
    for name, value in node.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from every_key(value, f"{prefix}{name}.")


def nearest(name: str, known: Iterable[str], otherwise: str = ".") -> str:
    """The end of a sentence: `; did you mean 'steps'?`, or `otherwise` where no name is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else otherwise


def choice(key: str, value: Any, choices: Iterable[str]) -> None:
    """Refuses (UserError) a value that is none of the choices, with the nearest one."""
    choices = list(choices)
    if value not in choices:
        hint = nearest(str(value), choices, otherwise=";")
        raise UserError(f"{key}={value} is not known{hint} choose one of {', '.join(choices)}.")


def check_type(key: str, value: Any, allowed: Sequence[type]) -> None:
    """Refuses (UserError) a value of another type; no types allow all. True is no number."""
    kinds = tuple(allowed)
    if not kinds or (isinstance(value, kinds) and not (is_bool(value) and bool not in kinds)):
        return
    # Hydra reads 2024 as a number; a folder of that name needs quotes within quotes.
    quote = f"; write {key}='\"{value}\"'" if str in kinds and not isinstance(value, dict) else ""
    wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
    raise UserError(f"{key}={value} is a {type(value).__name__}; it must be {wanted}{quote}.")


def is_bool(value: Any) -> bool:
    """True and False count as whole numbers in Python."""
    return isinstance(value, bool)


def is_number(value: Any) -> bool:
    """A finite number."""
    return isinstance(value, int | float) and not is_bool(value) and math.isfinite(value)


def _holds(condition: Callable[[Any], bool], value: Any) -> bool:
    try:
        return condition(value)
    except TypeError:  # of a type that a file of one's own made the default
        return False


def _types(key: str, default: Any) -> tuple[type, ...]:
    if key.startswith("tree."):
        return (str, type(None))
    # A label map may be null, classes a file or a list: the source itself knows.
    if SOURCE_OPTION.match(key) and isinstance(default, str | Mapping):
        return ()
    if isinstance(default, bool):
        return (bool,)
    if isinstance(default, float):
        return (int, float)
    # ??? stands where the user has to give a value (experiment=own); null may be one, too.
    return () if default in (None, "???") else (type(default),)


def _numbers(values: Sequence[Any]) -> bool:
    return all(is_number(value) for value in values)


def _check_numbers(key: str, values: Sequence[Any], count: int | None) -> None:
    if not _numbers(values) or (count is not None and len(values) != count):
        raise UserError(
            f"{key}={list(values)} must be a list of {'' if count is None else f'{count} '}numbers."
        )
