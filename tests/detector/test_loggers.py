"""metrics.csv and TensorBoard."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from detector.training.loggers import CsvLogger, TensorBoardLogger
from wordtree import UserError


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_lines_are_on_disk_at_once_and_read_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logger = CsvLogger(path, ["total", "box", "ap50"])
    logger.log(1, {"box": 1 / 3, "total": math.pi})
    logger.log(2, {"total": 1e-30, "ap50": 0.5})
    assert path.read_text().splitlines()[0] == "step,total,box,ap50"
    first, second = rows(path)
    assert float(first["box"]) == 1 / 3
    assert float(first["total"]) == math.pi
    assert first["ap50"] == second["box"] == ""
    assert float(second["total"]) == 1e-30
    logger.image(2, "picture", np.zeros((2, 2, 3), np.uint8))
    logger.close()
    assert len(rows(path)) == 2


def test_a_name_that_is_no_column_is_refused(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path / "metrics.csv", ["total"])
    with pytest.raises(ValueError, match="ap50"):
        logger.log(1, {"ap50": 0.5})


@pytest.mark.parametrize("tail", ["", "4", "5,", "4,1.0", "garbage\n", "12,9.0\n"])
def test_a_resumed_run_goes_on_after_the_step_of_its_checkpoint(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "metrics.csv"
    logger = CsvLogger(path, ["total"])
    for step in range(1, 6):
        logger.log(step, {"total": step / 7})
    logger.close()
    whole = path.read_bytes()
    path.write_bytes(whole + tail.encode())
    logger = CsvLogger(path, ["total"], resume_step=3)
    assert [row["step"] for row in rows(path)] == ["1", "2", "3"]
    for step in (4, 5):
        logger.log(step, {"total": step / 7})
    logger.close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("left", ["", "step,to"])
def test_a_run_killed_before_its_first_line_resumes_with_a_header(
    tmp_path: Path, left: str
) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(left)
    CsvLogger(path, ["total"], resume_step=0).log(1, {"total": 2.0})
    assert path.read_text() == "step,total\n1,2.0\n"


def test_a_lost_file_begins_anew_and_a_new_run_replaces(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    CsvLogger(path, ["total"], resume_step=7).log(8, {"total": 1.0})
    assert [row["step"] for row in rows(path)] == ["8"]
    CsvLogger(path, ["total"]).close()
    assert rows(path) == []


def test_a_file_with_other_columns_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step;total\n1;2\n")
    with pytest.raises(UserError, match="has the columns step;total instead of step,total"):
        CsvLogger(path, ["total"], resume_step=1)
    assert path.read_text() == "step;total\n1;2\n"


def test_tensorboard_shows_no_step_twice_after_a_resume(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = TensorBoardLogger(tmp_path)
    for step in range(1, 6):
        logger.log(step, {"total": float(step)})
    logger.image(2, "val_batch", np.full((4, 6, 3), 200, np.uint8))
    logger.close()
    logger = TensorBoardLogger(tmp_path, resume_step=3)
    for step in (4, 5):
        logger.log(step, {"total": 10.0 * step})
    logger.close()
    events = reader.EventAccumulator(str(tmp_path))
    events.Reload()
    shown = [(e.step, e.value) for e in events.Scalars("total")]
    assert shown == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0), (5, 50.0)]
    (image,) = events.Images("val_batch")
    assert (image.step, image.height, image.width) == (2, 4, 6)
