"""Sweeps: a folder a run, a table over all, and mistakes that are told before the first run."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import train
from detector.losses import Criterion
from tools import sweep
from tools.command import run_command
from tools.sweep import expand, words
from tools.sweep_table import csv_text, markdown, read_rows, show_table, spread
from wordtree import UserError

TINY = [
    "experiment=emoji",
    "network.backbone_options={widths: [8, 8, 16, 16, 16], blocks: [0, 0, 0, 0, 0]}",
    *("network.neck_width=16", "network.head.class_tower=16", "network.head.box_tower=8"),
    *("image_size=64", "batch_size=4", "steps=2", "log_every=1", "threads=1", "workers=0"),
    *("data.validation.length=2", "evaluate_every=0"),
    "mixture.grids=[{rows: 1, columns: 1, kinds: [boxed], source: scenes}, "
    "{rows: 2, columns: 2, source: tiles}]",
]


def folders(place: Path) -> dict[str, Path]:
    """The folders of runs/emoji by what stands after their date and time."""
    return {path.name.rsplit("-", 1)[1]: path for path in (place / "runs/emoji").iterdir()}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A sweep over three seeds, whose second run has a loss of NaN: the folder that it ran in, and
    its exit code."""
    place = tmp_path_factory.mktemp("sweep")
    forward = Criterion.forward
    calls = 0

    def spoilt(self: Criterion, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        parts = forward(self, *given)
        return {**parts, "total": parts["total"] * float("nan")} if calls == 3 else parts

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(Criterion, "forward", spoilt)
        code = train.main(["-m", *TINY, "seed=1,2,3"])
    return place, code


def test_every_run_has_a_folder_of_its_own_with_its_config(swept: tuple[Path, int]) -> None:
    found = folders(swept[0])
    assert set(found) == {"1", "2", "3", "sweep"}
    configs = [yaml.safe_load((found[n] / "config.yaml").read_text()) for n in "123"]
    assert [config["seed"] for config in configs] == [1, 2, 3]
    assert len({path.name.rsplit("-", 1)[0] for path in found.values()}) == 1
    assert (swept[0] / "runs/latest").resolve() == found["3"].resolve()
    # Nothing of Hydra's or of a launcher's stands anywhere else.
    assert {path.name for path in swept[0].iterdir()} == {"runs"}


def test_a_run_that_fails_is_listed_and_the_sweep_goes_on(swept: tuple[Path, int]) -> None:
    place, code = swept
    assert code == 3
    found = folders(place)
    assert not (found["2"] / "report.json").exists()
    with (found["sweep"] / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["exit code"] for row in rows] == ["0", "3", "0"]
    assert [row["seed"] for row in rows] == ["1", "2", "3"]
    assert rows[1]["reason"] == "a loss that is not finite"
    assert rows[1]["steps"] == ""
    for row in (rows[0], rows[2]):
        assert row["steps"] == "2"
        report = json.loads((place / row["folder"] / "report.json").read_text())
        assert report["seconds"] == float(row["seconds"]) > 0
    table = (found["sweep"] / "table.md").read_text()
    assert "Mean and standard deviation (n - 1) over seeds:" in table
    assert "1 of 3 did not finish" in table
    assert f"{rows[1]['folder']}: a loss that is not finite (exit code 3)" in table


def test_a_runs_report_has_the_command_that_makes_it_alone(swept: tuple[Path, int]) -> None:
    report = (folders(swept[0])["3"] / "report.md").read_text()
    line = next(line for line in report.splitlines() if "train.py" in line)
    assert "seed=3" in line
    assert "steps=2" in line
    assert "-m" not in line.split()


def test_the_table_is_made_anew_from_what_is_there(
    swept: tuple[Path, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(swept[0])
    folder = folders(Path())["sweep"]
    before = (folder / "table.md").read_text()
    kept = (folder / "job-1.json").read_text()
    (folder / "job-1.json").unlink()  # as if its process had died
    try:
        assert show_table(folder) == 3
    finally:
        (folder / "job-1.json").write_text(kept)
    assert "not run, still running, or its process died (exit code 1)" in capsys.readouterr().out
    assert show_table(folder) == 3
    assert (folder / "table.md").read_text() == before


def test_the_table_of_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sweep\.json is not there"):
        read_rows(tmp_path)


@pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None,
    reason="pip install hydra-submitit-launcher (extra slurm)",
)
@pytest.mark.slow
def test_runs_in_other_processes_end_up_in_the_same_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(train.__file__).parent))
    assert train.main(["-m", "hydra/launcher=submitit_local", *TINY, "seed=1,2"]) == 0
    found = folders(tmp_path)
    assert set(found) == {"1", "2", "sweep"}
    _, rows = read_rows(found["sweep"])
    assert [(row["code"], row["steps"], row["swept"]) for row in rows] == [
        (0, 2, {"seed": "1"}),
        (0, 2, {"seed": "2"}),
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
    assert any((found["sweep"] / ".submitit").rglob("*_log.err"))


MISTAKES = [
    ("experiment=emoji,nope", "experiment=nope is not known"),
    ("experiment=emoji stpes=1,2", "unknown key 'stpes'.*did you mean 'steps'"),
    ("seed=1,x", "seed=x is a str; it must be int"),
    ("steps=5,0", "steps=0 is out of range"),
    ("loss.rule=objectness_times_class,objectnes", "did you mean 'objectness'"),
    ("mixture.ratio=1,1e9", "cannot be held"),
    ("data.train.scenes.nodes=boxed,boxd", "nodes=boxd is not known"),
    ("experiment=photos,emoji data_root=nowhere", "nowhere does not exist"),
    ("seed=1,2 run_dir=out", "run_dir=out would be the folder of 2 runs"),
    ("run_dir=there,out", "the run folder there exists already"),
    ("seed=1,2 resume=runs/x", "resume=runs/x cannot be given with -m"),
    ("seed=interval(0,1)", "gives no list of values"),
    ("seed=1,2 hydra.sweep.dir=x", "folders of runs are ours"),
    ("hydra/launcher=nope seed=1,2", "hydra/launcher=nope is not known"),
    ("hydra/launcher=slurm seed=1,2", "there is no srun here|wordtree-detector\\[slurm\\]"),
]


@pytest.mark.parametrize(("typed", "sentence"), MISTAKES, ids=[typed for typed, _ in MISTAKES])
def test_a_mistake_in_any_run_is_told_before_the_first(
    typed: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match=sentence):
        train.main(["-m", *typed.split(" ")])
    assert {path.name for path in tmp_path.iterdir()} == {"there"}


def test_a_sweep_under_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="under torchrun give one run, without -m"):
        sweep.run_sweep({"-m": ""}, ["seed=1,2"])


