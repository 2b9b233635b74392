"""Whole runs, tiny ones: their folder and figures, going on exactly, and ending badly."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from data.images import BrokenPhoto
from data.sources.emoji import EmojiPhotos, EmojiScenes
from detector.losses import PARTS, Criterion
from detector.training.distributed import Ranks
from detector.training.trackers import TRACKERS
from detector.training.trainer import Trainer
from tools.config import compose_config
from tools.config_parts import check_parts
from tools.run_folder import reported_steps, resumed_config
from tools.run_loggers import COLUMNS, opened_loggers
from tools.training_run import launcher, train
from wordtree import UserError

ROOT = Path(__file__).resolve().parents[1]
NETWORK = [
    "network=narrow",
    "+network.backbone_options={widths: [8, 8, 16, 16, 16], blocks: [0, 0, 0, 0, 0]}",
    "network.neck_width=16",
    "network.head.class_tower=16",
    "network.head.box_tower=8",
]
TINY = [
    "experiment=emoji",
    *NETWORK,
    "image_size=64",
    "batch_size=4",
    "steps=4",
    "log_every=1",
    "threads=1",
    "workers=0",
    "data.validation.length=6",
    "mixture.grids=[{rows: 1, columns: 1, kinds: [boxed], source: scenes}, "
    "{rows: 2, columns: 2, source: tiles}]",
]

# train.py in a process that dies in its fourth step, after the checkpoint and the row of others.
DIES = """
import os, signal, sys
import train
from detector.training.trainer import Trainer

step = Trainer._optimiser_step

def die(trainer, batches):
    if trainer.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(trainer, batches)

