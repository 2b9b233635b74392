"""Where a run's figures go: metrics.csv, TensorBoard, and the trackers that its config names."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detector.losses import PARTS
from detector.training.loggers import CsvLogger, Logger, TensorBoardLogger
from detector.training.trackers import open_trackers

COLUMNS = ("total", *PARTS, "learning_rate", "ap50.all", "ap50.boxed", "ap50.label_only")


def opened_loggers(
    config: Mapping[str, Any], folder: Path, *, resume_step: int | None
) -> list[Logger]:
    """The loggers of a run, opened; resume_step: None for a new one.

    Where one cannot be opened (UserError), nothing is left of a new run: its folder is removed.
    """
    opened: list[Logger] = []
    try:
        opened.append(CsvLogger(folder / "metrics.csv", COLUMNS, resume_step=resume_step))
        opened.append(TensorBoardLogger(folder / "tb", resume_step=resume_step))
        title, settings = f"{config['name']}/{folder.name}", flat(config)
        for name in config["trackers"]:
            opened += open_trackers([name], folder, title=title, config=settings)
    except BaseException:  # a question of a tracker's may be answered with Ctrl-C
        for one in opened:
            one.close()
        if resume_step is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return opened


def flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `group.key: value`."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[prefix + key] = value
    return found
