"""Composes the Hydra config and refuses what cannot work, naming the nearest known key."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tools.config_values import check_keys, check_values, every_key, look_up, nearest
from wordtree.errors import UserError

CONF = Path(__file__).resolve().parents[1] / "conf"
# Flags of the command line and what they take: nothing, a value, or maybe one.
FLAGS = {
    **dict.fromkeys(("-h", "--help", "--version", "-m", "--multirun", "--resolve"), 0),
    **dict.fromkeys(("-c", "--cfg", "-p", "--package"), 1),
    **dict.fromkeys(("-i", "--info"), "maybe"),
    "--hydra-help": 0,
}
# These would move what stands in a run folder of ours.
PLACES = ("hydra.run.", "hydra.sweep.", "hydra.output_subdir", "hydra/sweeper", "hydra.sweeper")


def compose_config(overrides: Sequence[str]) -> dict[str, Any]:
    """The whole config as plain data for command-line `overrides`, checked.

    Raises UserError for an unknown key or choice (the nearest one named), a value of the wrong
    type, or one out of range. What stands inside of lists is checked by `config_parts`.
    """
    for text in overrides:
        override = parse(text)
        if override.is_sweep_override():
            raise UserError(f"'{text}' lists several values; add -m to run one after another.")
        if override.key_or_group.startswith(("hydra.", "hydra/")):
            raise UserError(
                f"'{text}' speaks to Hydra's launcher, which a sweep alone has; add -m."
            )
    return compose_job(tuple(overrides))


def compose_job(overrides: Sequence[str]) -> dict[str, Any]:
    """`compose_config` for one job of a sweep, where Hydra's own keys may stand too."""
    chosen = choices(overrides)
    known = _known(tuple(chosen))
    for text in overrides:
        _check_key(parse(text), text, known)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = plain(_compose(overrides))
    check_config(config, known)
    return config


def check_config(config: dict[str, Any], known: dict[str, Any] | None = None) -> None:
    """Refuses (UserError) a config with other keys than conf/config.yaml, or values that cannot be.

    known: the same config before the user typed anything.
    """
    base = base_config()
    check_keys(config, {**base, **{group: None for group in groups() if group != "experiment"}})
    check_values(config, base, {} if known is None else known)


@cache
def base_config() -> dict[str, Any]:
    """conf/config.yaml as it stands, less Hydra's own keys and the groups."""
    content = yaml.safe_load((CONF / "config.yaml").read_text())
    return {key: value for key, value in content.items() if key not in ("defaults", "hydra")}


def typed_values(overrides: Sequence[str], config: dict[str, Any]) -> dict[str, Any]:
    """The keys that the user typed, with their values; a choice of a group counts as typed."""
    keys = [parse(text).key_or_group for text in overrides]
    known = groups()
    return {key: key if key in known else look_up(config, key) for key in keys}


def split_flags(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Flags with their values (empty where they have none), and key=value overrides.

    Raises UserError for a flag that is not known, or misses its value.
    """
    flags: dict[str, str] = {}
    overrides: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flag, equals, value = word.partition("=")
        if flag not in FLAGS:
            raise UserError(
                f"there is no flag {flag}{nearest(flag, FLAGS, otherwise='; see --help.')}"
            )
        wants = FLAGS[flag]
        if wants and not equals and words and "=" not in words[0] and words[0][0] != "-":
            value = words.pop(0)
        if wants == 1 and not value:
            raise UserError(f"{flag} needs a value: --cfg job shows the config of a run.")
        flags[flag] = value
    return flags, overrides


def show(flags: dict[str, str], overrides: Sequence[str]) -> int:
    """Hydra's own answers (--cfg, --info ...) about a config that was checked first."""
    config = compose_job(overrides)
    if config["resume"]:
        raise UserError(
            f"the config of resume={config['resume']} stands in {config['resume']}/config.yaml."
        )
    kinds = {"--cfg": ("job", "hydra", "all")}
    for flag, value in flags.items():
        long = {"-c": "--cfg"}.get(flag, flag)
        if long in kinds and value not in kinds[long]:
            raise UserError(f"{flag} {value} is not known; choose one of job, hydra, all.")
    if not {*flags} & {"-c", "--cfg", "-i", "--info", "--hydra-help"}:
        raise UserError(f"{' '.join(flags)} needs --cfg job beside it.")
    words = [word for flag, value in flags.items() for word in (flag, value) if word]
    call_hydra([*words, *overrides], lambda _: None)
    return 0


def call_hydra(arguments: Sequence[str], task: Callable[[DictConfig], Any]) -> None:
    """Hydra's command line with these arguments; whatever goes wrong comes out as it is."""
    before, sys.argv = sys.argv, [sys.argv[0], *arguments]
    full = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else it prints a stack and ends the process
    try:
        hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(task)()
    finally:
        sys.argv = before
        os.environ.pop("HYDRA_FULL_ERROR")
        if full is not None:
            os.environ["HYDRA_FULL_ERROR"] = full


def parse(text: str) -> Override:
    """One override, refused (UserError) where it is not of the form key=value."""
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise UserError(
            f"'{text}' is not of the form key=value ({_first_sentence(error)})."
        ) from error


def plain(composed: DictConfig) -> dict[str, Any]:
    """A composed config as plain data, less Hydra's own part."""
    try:
        config: Any = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(_first_sentence(error)) from error
    return {key: value for key, value in config.items() if key != "hydra"}


@cache
def _known(chosen: tuple[str, ...]) -> dict[str, Any]:
    """The config of these choices of groups alone, as conf/ has it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(_compose(chosen))


def _compose(overrides: Sequence[str]) -> DictConfig:
    try:
        return compose("config", overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
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


def choices(overrides: Sequence[str]) -> list[str]:
    """The overrides that choose a file of a group, refused where there is no such file."""
    chosen, known = [], groups()
    for text in overrides:
        key, _, value = text.partition("=")
        if key not in known or not value:
            continue
        if value not in known[key]:
            raise UserError(
                f"{key}={value} is not known{nearest(value, known[key], otherwise=';')} "
                f"there are {', '.join(known[key])}."
            )
        chosen.append(text)
    return chosen


def _check_key(override: Override, text: str, known: dict[str, Any]) -> None:
    key, keys = override.key_or_group, [*every_key(known), *groups()]
    if key.startswith(PLACES):
        raise UserError(f"'{text}': the folders of runs are ours; give run_dir= or name= instead.")
    if key.startswith(("hydra.", "hydra/")) or key in keys:
        return
    # What a source may be told depends on its type; the source itself refuses what it must.
    if override.is_add() and key.startswith(("data.train.", "data.validation.")):
        return
    raise UserError(f"unknown key '{key}' in '{text}'{nearest(key, keys)}")
