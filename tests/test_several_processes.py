"""Whole runs by several processes: one folder, one voice, going on with another number of them."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from benchmarks.faults.tiny_run import ROOT, TINY
from detector.training.distributed import ALONE, Ranks
from tools import assemble, run_callbacks
from tools.config import compose_config
from tools.run_folder import resumed_config
from tools.shares import check_same, device_of, forward_size, threads_of, workers_of
from tools.training_run import train
from wordtree import UserError

GIVEN = [*TINY, "batch_size=4", "steps=4", "workers=0"]
OnRanks = Callable[..., list[Any]]


def config_of(folder: Path | None, *more: str) -> dict[str, Any]:
    place = [] if folder is None else [f"run_dir={folder}"]
    return compose_config([*GIVEN, *more, *place])


def trains(config: dict[str, Any]) -> Callable[[Ranks], int]:
    return lambda ranks: train(dict(config), command="test", ranks=ranks)


def weights(folder: Path, name: str = "model") -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / f"weights/last/{name}.safetensors")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["total"]]


def assert_close(one: Path, other: Path) -> None:
    for name in ("model", "ema"):
        expected = weights(other, name)
        for key, value in weights(one, name).items():
            torch.testing.assert_close(value, expected[key], rtol=2e-4, atol=2e-5, msg=key)


def test_a_run_of_two_ranks_has_one_folder_and_one_voice(
    tmp_path: Path, on_ranks: OnRanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ends = on_ranks(trains(config_of(None, "evaluate_every=null", "data.validation.length=20")))
    assert [end.code for end in ends] == [0, 0], [end.said for end in ends]
    assert "2 processes, each with cpu" in ends[0].said
    assert "step 4/4" in ends[0].said
    assert ends[1].said == ""
    (folder,) = (tmp_path / "runs/emoji").iterdir()
    assert (tmp_path / "runs/latest").resolve() == folder
    for name in ("report.md", "val_batch0.jpg", "train_batch0.jpg", "gradcam0.jpg", "tb"):
        assert (folder / name).exists(), name
    assert [row["step"] for row in rows(folder)] == ["1", "2", "3", "4"]
    state = json.loads((folder / "weights/last/state.json").read_text())
    assert (state["ranks"], state["step"], state["position"], state["seen"]) == (2, 4, 16, 16)

    report = json.loads((folder / "report.json").read_text())
    assert report["ap50"]["all"] is not None
    assert len(report["evaluated"]) > 10


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_ranks_where_it_stopped(
    first: int,
    then: int,
    tmp_path: Path,
    on_ranks: OnRanks,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    stop_after: Callable[..., None],
) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    frozen = ("freeze_norm=true", "optimizer=sgd")
    assert trains(config_of(whole, *frozen))(ALONE) == 0
    with monkeypatch.context() as patch:
        stop_after(2, patch, rank=first - 1)
        ends = on_ranks(trains(config_of(folder, *frozen)), world=first)
    assert [end.code for end in ends] == [143] * first, [end.said for end in ends]
    assert sum(end.said.count("stopped by SIGTERM after step 2") for end in ends) == 1
    state = json.loads((folder / "weights/last/state.json").read_text())
    assert (state["ranks"], state["step"], state["position"]) == (first, 2, 8)

    if then == 1:
        # It takes both threads, which a forked process would wait for in vain.
        capfd.readouterr()
        threads = torch.get_num_threads()
        assert trains(resumed_config(folder, {}))(ALONE) == 0
        torch.set_num_threads(threads)
        heard = capfd.readouterr().err
    else:
        ends = on_ranks(trains(resumed_config(folder, {})), world=then)
        assert [end.code for end in ends] == [0] * then, [end.said for end in ends]
        heard = ends[0].said
    said = f"{first} processes trained this run up to step 2, and {then} go on from the same "
    assert said in " ".join(heard.split())
    assert_close(folder, whole)
    for found, expected in zip(rows(folder), rows(whole), strict=True):
        for name in ("total", "box", "weak_class"):
            assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-4)


def test_two_ranks_that_are_stopped_go_on_to_the_same_bits(
    tmp_path: Path,
    on_ranks: OnRanks,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: Callable[..., None],
) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert [end.code for end in on_ranks(trains(config_of(whole)))] == [0, 0]
    with monkeypatch.context() as patch:
        stop_after(1, patch, rank=0)
        assert [end.code for end in on_ranks(trains(config_of(folder)))] == [143, 143]
    ends = on_ranks(trains(resumed_config(folder, {})))
    assert [end.code for end in ends] == [0, 0]
    assert "processes trained this run" not in ends[0].said
    assert rows(folder) == rows(whole)
    for name in ("model", "ema"):
        files = [run / f"weights/last/{name}.safetensors" for run in (folder, whole)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_signal_to_one_rank_in_the_last_evaluation_ends_all_with_one_voice(
    tmp_path: Path, on_ranks: OnRanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    whole = run_callbacks.evaluate

    def evaluate(*given: Any, **options: Any) -> Any:
        if options["ranks"].rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(*given, **options)

    config = config_of(folder, "steps=2", "evaluate_every=null", "data.validation.length=20")
    with monkeypatch.context() as patch:
        patch.setattr(run_callbacks, "evaluate", evaluate)
        ends = on_ranks(trains(config))
    assert [end.code for end in ends] == [143] * 2, [end.said for end in ends]
    said = "".join(end.said for end in ends)
    assert said.count("stopped by SIGTERM after step 2; go on with: ") == 1, said
    assert (folder / "weights/last").resolve().name == "step-2"
    assert not (folder / "report.md").exists()
    ends = on_ranks(trains(resumed_config(folder, {})))
    assert [end.code for end in ends] == [0, 0], [end.said for end in ends]
    assert (folder / "report.md").exists()


def test_a_finished_run_ends_all_ranks_at_once(tmp_path: Path, on_ranks: OnRanks) -> None:
    folder = tmp_path / "run"
    assert trains(config_of(folder, "steps=1"))(ALONE) == 0
    ends = on_ranks(trains(resumed_config(folder, {})))
    assert [end.code for end in ends] == [0, 0]
    assert "is finished (1 steps)" in ends[0].said


def test_a_folder_that_is_there_is_told_once_and_nothing_is_touched(
    tmp_path: Path, on_ranks: OnRanks
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    ends = on_ranks(trains(config_of(folder)))
    assert [end.code for end in ends] == [2, 2]
    assert "".join(end.said for end in ends).count("error:") == 1
    assert "exists already" in ends[0].said
    assert list(folder.iterdir()) == []


def test_photos_that_are_missing_on_one_host_alone_are_named_with_it(
    tmp_path: Path, on_ranks: OnRanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_sources(config: Any, tree: Any) -> Any:
        if os.environ.get("RANK") == "1":
            raise UserError("the image folder x does not exist.")
        return whole(config, tree)

    whole = assemble.make_sources
    monkeypatch.setattr(assemble, "make_sources", make_sources)
    folder = tmp_path / "run"
    ends = on_ranks(trains(config_of(folder)))
    assert [end.code for end in ends] == [2, 2]
    assert ends[0].said == ""
    assert "the image folder x does not exist (so says rank 1, on " in ends[1].said
    assert not folder.exists()


def test_hosts_with_other_files_are_refused(on_ranks: OnRanks) -> None:
    def work(ranks: Ranks) -> None:
        ranks.connect(30)
        check_same({"the number of photos of boxes": 10 + ranks.rank // 2, "a": 1}, ranks)

    assert [end.code for end in on_ranks(work)] == [0, 0]
    ends = on_ranks(work, world=3)
    assert [end.code for end in ends] == [2, 2, 2]
    said = "".join(end.said for end in ends)
    assert said == (
        "error: the number of photos of boxes is 11 on rank 2, but 10 on rank 0; give all hosts "
        "the same files.\n"
    )


def test_a_step_that_cannot_be_cut_into_equal_parts_is_refused() -> None:
    assert forward_size({"batch_size": 12, "accumulate": 3}, 2) == 2
    with pytest.raises(UserError, match=r"batch_size=12 cannot be cut into 8 equal parts.*of 8"):
        forward_size({"batch_size": 12, "accumulate": 2}, 4)


def test_processes_share_the_cores_of_their_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    four = Ranks(rank=5, world=8, local_rank=1, local_world=4)
    assert threads_of(0, ALONE) == 0  # torch's own choice
    assert threads_of(0, four) == 4
    assert threads_of(3, four) == 3
    assert threads_of(3, four, before=8) == 3
    # As many in all as before, as far as there are cores.
    assert threads_of(16, four, before=1) == 2
    assert threads_of(1, four, before=1) == 1
    assert threads_of(4, ALONE, before=2) == 8
    assert threads_of(4, ALONE, before=8) == 16
    assert workers_of("auto", ALONE) == 8
    assert workers_of("auto", four) == 3
    assert workers_of("auto", Ranks(rank=0, world=16, local_world=16)) == 0
    assert workers_of(2, four) == 2


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Ranks(rank=3, world=4, local_rank=1, local_world=2)
    assert device_of(torch.device("cpu"), two) == torch.device("cpu")
    assert device_of(torch.device("cuda", 1), ALONE) == torch.device("cuda", 1)
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of(torch.device("cuda"), two) == torch.device("cuda", 1)
    assert chosen == [1]
    with pytest.raises(UserError, match="device=cuda:0 would be shared by 2 processes"):
        device_of(torch.device("cuda", 0), two)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="2 processes were started on a host with 1 GPUs"):
        device_of(torch.device("cuda"), two)


def torchrun(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*launcher, "--nproc_per_node=2", str(ROOT / "train.py"), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_torchrun_trains_stops_at_a_signal_and_tells_a_mistake_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    given = [*GIVEN, f"run_dir={folder}", "checkpoint_every=1", "workers=1"]
    process = torchrun(tmp_path, *given, "steps=5000")
    end = time.monotonic() + 120
    while not (folder / "weights/last").exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end
        time.sleep(0.05)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert said.count("stopped by SIGTERM after step") == 1, said
    assert f"torchrun --nproc_per_node=2 train.py resume={folder}" in said
    assert process.returncode != 0
    state = json.loads((folder / "weights/last/state.json").read_text())
    assert state["step"] == len(rows(folder))

    process = torchrun(tmp_path, *GIVEN, "batch_size=5")
    _, said = process.communicate(timeout=120)
    assert said.count("error:") == said.count("cannot be cut into 2 equal parts") == 1, said
    assert re.findall(r"exitcode +: (-?\d+)", said) == ["2", "2"], said
    assert not (tmp_path / "runs").exists()
