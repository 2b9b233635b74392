"""The config: every experiment composes, and a mistake is one sentence before anything is made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.config import compose_config, groups
from wordtree import UserError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("group", groups())
def test_every_choice_of_every_group_composes(group: str) -> None:
    for choice in groups()[group]:
        config = compose_config([f"{group}={choice}"])
        assert config["steps"] >= 1
        if group == "experiment":
            assert config["name"] == choice


def test_what_is_typed_wins_over_the_experiment() -> None:
    config = compose_config(["experiment=emoji", "steps=7", "optimizer.rate=0.5"])
    assert (config["steps"], config["optimizer"]["rate"], config["batch_size"]) == (7, 0.5, 16)


MISTAKES = [
    ("stpes=3", "unknown key 'stpes'.*did you mean 'steps'"),
    ("optimizer.raet=1", r"unknown key 'optimizer\.raet'.*did you mean 'optimizer\.rate'"),
    ("experiment=emojy", "experiment=emojy is not known; did you mean 'emoji'"),
    ("network=narow", "network=narow is not known; did you mean 'narrow'"),
    ("steps", "'steps' is not of the form key=value"),
    ("steps=many", "steps=many is a str; it must be int"),
    ("steps=true", "steps=True is a bool; it must be int"),
    ("batch_size=2.5", r"batch_size=2\.5 is a float; it must be int"),
    ("deterministic=7", "deterministic=7 is a int; it must be bool"),
    ("workers=some", "workers=some"),
    ("steps=0", "steps=0 is out of range; it must be at least 1"),
    ("image_size=100", "image_size=100 is out of range; it must be a multiple of 32"),
    ("ema=1", "ema=1 is out of range"),
    ("clip=0", "clip=0 is out of range; it must be above 0"),
    ("precision=half", "precision=half is out of range; it must be auto"),
    ("mixture.sampling=dice", "mixture.sampling=dice is out of range"),
    ("thresholds.back_off=1.5", "in \\[0, 1\\]"),
]


@pytest.mark.parametrize(("typed", "sentence"), MISTAKES)
def test_a_mistake_is_refused_and_nothing_is_made(
    typed: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        compose_config([typed])
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(UserError, match="batch_size=5 cannot be cut into accumulate=2"):
        compose_config(["batch_size=5", "accumulate=2"])


def test_the_command_answers_a_mistake_with_one_sentence_and_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "experiment=emoji", "stpes=3"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "did you mean 'steps'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []
