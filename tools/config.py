"""Composes the Hydra config and refuses what cannot work, naming the nearest known key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wordtree.errors import UserError

CONF = Path(__file__).resolve().parents[1] / "conf"

# Keys with a range: what a value must satisfy, and how to say it.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "steps": (lambda v: v >= 1, "at least 1"),
    "batch_size": (lambda v: v >= 1, "at least 1"),
    "accumulate": (lambda v: v >= 1, "at least 1"),
    "image_size": (lambda v: v >= 32 and v % 32 == 0, "a multiple of 32"),
    "threads": (lambda v: v >= 0, "0 or more"),
    "workers": (lambda v: v == "auto" if isinstance(v, str) else v >= 0, "auto, or 0 or more"),
    "checkpoint_every": (lambda v: v >= 0, "0 or more"),
    "evaluate_every": (lambda v: v is None or v >= 0, "null, or 0 or more"),
    "log_every": (lambda v: v >= 1, "at least 1"),
    "max_broken": (lambda v: v >= 0, "0 or more"),
    "ema": (lambda v: 0 <= v < 1, "in [0, 1)"),
    "clip": (lambda v: v > 0, "above 0"),
    "mixture.ratio": (lambda v: v >= 0, "0 or more"),
    "mixture.sampling": (lambda v: v in ("quota", "replacement"), "quota or replacement"),
    "precision": (lambda v: v in ("auto", "float32", "bfloat16"), "auto, float32 or bfloat16"),
    "thresholds.back_off": (lambda v: 0 <= v <= 1, "in [0, 1]"),
    "thresholds.objectness": (lambda v: 0 <= v <= 1, "in [0, 1]"),
    "optimizer.rate": (lambda v: v > 0, "above 0"),
}
# Keys whose default's type is not the only one that a value may have.
LOOSE = {
    "workers": (int, str),
    "evaluate_every": (int, type(None)),
    "loss.rule_options.k": (int, type(None)),
}


def compose_config(overrides: Sequence[str]) -> dict[str, Any]:
    """The whole config as plain data for command-line `overrides`, checked.

    Raises UserError for an unknown key or choice (the nearest one named), a value of the wrong
    type, or one out of range.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        known = OmegaConf.to_container(_compose(_choices(overrides)), resolve=True)
        _check_overrides(overrides, known)
        config = OmegaConf.to_container(_compose(overrides), resolve=True)
    check_values(config, known)
    return config


def typed_values(overrides: Sequence[str], config: dict[str, Any]) -> dict[str, Any]:
    """The keys that the user typed, with their values; a choice of a group counts as typed."""
    keys = [text.partition("=")[0].lstrip("+~") for text in overrides]
    known = groups()
    return {key: key if key in known else _lookup(config, key) for key in keys}


def run_hydra(arguments: Sequence[str], job: Callable[[dict[str, Any]], int]) -> int:
    """Hands over to Hydra's own command line (--cfg, --multirun ...), checking each job."""
    _choices(arguments)
    codes: list[int] = []

    @hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
    def main(composed: DictConfig) -> None:
        config = OmegaConf.to_container(composed, resolve=True)
        check_values(config, config)
        codes.append(job(config))

    main()
    return max(codes, default=0)


def _compose(overrides: Sequence[str]) -> DictConfig:
    try:
        return compose("config", overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_first_sentence(error)) from error


def _first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])


def groups() -> dict[str, list[str]]:
    """The config groups and the choices of each: `{"experiment": ["emoji", ...], ...}`."""
    return {
        folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
        for folder in sorted(CONF.iterdir())
        if folder.is_dir() and any(folder.glob("*.yaml"))
    }


def _choices(overrides: Sequence[str]) -> list[str]:
    """The overrides that choose a file of a group, refused where there is no such file."""
    chosen, known = [], groups()
    for text in overrides:
        key, _, value = text.partition("=")
        if key not in known or not value:
            continue
        for one in value.split(","):
            if one not in known[key]:
                raise UserError(
                    f"{key}={one} is not known{_nearest(one, known[key])}; "
                    f"there are {', '.join(known[key])}."
                )
        chosen.append(f"{key}={value.split(',')[0]}")
    return chosen


def _check_overrides(overrides: Sequence[str], known: dict[str, Any]) -> None:
    keys = [*_keys(known), *groups()]
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise UserError(
                f"'{text}' is not of the form key=value ({_first_sentence(error)})."
            ) from error
        key = override.key_or_group
        if key.startswith("hydra") or _known(key, keys):
            continue
        # What a source may be told depends on its type; the source itself refuses what it must.
        if override.is_add() and key.startswith("data."):
            continue
        raise UserError(f"unknown key '{key}' in '{text}'{_nearest(key, keys)}.")


def _known(key: str, keys: Sequence[str]) -> bool:
    return key in keys or any(one.startswith(key + ".") for one in keys)


def _keys(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def _lookup(node: Any, key: str) -> Any:
    for part in key.split("."):
        node = node[part]
    return node


def check_values(config: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Refuses values of another type than their default, and values out of range."""
    for key in _keys(defaults):
        default, value = _lookup(defaults, key), _lookup(config, key)
        allowed = LOOSE.get(key, _types(default))
        if allowed and (not isinstance(value, allowed) or _is_bool_for_number(value, allowed)):
            wanted = " or ".join("null" if t is type(None) else t.__name__ for t in allowed)
            raise UserError(f"{key}={value} is a {type(value).__name__}; it must be {wanted}.")
    for key, (holds, words) in RANGES.items():
        value = _lookup(config, key)
        if not holds(value):
            raise UserError(f"{key}={value} is out of range; it must be {words}.")
    if config["batch_size"] % config["accumulate"]:
        raise UserError(
            f"batch_size={config['batch_size']} cannot be cut into accumulate="
            f"{config['accumulate']} equal parts; change one of the two."
        )


def _types(default: Any) -> tuple[type, ...]:
    if isinstance(default, bool):
        return (bool,)
    if isinstance(default, float):
        return (int, float)
    return (type(default),) if isinstance(default, int | str | list) else ()


def _is_bool_for_number(value: Any, allowed: tuple[type, ...]) -> bool:
    return isinstance(value, bool) and bool not in allowed