def test_a_signal_in_a_run_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    begun = []

    def stopped(config: dict[str, Any], **_: Any) -> int:
        begun.append(config["seed"])
        return 130 if config["seed"] == 2 else 0

    monkeypatch.setattr("tools.training_run.train", stopped)
    assert train.main(["-m", *TINY, "seed=1,2,3"]) == 130
    assert begun == [1, 2]
    shown = capsys.readouterr().out
    assert "stopped by SIGINT (exit code 130)" in shown
    assert "not run" in shown


def test_a_users_mistake_that_one_run_finds_is_listed_with_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def fails(config: dict[str, Any], **_: Any) -> int:
        if config["seed"] == 1:
            raise UserError("x.json is not there; give another.")
        if config["seed"] == 2:
            raise ZeroDivisionError("by zero")
        return 0

    monkeypatch.setattr("tools.training_run.train", fails)
    assert run_command(lambda: train.main(["-m", *TINY, "seed=1,2,3"])) == 2
    said = capsys.readouterr()
    assert "x.json is not there; give another. (exit code 2)" in said.out
    assert "a defect of ours (ZeroDivisionError: by zero) (exit code 1)" in said.out
    assert "Traceback" not in said.err


def test_a_run_that_a_cluster_starts_again_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main(["-m", *TINY, "checkpoint_every=1", "seed=4"]) == 0
    folder = folders(Path())["1"]
    (folder / "weights/last").unlink()
    (folder / "weights/last").symlink_to("step-1")
    (folder / "report.json").unlink()
    code, reason = sweep._run({}, folder, "python train.py")
    assert (code, reason) == (0, "")
    assert json.loads((folder / "report.json").read_text())["steps"] == 2