Trainer._optimiser_step = die
train.main(sys.argv[1:])
"""


def tiny(**changes: Any) -> dict[str, Any]:
    """The config of a run of seconds; `changes` are top keys of it."""
    return {
        **compose_config(TINY),
        **{k: str(v) if k == "run_dir" else v for k, v in changes.items()},
    }


def run(folder: Path, **changes: Any) -> int:
    return train(tiny(run_dir=folder, **changes), command="test")


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def losses(folder: Path) -> list[dict[str, str]]:
    """The rows of losses as they are written, to the last digit."""
    return [row for row in metrics(folder) if row["total"]]


def weights(folder: Path, name: str = "model.safetensors") -> bytes:
    return (folder / "weights/last" / name).read_bytes()


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Python in a process of its own, in the folder above the run's."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run that found its own place below the working folder."""
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert train(tiny(), command="python train.py experiment=emoji") == 0
    return (place / "runs/latest").resolve()


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps with an averaged copy of the weights, never interrupted."""
    folder = tmp_path_factory.mktemp("six") / "run"
    assert run(folder, steps=6, ema=0.9, evaluate_every=0) == 0
    return folder


def test_a_run_folder_holds_all_that_the_contract_names(done: Path) -> None:
    names = {path.name for path in done.iterdir()}
    assert names >= {
        *("config.yaml", "wordtree.json", "versions.txt", "weights", "tb", "metrics.csv"),
        *("train_batch0.jpg", "val_batch0.jpg", "pr_curve.png", "gradcam0.jpg"),
        *("report.md", "report.json"),
    }
    for link in ("last", "best"):
        assert (done / "weights" / link).is_symlink()
        assert {path.name for path in (done / "weights" / link).iterdir()} == {
            *("model.safetensors", "ema.safetensors", "optimizer.pt", "state.json"),
            "MANIFEST.sha256",
        }


def test_report_json_has_the_keys_of_the_contract(done: Path) -> None:
    report = json.loads((done / "report.json").read_text())
    assert set(report) == {
        *("ap50", "ap", "plain", "depth", "backoff", "evaluated", "images_per_second"),
        *("seconds", "steps", "parameters", "tree_hash", "seeds", "versions"),
    }
    assert set(report["ap50"]) == set(report["ap"]) == {"all", "boxed", "label_only"}
    assert report["steps"] == 4


def test_metrics_csv_has_a_row_a_step_and_then_the_figures(done: Path) -> None:
    rows = metrics(done)
    assert list(rows[0]) == ["step", *COLUMNS]
    assert [row["step"] for row in losses(done)] == ["1", "2", "3", "4"]
    for row in losses(done):
        assert all(np.isfinite(float(row[name])) for name in ("total", *PARTS, "learning_rate"))
    assert [row["step"] for row in rows if row["ap50.all"]] == ["4"]


def test_latest_leads_to_the_newest_run_that_named_itself(done: Path) -> None:
    link = done.parents[1] / "latest"
    assert link.is_symlink()
    assert not Path(os.readlink(link)).is_absolute()
    assert done.parent.name == "emoji"


def test_a_run_dir_of_ones_own_leaves_latest_alone(six: Path) -> None:
    assert not (six.parent / "runs").exists()


def test_a_run_folder_that_is_there_is_refused(done: Path) -> None:
    before = (done / "config.yaml").read_bytes()
    with pytest.raises(UserError, match="exists already; give another run_dir, or resume="):
        run(done)
    assert (done / "config.yaml").read_bytes() == before


def test_a_finished_run_says_so(done: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = weights(done)
    assert train(resumed_config(done, {}), command="test") == 0
    assert "is finished (4 steps)" in capfd.readouterr().err
    assert weights(done) == before


def test_a_run_whose_last_step_was_interrupted_gets_its_report(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: Callable[..., None],
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        assert run(folder) == 143
    assert not (folder / "report.json").exists()
    assert train(resumed_config(folder, {}), command="test") == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["steps"] == 4
    assert report["images_per_second"] > 0
    assert report["seconds"] > 0
    assert (folder / "val_batch0.jpg").is_file()


def test_a_lengthened_run_that_is_stopped_goes_on_to_its_own_report(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: Callable[..., None],
) -> None:
    folder = tmp_path / "run"
    assert run(folder, steps=1, evaluate_every=0) == 0
    longer = resumed_config(folder, {"steps": 3, "extend": True})
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        assert train(longer, command="test") == 143
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        assert train(resumed_config(folder, {}), command="test") == 143
    assert json.loads((folder / "report.json").read_text())["steps"] == 1
    assert train(resumed_config(folder, {}), command="test") == 0
    assert json.loads((folder / "report.json").read_text())["steps"] == 3


def test_a_signal_during_the_last_evaluation_ends_it_and_the_weights_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def interrupted(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    # A shell's background jobs start with Ctrl-C ignored, and the tests may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr("tools.run_callbacks.measure", interrupted)
            assert run(folder) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert (folder / "weights/last").resolve().name == "step-4"
    assert train(resumed_config(folder, {}), command="test") == 0
    assert json.loads((folder / "report.json").read_text())["steps"] == 4


def test_resume_refuses_every_other_key_by_name(done: Path) -> None:
    with pytest.raises(UserError, match=r"so batch_size, optimizer\.rate cannot be given"):
        resumed_config(done, {"batch_size": 8, "optimizer.rate": 1.0, "workers": 1})


def test_resume_lengthens_a_planned_run_only_if_that_is_meant(done: Path) -> None:
    with pytest.raises(UserError, match="planned for steps=4; add extend=true"):
        resumed_config(done, {"steps": 9})
    assert resumed_config(done, {"steps": 9, "extend": True})["steps"] == 9


def test_resume_with_fewer_steps_than_are_done_is_refused(done: Path) -> None:
    before = (done / "config.yaml").read_bytes()
    with pytest.raises(UserError, match=r"steps=2 is less than .* has done \(4\); give steps=4"):
        train(resumed_config(done, {"steps": 2, "extend": True}), command="test")
    assert (done / "config.yaml").read_bytes() == before


def test_a_resumed_run_stays_its_own_where_latest_is_led_elsewhere(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = done.parents[2]
    monkeypatch.chdir(place)
    config = resumed_config("runs/latest", {})
    assert config["resume"] == str(done.relative_to(place))
    monkeypatch.chdir(tmp_path)
    assert resumed_config(place / "runs/latest", {})["resume"] == str(done)


@pytest.mark.parametrize("text", ["", "a: [", "steps: 3", "- 1"])
def test_a_config_that_is_damaged_is_told_with_its_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml is no config of a run .* put back a copy"):
        resumed_config(tmp_path, {})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"steps": null}'])
def test_a_report_that_is_damaged_is_told_with_its_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(UserError, match=r"report\.json cannot be read .*; remove it, and resume="):
        reported_steps(tmp_path)


def test_a_run_without_its_written_report_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tools.training_run.write_report_md", full)
        with pytest.raises(OSError, match="No space left"):
            run(folder, steps=1, evaluate_every=0)
    assert train(resumed_config(folder, {}), command="test") == 0
    assert {"report.md", "report.json"} <= {path.name for path in folder.iterdir()}


def test_seconds_are_of_training_and_not_of_evaluation_or_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, step = 0.0, Trainer._optimiser_step

    def passes(seconds: float) -> None:
        nonlocal now
        now += seconds

    def stepped(trainer: Trainer, batches: Any) -> dict[str, float]:
        passes(1)
        return step(trainer, batches)

    monkeypatch.setattr(Trainer, "_optimiser_step", stepped)
    for name in ("measure", "write", "draw_grad_cam"):
        monkeypatch.setattr(f"tools.run_callbacks.{name}", lambda *_: passes(100))
    monkeypatch.setattr("tools.run_callbacks.time", SimpleNamespace(monotonic=lambda: now))
    folder = tmp_path / "run"
    assert run(folder, steps=3, evaluate_every=1, checkpoint_every=1) == 0
    assert now > 600
    report = json.loads((folder / "report.json").read_text())
    assert (report["seconds"], report["images_per_second"]) == (3, 4)


def test_a_tracker_that_cannot_be_opened_leaves_no_run_and_may_be_left_out_on_resume(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no login")

    monkeypatch.setitem(TRACKERS, "wandb", refuses)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"wandb cannot be opened \(no login\).* leave it out of"):
        train(tiny(trackers=["wandb"]), command="test")
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    assert not os.path.lexists("runs/latest")
    with pytest.raises(UserError, match="no login"):
        opened_loggers({**tiny(), "trackers": ["wandb"]}, done, resume_step=4)
    assert (done / "report.json").exists()
    assert resumed_config(done, {"trackers": []})["trackers"] == []


def test_a_run_of_several_processes_is_started_again_by_torchrun() -> None:
    assert launcher(Ranks()) == "python"
    assert launcher(Ranks(0, 2, 0, 2)) == "torchrun --nproc_per_node=2"
    assert launcher(Ranks(0, 8, 0, 4)) == "torchrun --nnodes=2 --nproc_per_node=4"


def test_resume_of_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.yaml is not there; resume=RUN needs"):
        resumed_config(tmp_path, {})


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_run_goes_on_to_the_same_bits(workers: int, six: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    given = [*TINY, "steps=6", "ema=0.9", "evaluate_every=0", "checkpoint_every=2"]
    process = start(folder, "-c", DIES, *given, f"run_dir={folder}", f"workers={workers}")
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    assert len(losses(folder)) == 3
    assert (folder / "weights/last").resolve().name == "step-2"

    # The other number of workers goes on: it never changes a draw.
    config = resumed_config(folder, {"workers": 1 - workers})
    assert train(config, command="test") == 0
    assert losses(folder) == losses(six)
    for name in ("model.safetensors", "ema.safetensors"):
        assert weights(folder, name) == weights(six, name)


@pytest.mark.parametrize("at", [1, 3])
def test_a_run_that_goes_on_after_any_step_has_the_same_bits(
    at: int,
    six: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: Callable[..., None],
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_after(at, patch)
        assert run(folder, steps=6, ema=0.9, evaluate_every=0) == 143
    assert len(losses(folder)) == at
    assert train(resumed_config(folder, {}), command="test") == 0
    assert losses(folder) == losses(six)
    for name in ("model.safetensors", "ema.safetensors"):
        assert weights(folder, name) == weights(six, name)


@pytest.mark.slow
def test_sigterm_ends_the_run_after_its_step_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(
        folder,
        str(ROOT / "train.py"),
        *(*TINY, "steps=5000", f"run_dir={folder}", "checkpoint_every=2"),
    )
    wait_for(folder / "weights/last", process)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert f"resume={folder}" in said
    state = json.loads((folder / "weights/last/state.json").read_text())
    assert state["step"] == len(losses(folder))
    assert not (folder / "report.json").exists()


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    forward = Criterion.forward

    def spoilt(self: Criterion, predictions: Any, batch: Any, seen: int) -> Any:
        parts = forward(self, predictions, batch, seen)
        spoil = torch.tensor(float("nan") if seen == 12 else 1.0)  # at the third step
        return {**parts, "total": parts["total"] * spoil, "box": parts["box"] * spoil}

    monkeypatch.setattr(Criterion, "forward", spoilt)
    monkeypatch.chdir(tmp_path)
    assert run(folder, checkpoint_every=2, evaluate_every=0) == 3
    said = capfd.readouterr().err
    assert "not finite at step 3" in said
    assert "box = nan" in said
    assert "emoji:" in said
    batch = torch.load(folder / "non_finite_batch.pt", weights_only=True)
    assert batch["position"].tolist() == [8, 9, 10, 11]
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    assert (folder / "weights/last").resolve().name == "step-2"
    assert not (folder / "weights/step-3").exists()

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("unexpected pos 128 vs 22")  # torch.save on a full disk

    monkeypatch.setattr("tools.left_batch.torch.save", full)
    assert run(tmp_path / "full", evaluate_every=0) == 3
    said = capfd.readouterr().err
    assert said.index("not finite at step 3") < said.index("could not be kept in")


def break_photos(monkeypatch: pytest.MonkeyPatch, broken: Callable[[str, int], object]) -> None:
    """Photos for which `broken(source's name, index)` holds cannot be read."""
    for source in (EmojiScenes, EmojiPhotos):

        def read(self: Any, index: int, *, size: Any = None, _read: Any = source.read) -> Any:
            if broken(self.name, index):
                raise BrokenPhoto(f"photo {index}", "cut off")
            return _read(self, index, size=size)

        monkeypatch.setattr(source, "read", read)


def test_a_broken_photo_is_skipped_and_too_many_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_photos(monkeypatch, lambda name, index: index % 2 and name != "validation")
    assert run(tmp_path / "run", evaluate_every=0, steps=1) == 0
    state = json.loads((tmp_path / "run/weights/last/state.json").read_text())
    assert state["broken"]
    assert all(why == "cut off" for _, why in state["broken"])
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    other = tmp_path / "other"
    with pytest.raises(UserError, match=r"more than max_broken=1; mend them, or resume with"):
        run(other, evaluate_every=0, steps=4, max_broken=1)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert train(resumed_config(other, {"max_broken": 500}), command="test") == 0
    whole = tmp_path / "whole"
    assert run(whole, evaluate_every=0, steps=4, max_broken=500) == 0
    assert weights(other) == weights(whole)


def test_broken_validation_photos_are_in_the_report_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_photos(monkeypatch, lambda name, index: index == 0 and name == "validation")
    assert run(tmp_path / "run") == 0
    assert "photo 0" in (tmp_path / "run/report.md").read_text()
    assert (tmp_path / "run/gradcam0.jpg").is_file()


def test_init_takes_the_weights_of_another_run_alone(six: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run(folder, steps=1, evaluate_every=0, init=str(six)) == 0
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["init"] == str(six)
    assert losses(folder)[0]["total"] != losses(six)[0]["total"]
    assert losses(folder)[0]["step"] == "1"


def test_init_is_kept_without_links_and_not_read_again_on_resume(
    six: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: Callable[..., None],
) -> None:
    monkeypatch.chdir(tmp_path)
    first = tmp_path / "first"
    shutil.copytree(six, first, symlinks=True)
    Path("link").symlink_to("first")
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        assert run(tmp_path / "run", evaluate_every=0, init="link") == 143
    assert yaml.safe_load(Path("run/config.yaml").read_text())["init"] == "first"
    shutil.rmtree(first)
    config = resumed_config("run", {})
    check_parts(config)
    assert train(config, command="test") == 0


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("WORDTREE_DATA"), reason="WORDTREE_DATA is not set")
def test_photos_train_with_finite_losses_of_every_kind(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = compose_config(
        [
            *("experiment=photos", *NETWORK, "image_size=96", "batch_size=6", "steps=2"),
            *("log_every=1", "threads=1", "workers=0", "evaluate_every=0", f"run_dir={folder}"),
        ]
    )
    assert train(config, command="test") == 0
    rows = losses(folder)
    assert len(rows) == 2
    for part in ("total", *PARTS):
        assert all(np.isfinite(float(row[part])) for row in rows)
        assert any(float(row[part]) > 0 for row in rows), part
