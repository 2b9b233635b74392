"""Whole runs of `train.py`, tiny: the run folder, exact resume, refusals, signals."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
TINY = [
    "experiment=emoji",
    "image_size=64",
    "batch_size=4",
    "log_every=1",
    "threads=1",
    "network.neck_width=16",
    "network.head.class_tower=16",
    "network.head.box_tower=8",
    "data.validation.length=6",
    "data.validation.canvas=[64,64]",
    "mixture.jitter=0.2",
    "mixture.grids=[{rows: 1, columns: 1, weight: 0.5, kinds: [boxed], source: scenes},"
    "{rows: 2, columns: 2, weight: 0.5, source: tiles}]",
]
FILES = [
    "config.yaml",
    "wordtree.json",
    "versions.txt",
    "tb",
    "metrics.csv",
    "train_batch0.jpg",
    "val_batch0.jpg",
    "pr_curve.png",
    "gradcam0.jpg",
    "report.md",
    "report.json",
    "weights/last",
    "weights/best",
]


def start(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    """train.py with these overrides, in `folder`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "train.py"), *overrides],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, *overrides: str) -> tuple[int, str]:
    """Exit code and standard error of a whole run."""
    process = start(folder, *overrides)
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def losses(run: Path) -> list[str]:
    """The lines of metrics.csv that hold losses, as text: equal means to the last digit."""
    lines = (run / "metrics.csv").read_text().splitlines()
    return [line for line in lines if line.split(",")[1] != ""]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a run of six steps was made, as `runs/latest`."""
    folder = tmp_path_factory.mktemp("whole")
    code, errors = finish(folder, *TINY, "steps=6", "workers=0", "ema=0.9")
    assert code == 0, errors
    return folder


def test_a_run_folder_holds_all_its_files(whole: Path) -> None:
    run = whole / "runs/latest"
    assert [name for name in FILES if not (run / name).exists()] == []
    assert run.resolve().parent == (whole / "runs/emoji").resolve()
    report = json.loads((run / "report.json").read_text())
    for figure in ("ap50", "ap", "plain"):
        assert set(report[figure]) == {"all", "boxed", "label_only"}
    assert report["steps"] == 6
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert [row["step"] for row in rows if row["total"]] == [str(n) for n in range(1, 7)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_run_resumes_to_the_last_bit(whole: Path, tmp_path: Path, workers: int) -> None:
    run = tmp_path / "run"
    given = [*TINY, "steps=6", f"workers={workers}", "ema=0.9", "checkpoint_every=2"]
    process = start(tmp_path, *given, f"run_dir={run}")
    deadline = time.monotonic() + 120
    while not (run / "weights/step-2/MANIFEST.sha256").exists():
        assert process.poll() is None or (run / "weights/step-2").exists()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    code, errors = finish(tmp_path, f"resume={run}")
    assert code == 0, errors
    reference = whole / "runs/latest"
    assert losses(run) == losses(reference)
    for file in ("model.safetensors", "ema.safetensors"):
        mine, theirs = run / "weights/last" / file, reference / "weights/last" / file
        assert mine.read_bytes() == theirs.read_bytes()


@pytest.mark.slow
def test_sigterm_ends_the_step_and_says_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(tmp_path, *TINY, "steps=100000", "workers=0", f"run_dir={run}")
    deadline = time.monotonic() + 120
    while len(losses(run) if (run / "metrics.csv").exists() else []) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "resume=" in errors
    assert (run / "weights/last/MANIFEST.sha256").exists()


def test_a_finished_run_says_so(whole: Path) -> None:
    code, errors = finish(whole, "resume=runs/latest")
    assert code == 0
    assert "is finished" in errors


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["resume=runs/latest", "seed=3"], "seed cannot be given"),
        (["resume=runs/latest", "steps=9"], "extend=true"),
        (["resume=runs/nothing"], "is not there"),
        (["experiment=emoji", "stpes=3"], "did you mean 'steps'"),
        (["experiment=emoji", "run_dir=runs/emoji"], "exists already"),
        (["experiment=photos", "data_root=nowhere"], "nowhere does not exist"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    whole: Path, overrides: list[str], words: str
) -> None:
    code, errors = finish(whole, *overrides)
    assert code == 2
    assert words in " ".join(errors.split())
    assert "Traceback" not in errors
    assert len([line for line in errors.splitlines() if line.strip()]) <= 3
