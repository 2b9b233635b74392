"""The folder of a run: where a new one goes, and what may change where an old one goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from wordtree import UserError

CONFIG = "config.yaml"
REPORT = "report.json"
# What may be given beside resume=RUN; all else must stay as the run began it.
RESUMABLE = (
    "device",
    "workers",
    "steps",
    "extend",
    "max_broken",
    "timeout",
    "checkpoint_every",
    "evaluate_every",
    "log_every",
    "trackers",
)


def reported_steps(folder: Path) -> int | None:
    """The steps that the report of a run speaks of, None where there is no report."""
    path = folder / REPORT
    if not path.is_file():
        return None
    try:
        return int(json.loads(path.read_text())["steps"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}); remove it, and resume={folder} "
            "writes it anew"
        ) from error


def resolved(path: str | Path) -> str:
    """A path without links, still relative where it was and lies below the working folder.

    runs/latest leads elsewhere as soon as another run begins.
    """
    real, here = Path(os.path.realpath(path)), Path.cwd()
    below = not Path(path).is_absolute() and real.is_relative_to(here)
    return str(real.relative_to(here) if below else real)


def new_run_folder(config: Mapping[str, Any], place: Path | None = None) -> Path:
    """Makes `run_dir`, or runs/NAME/DATE_TIME (or `place`, below runs/).

    Raises UserError where the folder is there already or cannot be written.
    """
    given = config["run_dir"]
    folder = Path(given) if given else place or _dated(Path("runs") / config["name"])
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UserError(
            f"the run folder {folder} exists already; give another run_dir, or resume={folder} "
            "to go on with it"
        ) from None
    except OSError as error:
        raise UserError(
            f"the run folder {folder} cannot be made ({error.strerror}); give another run_dir"
        ) from error
    return folder


def lead_latest(folder: Path) -> None:
    """Leads runs/latest to a run below runs/."""
    # Runs of a sweep may begin side by side.
    latest, fresh = Path("runs/latest"), Path(f"runs/.latest-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.relative_to("runs"))
    fresh.replace(latest)


def refuse_taken(config: Mapping[str, Any], place: Path | None = None) -> None:
    """Refuses (UserError) a `run_dir` that is there, and a place where none can be made, before
    anything is loaded for it."""
    given = config["run_dir"]
    folder = Path(given) if given else place or Path("runs") / config["name"] / "new"
    if os.path.lexists(folder):
        raise UserError(
            f"the run folder {folder} exists already; give another run_dir, or resume={folder} "
            "to go on with it"
        )
    latest = Path("runs/latest")
    if not given and latest.exists() and not latest.is_symlink():
        raise UserError(
            f"{latest} is no link, so it cannot be led to the new run; move it away, or give a "
            "run_dir"
        )
    above = folder.parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        reason = "cannot be written to" if above.is_dir() else "is no folder"
        raise UserError(
            f"the run folder {folder} cannot be made ({above} {reason}); give another run_dir"
        )


def _dated(parent: Path) -> Path:
    """parent/DATE_TIME, with -2, -3 ... where two runs begin in one second."""
    name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder, number = parent / name, 1
    while folder.exists():
        number += 1
        folder = parent / f"{name}-{number}"
    return folder


def resumed_config(run: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run with the few keys that may change.

    given: the keys that the user typed beside resume, with their values.
    """
    run = resolved(run)
    config = _written_config(run)
    refused = [key for key in given if key not in (*RESUMABLE, "resume")]
    if refused:
        raise UserError(
            f"resume={run} takes its config from the run, so {', '.join(refused)} cannot be "
            f"given; only {', '.join(RESUMABLE)} can."
        )
    longer = "steps" in given and given["steps"] != config["steps"]
    if longer and config["optimizer"]["schedule"]["kind"] != "constant" and not given.get("extend"):
        raise UserError(
            f"steps={given['steps']} changes the learning rate of a run that was planned for "
            f"steps={config['steps']}; add extend=true if that is meant."
        )
    return {**config, **given, "resume": run}


def _written_config(run: str) -> dict[str, Any]:
    path = Path(run) / CONFIG
    if not path.is_file():
        raise UserError(f"{path} is not there; resume=RUN needs the folder of a run.")
    try:
        config: dict[str, Any] = yaml.safe_load(path.read_text())
        _ = config["steps"], config["optimizer"]["schedule"]["kind"]
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} is no config of a run ({type(error).__name__}); put back a copy of it, or "
            f"begin a new run from these weights with init={run}"
        ) from error
    return config
