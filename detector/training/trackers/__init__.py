"""Trackers by name: services beside metrics.csv and TensorBoard that figures are sent to.

One more tracker is one file here with a Logger (detector/training/loggers.py) whose `__init__` is
`(folder, *, title, config)`, and a line in TRACKERS. Its package is imported inside, since nobody
needs it but those who ask for it.
"""

from __future__ import annotations

import difflib
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.training.loggers import Logger
from detector.training.trackers.mlflow import MlflowLogger
from detector.training.trackers.wandb import WandbLogger
from wordtree.errors import UserError

# Its name in the config is the package that it needs, and our extra that installs it.
TRACKERS: dict[str, Callable[..., Logger]] = {"wandb": WandbLogger, "mlflow": MlflowLogger}

logger = logging.getLogger(__name__)


def check_trackers(names: Sequence[str]) -> None:
    """Refuses (UserError) a tracker that is not known, named twice, or not installed."""
    for name in names:
        if name not in TRACKERS:
            close = difflib.get_close_matches(str(name), TRACKERS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"choose of {', '.join(TRACKERS)}."
            raise UserError(f"trackers={list(names)}: {name} is not known; {hint}")
        if list(names).count(name) > 1:
            raise UserError(f"trackers={list(names)} names {name} twice; name it once.")
        try:
            importlib.import_module(name)
        except ImportError:
            raise UserError(
                f"trackers={list(names)}: the package {name} is not installed; "
                f"pip install 'wordtree-detector[{name}]'"
            ) from None


def open_trackers(
    names: Sequence[str], folder: Path, *, title: str, config: Mapping[str, Any]
) -> list[Logger]:
    """The trackers of a run, each going on with what it kept in the run folder, where it did.

    title: the run's name for people. config: the run's settings, flat: `group.key` to its value.
    Raises UserError where a service does not let us in.
    """
    return [Spared(name, folder, title=title, config=config) for name in names]


class Spared:
    """A tracker whose failure, once it is open, does not end the training: it is said once, and
    nothing more is sent. Services and networks fail more often than trainings do."""

    def __init__(self, name: str, folder: Path, **options: Any) -> None:
        self._name = name
        try:
            self._logger: Logger | None = TRACKERS[name](folder, **options)
        except Exception as error:
            raise UserError(
                f"the tracker {name} cannot be opened ({_first_line(error)}); set it up as its own "
                "manual says, or leave it out of trackers"
            ) from error

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Sends numbers."""
        self._send(lambda to: to.log(step, values))

    def image(self, step: int, name: str, array: NDArray[np.uint8]) -> None:
        """Sends a picture."""
        self._send(lambda to: to.image(step, name, array))

    def close(self) -> None:
        """Ends the tracker's run."""
        self._send(lambda to: to.close())

    def _send(self, action: Callable[[Logger], None]) -> None:
        if self._logger is None:
            return
        try:
            action(self._logger)
        except Exception as error:
            self._logger = None
            logger.warning(
                "the tracker %s failed (%s); nothing more is sent to it, metrics.csv goes on",
                self._name,
                _first_line(error),
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
