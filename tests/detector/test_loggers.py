"""metrics.csv, TensorBoard, and trackers, whose packages are played by fakes."""

from __future__ import annotations

import csv
import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detector.training.loggers import CsvLogger, TensorBoardLogger, log_pictures
from detector.training.trackers import check_trackers, open_trackers
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


def test_pictures_go_to_loggers_by_name_and_not_larger_than_a_screen(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1000), (10, 200, 30)).save(tmp_path / "val_batch0.png")
    seen: list[tuple[int, str, tuple[int, ...]]] = []

    class Eye(CsvLogger):
        def image(self, step: int, name: str, array: Any) -> None:
            assert array.dtype == np.uint8
            assert array[5, 5].tolist() == [10, 200, 30]
            seen.append((step, name, array.shape))

    log_pictures([Eye(tmp_path / "a.csv", [])], 7, [tmp_path / "val_batch0.png"])
    assert seen == [(7, "val_batch0", (384, 768, 3))]


class FakeWandb(types.ModuleType):
    """What WandbLogger uses of wandb."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.starts: list[dict[str, Any]] = []
        self.said: list[Any] = []
        self.broken = False

    def Image(self, array: Any) -> str:
        return f"picture {array.shape}"

    def init(self, **options: Any) -> FakeWandb:
        self.starts.append(options)
        return self

    def define_metric(self, name: str, step_metric: str) -> None:
        self.said.append((name, step_metric))

    def log(self, values: dict[str, Any]) -> None:
        if self.broken:
            raise ConnectionError("no network\nat all")
        self.said.append(values)

    def finish(self) -> None:
        self.said.append("finished")


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_wandb_gets_settings_figures_and_pictures(tmp_path: Path, wandb: FakeWandb) -> None:
    check_trackers(["wandb"])
    (logger,) = open_trackers(["wandb"], tmp_path, title="emoji/x", config={"steps": 3})
    logger.log(1, {"total": 0.5})
    logger.image(2, "val_batch0", np.zeros((2, 3, 3), np.uint8))
    logger.close()
    (start,) = wandb.starts
    assert (start["name"], start["config"]) == ("emoji/x", {"steps": 3})
    assert start["dir"] == str(tmp_path)
    assert wandb.said == [
        ("*", "step"),
        {"step": 1, "total": 0.5},
        {"step": 2, "val_batch0": "picture (2, 3, 3)"},
        "finished",
    ]


def test_a_resumed_run_goes_on_in_its_own_wandb_run(tmp_path: Path, wandb: FakeWandb) -> None:
    for place in (tmp_path, tmp_path):
        open_trackers(["wandb"], place, title="a", config={})
    (tmp_path / "other").mkdir()
    open_trackers(["wandb"], tmp_path / "other", title="a", config={})
    first, again, other = (start["id"] for start in wandb.starts)
    assert first == again != other
    assert all(start["resume"] == "allow" for start in wandb.starts)


class FakeMlflow(types.ModuleType):
    """What MlflowLogger uses of mlflow; a client of its own, and one run after another."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.entities = types.SimpleNamespace(Metric=lambda *given: given)
        self.places: list[str] = []
        self.said: list[Any] = []
        self.runs = 0

    def MlflowClient(self, place: str) -> FakeMlflow:
        self.places.append(place)
        return self

    def get_experiment_by_name(self, name: str) -> None:
        self.said.append(name)

    def create_experiment(self, name: str, files: str | None) -> str:
        self.said.append(("experiment", name, files))
        return "7"

    def create_run(self, experiment: str, run_name: str) -> Any:
        self.runs += 1
        info = types.SimpleNamespace(run_id=f"run{self.runs}")
        return types.SimpleNamespace(info=info)

    def log_param(self, run: str, key: str, value: str) -> None:
        self.said.append((run, key, value))

    def log_batch(self, run: str, metrics: Any) -> None:
        self.said.append((run, [(name, value, step) for name, value, _, step in metrics]))

    def log_image(self, run: str, array: Any, *, key: str, step: int) -> None:
        self.said.append((run, array.shape, key, step))

    def set_terminated(self, run: str) -> None:
        self.said.append((run, "ended"))


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    fake = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return fake


def test_mlflow_gets_settings_figures_and_pictures_beside_the_run(
    tmp_path: Path, mlflow: FakeMlflow
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (logger,) = open_trackers(["mlflow"], run, title="emoji/x", config={"steps": 3})
    logger.log(1, {"total": 0.5, "box": 0.25})
    logger.image(2, "val_batch0", np.zeros((2, 3, 3), np.uint8))
    logger.close()
    assert mlflow.places == [f"sqlite:///{tmp_path.resolve() / 'mlflow.db'}"]
    assert mlflow.said[2:] == [
        ("run1", "steps", "3"),
        ("run1", [("total", 0.5, 1), ("box", 0.25, 1)]),
        ("run1", (2, 3, 3), "val_batch0", 2),
        ("run1", "ended"),
    ]


def test_a_resumed_run_goes_on_in_its_own_mlflow_run(
    tmp_path: Path, mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker")
    open_trackers(["mlflow"], tmp_path, title="a", config={"steps": 3})
    # A setting that changed would be refused: they are written once.
    (again,) = open_trackers(["mlflow"], tmp_path, title="a", config={"steps": 9})
    again.log(4, {"total": 1.0})
    assert mlflow.places == ["http://tracker"] * 2
    assert [said for said in mlflow.said if said[0] == "run1"] == [
        ("run1", "steps", "3"),
        ("run1", [("total", 1.0, 4)]),
    ]


def test_a_tracker_that_is_not_installed_is_refused_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
        with pytest.raises(UserError, match=rf"pip install 'wordtree-detector\[{name}\]'"):
            check_trackers([name])


def test_a_tracker_that_is_not_known_or_named_twice_is_refused(wandb: FakeWandb) -> None:
    with pytest.raises(UserError, match="wanbd is not known; did you mean 'wandb'"):
        check_trackers(["wanbd"])
    with pytest.raises(UserError, match="names wandb twice"):
        check_trackers(["wandb", "wandb"])


def test_a_tracker_that_fails_later_is_told_once_and_left_alone(
    tmp_path: Path, wandb: FakeWandb, caplog: pytest.LogCaptureFixture
) -> None:
    (logger,) = open_trackers(["wandb"], tmp_path, title="a", config={})
    wandb.broken = True
    logger.log(1, {"total": 1.0})
    logger.log(2, {"total": 1.0})
    logger.close()
    (told,) = caplog.records
    assert "tracker wandb failed (no network)" in told.getMessage()
    assert "finished" not in wandb.said


def test_a_tracker_that_lets_nobody_in_is_a_users_mistake(
    tmp_path: Path, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("no API key")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(UserError, match=r"wandb cannot be opened \(no API key\)"):
        open_trackers(["wandb"], tmp_path, title="a", config={})
