"""Where figures and pictures of a run go: metrics.csv and TensorBoard, always.

A logger is a class of three methods; services that are asked for by name are in `trackers`.
"""

from __future__ import annotations

import csv
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordtree.errors import UserError

PICTURE_SIDE = 768  # pixels; the picture in full is a file of the run folder


class Logger(Protocol):
    """What the training loop's callbacks write to."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name, as they stand after `step` steps."""

    def image(self, step: int, name: str, array: NDArray[np.uint8]) -> None:
        """A picture: uint8 (H, W, 3), RGB."""

    def close(self) -> None:
        """Nothing is logged after this."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """A disk that refuses (full, read-only) is a UserError that names the file."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} could not be written ({error.strerror or error}); free or mend the disk and "
            f"resume the run."
        ) from error


def log_pictures(loggers: Iterable[Logger], step: int, files: Iterable[Path]) -> None:
    """Shows picture files to loggers by their names without ending, scaled down to PICTURE_SIDE."""
    for file in files:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        for logger in loggers:
            logger.image(step, file.stem, np.array(picture))


class CsvLogger:
    """`metrics.csv`: a line a call, its columns `step` and those named at the start.

    Numbers are written so that they read back exactly; a value that is not given leaves its
    place empty. Every line reaches the operating system before `log` returns.

    resume_step: lines of later steps, and half a line that a killed process left, are cut off.
    Raises UserError where the file to go on with has other columns.
    """

    def __init__(
        self, path: str | Path, columns: Sequence[str], *, resume_step: int | None = None
    ) -> None:
        self.path, self.columns = Path(path), ("step", *columns)
        going_on = resume_step is not None and self.path.is_file()
        if resume_step is not None and going_on:
            cut_back(self.path, self.columns, resume_step)
        with naming(self.path):
            self._file = self.path.open("a" if going_on else "w", newline="", encoding="utf-8")
            self._writer = csv.DictWriter(self._file, self.columns, lineterminator="\n")
            if self._file.tell() == 0:
                self._writer.writeheader()
                self._file.flush()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes a line; ValueError for a name that is no column."""
        with naming(self.path):
            self._writer.writerow({"step": step, **values})
            self._file.flush()

    def image(self, step: int, name: str, array: NDArray[np.uint8]) -> None:
        """A table has no place for pictures."""

    def close(self) -> None:
        """Closes the file."""
        # What is left to be written here could not be written before, and that was said.
        with suppress(OSError):
            self._file.close()


def cut_back(path: Path, columns: Sequence[str], step: int) -> None:
    """Cuts a metrics.csv off before its first line that is later than `step`, or not whole."""
    lines = path.read_bytes().splitlines(keepends=True)
    header = ",".join(columns).encode() + b"\n"
    if lines and lines[0].endswith(b"\n") and lines[0] != header:
        found = lines[0].decode(errors="replace").strip()
        raise UserError(
            f"{path} has the columns {found} instead of {','.join(columns)}; move it away to go "
            f"on with a new one."
        )
    length = 0
    for number, line in enumerate(lines):
        late = number > 0 and not (
            line.split(b",")[0].isdigit() and int(line.split(b",")[0]) <= step
        )
        if late or not line.endswith(b"\n"):
            break
        length += len(line)
    with path.open("r+b") as file:
        file.truncate(length)


class TensorBoardLogger:
    """Scalars and images for TensorBoard, below `folder`.

    resume_step: what an earlier process logged of later steps is purged from the display.
    """

    def __init__(self, folder: str | Path, *, resume_step: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

        purge = None if resume_step is None else resume_step + 1
        self.folder = Path(folder)
        self._hook = threading.excepthook
        threading.excepthook = self._unless_ours
        with naming(self.folder):
            self._writer = SummaryWriter(str(folder), purge_step=purge)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """A scalar a name."""
        with naming(self.folder):
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, array: NDArray[np.uint8]) -> None:
        """A picture: uint8 (H, W, 3), RGB."""
        with naming(self.folder):
            self._writer.add_image(name, array, step, dataformats="HWC")

    def close(self) -> None:
        """Writes out what waits and closes the file; says nothing where an error is on its way."""
        failed = sys.exc_info()[0] is not None
        try:
            with suppress(OSError) if failed else naming(self.folder):
                self._writer.close()
        finally:
            threading.excepthook = self._hook

    def _unless_ours(self, died: threading.ExceptHookArgs) -> None:
        # What its thread dies of, the writer raises again at its next call.
        if type(died.thread).__module__ != "tensorboard.summary.writer.event_file_writer":
            self._hook(died)