def test_all_runs_begin_from_the_run_that_latest_led_to_at_first(
    swept: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(swept[0] / "runs", tmp_path / "runs", symlinks=True)
    monkeypatch.chdir(tmp_path)
    first = folders(Path())["3"]
    begun: list[str] = []

    def trains(config: dict[str, Any], **_: Any) -> int:
        begun.append(config["init"])
        Path("runs/latest").unlink()
        Path("runs/latest").symlink_to(f"emoji/other-{len(begun)}")
        return 0

    monkeypatch.setattr("tools.training_run.train", trains)
    train.main(["-m", *TINY, "init=runs/latest", "seed=1,2"])
    assert begun == [str(first)] * 2


def test_a_run_that_died_before_its_first_checkpoint_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/emoji/x-1")
    begun: list[bool] = []

    def trains(config: dict[str, Any], **_: Any) -> int:
        begun.append(folder.exists())
        return 0

    monkeypatch.setattr("tools.training_run.train", trains)
    for _ in range(2):
        (folder / "tb").mkdir(parents=True)
        assert sweep._run({}, folder, "python train.py") == (0, "")
    assert begun == [False, False]
    assert {path.name for path in folder.parent.iterdir()} == {"x-1-dead", "x-1-dead-2"}
    assert "x-1 has no checkpoint to go on from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [("", "runs is no folder"), (" run_dir=out", "the sweep's folder runs/.* cannot be made")],
)
def test_a_file_at_runs_is_told_before_anything_is_made(
    given: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("a user's")
    with pytest.raises(UserError, match=said):
        train.main(["-m", *TINY, *given.split()])
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_folder_at_runs_latest_is_refused_before_the_sweeps_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/latest").mkdir(parents=True)
    with pytest.raises(UserError, match="runs/latest is no link"):
        train.main(["-m", *TINY, "seed=1,2"])
    assert [path.name for path in Path("runs").iterdir()] == ["latest"]


def test_jobs_are_all_combinations_the_last_key_changing_fastest() -> None:
    jobs = expand(["a=1,2", "b=x", "+c=range(1,3)", "~d", "hydra.verbose=true", "e=[1,2],[3]"])
    assert [words(job) for job in jobs[:4]] == [
        ["a=1", "b=x", "+c=1", "~d=null", "e=[1,2]"],
        ["a=1", "b=x", "+c=1", "~d=null", "e=[3]"],
        ["a=1", "b=x", "+c=2", "~d=null", "e=[1,2]"],
        ["a=1", "b=x", "+c=2", "~d=null", "e=[3]"],
    ]
    assert len(jobs) == 8


def row(seed: str, rate: str, ap50: float | None, code: int = 0) -> dict[str, Any]:
    """A row of the table as read_rows has it."""
    figures = {"AP50": ap50, "AP50 boxed": ap50, "AP50 label-only": None, "steps": 9}
    swept = {"seed": seed, "rate": rate}
    said = {"code": code, "reason": "why" if code else ""}
    return {"folder": f"runs/{seed}|{rate}", "swept": swept, **said, **figures, "seconds": 2.0}


def test_spread_is_over_runs_that_differ_in_the_seed_alone() -> None:
    rows = [row("1", "a", 0.2), row("2", "a", 0.4), row("3", "a", 0.9, code=3), row("1", "b", 0.5)]
    (found,) = spread(["seed", "rate"], rows)
    assert (found["swept"], found["runs"]) == ({"rate": "a"}, 2)
    mean, deviation = found["AP50"]
    assert mean == pytest.approx(0.3)
    assert deviation == pytest.approx(((0.1**2 + 0.1**2) / 1) ** 0.5)
    assert found["AP50 label-only"] is None
    assert spread(["rate"], rows) == []


def test_the_table_holds_every_run_and_shows_text_as_text() -> None:
    rows = [row("1", "a", 0.25), row("2", "a|b", None, code=2)]
    text = markdown("python train.py -m seed=1,2", ["seed", "rate"], rows)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1, "columns stand below each other"
    assert "| 0.250 |" in lines[2]
    assert "a\\|b" in lines[3]
    assert "- runs/2|a|b: why (exit code 2)" in text
    table = list(csv.DictReader(csv_text(["seed", "rate"], rows).splitlines()))
    assert [line["AP50"] for line in table] == ["0.25", ""]


def test_tensorboard_shows_the_pictures_of_a_run(swept: tuple[Path, int]) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folders(swept[0])["1"] / "tb"))
    events.Reload()
    assert set(events.Tags()["images"]) >= {"train_batch0", "train_batch1", "gradcam0"}
