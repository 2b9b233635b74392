"""Days on which things go wrong: small copies of rows of docs/reliability.md, on whole runs."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.faults import row01, row28
from benchmarks.faults.row07 import Spoilt
from benchmarks.faults.run import rows
from benchmarks.faults.tiny_run import TINY, Job, assert_nothing_left
from data.loader import Loader
from detector.losses import Criterion
from detector.training.callbacks import StopOnSignal
from detector.training.distributed import ALONE
from detector.training.loggers import CsvLogger, TensorBoardLogger
from tools.config import compose_config
from tools.run_folder import refuse_taken, resumed_config
from tools.training_run import train
from wordtree import UserError

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
FULL = Path("/dev/full")


def tiny(folder: Path, *given: str) -> dict[str, Any]:
    return compose_config([*TINY, "workers=0", "steps=4", *given, f"run_dir={folder}"])


@linux
@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row01, "KILLS", 2)
    monkeypatch.setattr(row01, "STEPS", 8)
    assert row01.run(seconds=60).startswith("2 kills")


@linux
@pytest.mark.slow
def test_memory_is_flat_over_three_hundred_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    # So few steps do not tell two per cent: a leak of a batch a step would be seen.
    monkeypatch.setattr(row28, "GROWTH", 0.1)
    assert row28.run(seconds=120, steps=300, settled=100).startswith("300 steps")


@linux
@pytest.mark.slow
def test_sigterm_to_the_whole_group_ends_the_run_after_its_step(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    job = Job([*TINY, "steps=5000", "workers=1", f"run_dir={folder}"], tmp_path / "log")
    job.wait_until(lambda: "\nstep " in job.said(), "first step")
    job.send(signal.SIGTERM, group=True)
    assert job.end() == 143
    assert f"resume={folder}" in job.said()
    assert_nothing_left(job.pid)


class Numbers:
    """Stands for a stream: what a loader asks of it."""

    def __getitem__(self, position: int) -> Any:
        from data.sample import Input, Sample

        image = torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()
        sample = Sample(image, "background", path="photo")
        region = torch.tensor([[0.0, 0.0, 8.0, 8.0]]).numpy()
        return Input(image, (sample,), region, position=position)


@linux
def test_a_worker_obeys_its_trainer_alone() -> None:
    with Loader(Numbers(), batch_size=1, workers=1) as loader:  # type: ignore[arg-type]
        batches = iter(loader)
        next(batches)
        children = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
        (worker,) = (int(pid) for pid in Path(children).read_text().split() if is_worker(pid))
        for number in ("TERM", "INT"):
            subprocess.run(["kill", f"-{number}", str(worker)], check=True)
        for _ in range(20):
            next(batches)
        os.kill(worker, signal.SIGTERM)
        os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)


def is_worker(pid: str) -> bool:
    """Whether a child was forked from this process, and not started with a command of its own."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return command == Path(f"/proc/{os.getpid()}/cmdline").read_bytes()


@pytest.mark.parametrize("position", [2, 3])
def test_an_infinite_gradient_names_the_photos_of_its_own_part_of_the_step(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    position: int,
) -> None:
    folder, forward = tmp_path / "run", Criterion.forward

    def spoilt(self: Criterion, predictions: Any, batch: Any, seen: int) -> Any:
        parts = forward(self, predictions, batch, seen)
        if batch.position[0] == position:
            parts["total"] = Spoilt.apply(parts["total"])
        return parts

    monkeypatch.setattr(Criterion, "forward", spoilt)
    assert train(tiny(folder, "accumulate=2", "checkpoint_every=1"), command="test") == 3
    said = capfd.readouterr().err
    left = torch.load(folder / "non_finite_batch.pt", weights_only=True)
    assert left["position"].tolist() == [position]
    assert "gradient's norm" in said
    assert all(path in said for path in left["photo_path"])
    assert (folder / "weights/last").resolve().name == "step-1"


def test_a_resumed_run_whose_tree_changed_is_refused_before_its_config_is_touched(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    assert train(tiny(folder, "steps=1"), command="test") == 0
    before = (folder / "config.yaml").read_bytes()
    config = resumed_config(folder, {"steps": 2, "extend": True})
    config["tree"]["rule"], config["tree"]["unary"] = "first", "keep"
    with pytest.raises(UserError, match=r"its tree of \d+ nodes has the hash .* this run's of"):
        train(config, command="test")
    assert (folder / "config.yaml").read_bytes() == before


def test_a_row_stands_in_metrics_csv_before_its_step_has_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed between the two must not lose the row for good."""
    from tools import run_callbacks

    rows_then: list[int] = []
    folder, save = tmp_path / "run", run_callbacks.save_checkpoint

    def counted(*given: Any, **options: Any) -> Path:
        with (folder / "metrics.csv").open(newline="") as file:
            rows_then.append(len([row for row in csv.DictReader(file) if row["total"]]))
        return save(*given, **options)

    monkeypatch.setattr(run_callbacks, "save_checkpoint", counted)
    assert train(tiny(folder, "checkpoint_every=1"), command="test") == 0
    assert rows_then == [1, 2, 3, 4]


def test_a_signal_during_the_last_checkpoint_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools import run_callbacks

    folder, save = tmp_path / "run", run_callbacks.save_checkpoint

    def interrupted(*given: Any, **options: Any) -> Path:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        return save(*given, **options)

    monkeypatch.setattr(run_callbacks, "save_checkpoint", interrupted)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert train(tiny(folder), command="test") == 143
    assert (folder / "weights/last").resolve().name == "step-4"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_signal_handlers_are_given_back_by_close() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    listener = StopOnSignal()
    listener.start(None)  # type: ignore[arg-type]
    alone = SimpleNamespace(ranks=ALONE, agree_to_stop=lambda: None)
    listener.end(alone)  # type: ignore[arg-type]
    listener.close()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_with_the_file_by_metrics_csv(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").symlink_to(FULL)
    with pytest.raises(UserError, match=r"metrics\.csv could not be written \(No space left on"):
        CsvLogger(tmp_path / "metrics.csv", ["total"])


def test_a_logger_whose_folder_is_a_file_says_so_and_leaves_threads_their_hook(
    tmp_path: Path,
) -> None:
    (tmp_path / "tb").write_text("a user's")
    with pytest.raises(UserError, match=r"tb could not be written"):
        TensorBoardLogger(tmp_path / "tb")


def test_a_folder_at_runs_latest_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/latest").mkdir(parents=True)
    with pytest.raises(UserError, match="runs/latest is no link"):
        refuse_taken({"run_dir": None, "name": "emoji"})
    refuse_taken({"run_dir": "elsewhere", "name": "emoji"})


def test_every_row_of_the_fault_runs_says_what_it_is_about() -> None:
    found = rows()
    assert {1, 2, 3, 4, 5, 6, 7, 8, 12, 23, 24, 25, 26, 27, 28} <= set(found)
    assert all(len(fault) > 20 for fault in found.values())
