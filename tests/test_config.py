"""The config: every experiment composes, and a mistake is one sentence before anything is made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import train
from tools import config as config_module
from tools import run_folder
from tools.command import run_command
from tools.config import check_config, compose_config, groups
from tools.config_parts import check_parts
from wordtree import UserError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("group", groups())
def test_every_choice_of_every_group_composes_and_passes_every_check(group: str) -> None:
    for choice in groups()[group]:
        config = compose_config([f"{group}={choice}"])
        # Grids name sources of their own data; own data wait for their owner.
        if group != "data" and "???" not in str(config):
            check_parts(config)
        assert config["steps"] >= 1
        if group == "experiment":
            assert config["name"] == choice


def test_what_is_typed_wins_over_the_experiment() -> None:
    config = compose_config(["experiment=emoji", "steps=7", "optimizer.rate=0.5"])
    assert (config["steps"], config["optimizer"]["rate"], config["batch_size"]) == (7, 0.5, 16)


def test_options_of_a_backbone_are_typed_as_they_stand() -> None:
    config = compose_config(["experiment=emoji", "network.backbone_options.blocks=[0, 0, 0, 1, 0]"])
    assert config["network"]["backbone_options"]["blocks"] == [0, 0, 0, 1, 0]
    check_parts(config)


# What is typed (blanks stand between overrides), and what must be in the one sentence.
MISTAKES = [
    # keys and groups
    ("stpes=3", "unknown key 'stpes'.*did you mean 'steps'"),
    ("optimizer.raet=1", r"unknown key 'optimizer\.raet'.*did you mean 'optimizer\.rate'"),
    ("+foo=1", "unknown key 'foo'"),
    ("+network.head.towre=full", "unknown key.*did you mean 'network.head.tower'"),
    ("~steps", "the key 'steps' is missing"),
    ("~data.validation evaluate_every=0", r"data\.validation.* is missing"),
    ("optimizer.backbone_scale=0", r"optimizer\.backbone_scale=0 .*above 0"),
    (
        "experiment=photos network.backbone_options.pretrained=false",
        "frozen=8 would keep random weights.*give frozen=0",
    ),
    ("~data.drawn", r"data\.drawn.* is missing"),
    ("+data.validaton.type=coco", r"unknown key .data\.validaton\.type"),
    ("~loss", "the key 'loss' is missing"),
    ("~optimizer.rate", "optimizer.rate or .* is missing"),
    ("experiment=emojy", "experiment=emojy is not known; did you mean 'emoji'"),
    ("network=narow", "network=narow is not known; did you mean 'narrow'"),
    ("steps", "'steps' is not of the form key=value"),
    ("steps=1,2", "lists several values; add -m"),
    ("hydra.run.dir=.", "add -m"),
    # types
    ("steps=many", "steps=many is a str; it must be int"),
    ("steps=true", "steps=True is a bool; it must be int"),
    ("batch_size=2.5", r"batch_size=2\.5 is a float; it must be int"),
    ("deterministic=7", "deterministic=7 is a int; it must be bool"),
    ("run_dir=2024", "run_dir=2024 is a int; it must be str or null; write run_dir='\"2024\"'"),
    ("augment.boxed=null", "augment.boxed=None is a NoneType; it must be dict"),
    ("optimizer.schedule=cosine", "optimizer.schedule=cosine is a str; it must be dict"),
    # ranges and words
    ("batch_size=-3", "batch_size=-3 is out of range; it must be at least 1"),
    ("seed=-1", "seed=-1 is out of range"),
    ("name=a/b", "name=a/b is out of range; it must be the name of one folder"),
    ("name=''", "it must be the name of one folder"),
    ("workers=some", "workers=some"),
    ("steps=0", "steps=0 is out of range; it must be at least 1"),
    ("image_size=100", "image_size=100 is out of range; it must be a multiple of 32"),
    ("multiscale.sizes=[100]", r"multiscale.sizes=\[100\] is out of range"),
    ("network=darknet19 network.stride=12", "128 is no size .* network.stride=12"),
    ("ema=1", "ema=1 is out of range"),
    ("clip=0", "clip=0 is out of range; it must be above 0"),
    ("precision=half", "precision=half is not known; choose one of auto, float32, bfloat16"),
    ("mixture.sampling=dice", "mixture.sampling=dice is not known; choose one of quota"),
    ("mixture.jitter=3", "mixture.jitter=3 is out of range"),
    ("thresholds.back_off=1.5", "in \\[0, 1\\]"),
    ("thresholds.objectness=-0.1", "in \\[0, 1\\]"),
    ("accumulate=3", "batch_size=16 cannot be cut into accumulate=3"),
    ("device=gpu", "device=gpu is not known; use auto"),
    ("device=mps", "device=mps is not known; use auto"),
    ("classifier=sibling", "did you mean 'siblings'"),
    # the network
    ("network.backbone=narow", "network.backbone=narow is not known; did you mean 'narrow'"),
    ("network.backbone=darknet19", "network.backbone_options.widths'; did you mean 'width'"),
    ("network.neck=topdown", "did you mean 'top_down'"),
    ("network.head.tower=ful", "did you mean 'full'"),
    ("network.head.objectness_prior=1.5", "between 0 and 1"),
    ("network.anchors=[]", "network.anchors=.* widths and heights above 0"),
    ("network.anchors=[[-3,4]]", "network.anchors=.* widths and heights above 0"),
    ("network.anchors=[[1]]", "network.anchors=.* widths and heights above 0"),
    ("network.anchors=[[a,4]]", "network.anchors=.* widths and heights above 0"),
    ("network.backbone_options.widths=[8,8]", "2 widths and 5 blocks"),
    ("network.backbone_options.widths=[8,-1,8,8,8]", "network cannot be built"),
    ("network.backbone_options.widths=[a,b]", "must be a list of numbers"),
    # losses
    ("loss.rule=objectnes", "loss.rule=objectnes is not known; did you mean 'objectness'"),
    ("loss.rule=objectness", "~loss.rule_options.k ~loss.rule_options.floor"),
    ("loss.policy=paper2", "did you mean 'paper'"),
    ("loss.assignment=nearest", "did you mean 'nearest_cells'"),
    ("loss.scales.box=-1", "loss.scales.box=-1 must be a number of 0 or more"),
    ("loss.scales.box=nan", "loss.scales.box=nan must be a number of 0 or more"),
    ("~loss.scales.box", "loss.scales.box is missing"),
    ("loss.rule_options.k=0", "null, or at least 1"),
    # optimiser and schedule
    ("optimizer.name=adam", "optimizer.name=adam is not known; did you mean 'adamw'"),
    ("optimizer.betas=[0.9]", "must be a list of 2 numbers"),
    ("optimizer.betas=[0.9,1.5]", "optimizer.betas=.* in \\[0, 1\\)"),
    ("optimizer.schedule.kind=cosin", "did you mean 'cosine'"),
    ("optimizer=sgd optimizer.schedule.milestones=[0.5]", "1 milestones .* 2 scales"),
    # what stands in lists and in parts of the mixture
    ("mixture.grids=5", "mixture.grids=5 is a int; it must be list"),
    ("mixture.grids=[5]", r"mixture.grids\[0\]=5 must be of the form"),
    ("mixture.grids=[{row:1}]", r"mixture.grids\[0\].row'; did you mean 'rows'"),
    ("mixture.grids=[{rows:0}]", r"mixture.grids\[0\]: a grid of 0 x 1"),
    ("mixture.grids=[{rows:1,weight:x}]", r"mixture.grids\[0\].weight=x is a str"),
    ("mixture.grids=[{rows:1,kinds:[boxd]}]", r"kinds=boxd is not known; did you mean 'boxed'"),
    ("mixture.grids=[{rows:1,source:scene}]", "source=scene is not known; did you mean 'scenes'"),
    ("mixture.grids=[{rows:40}]", "40 x 1 tiles, too many for an input of 128 pixels"),
    ("augment.boxed.fill=[1.0,0.0]", r"augment.boxed: view fill=\(1.0, 0.0\)"),
    ("augment.boxed.fill=[0,a]", "augment.boxed.fill=.* must be a list of 2 numbers"),
    ("augment.colour.hue=3", "augment.colour: colour hue=3"),
    # the tree, trackers, other runs
    ("tree.rule=min_groth", "tree: rule has no value 'min_groth'; did you mean min_growth"),
    ("tree.preset=paper2k", "did you mean paper1k"),
    ("trackers=[wandbb]", "wandbb is not known; did you mean 'wandb'"),
    ("trackers=wandb", "trackers=wandb is a str; it must be list"),
    ("init=nope", "there is no run at nope"),
    ("init=.", "holds no checkpoint"),
    ("resume=nope", "nope/config.yaml is not there"),
    # data
    ("data.train.scenes.type=emoji_scene", "did you mean 'emoji_scenes'"),
    ("data.train.scenes=5", "data.train.scenes=5 is a int; it must be dict"),
    ("+data.train.scenes.weight=-1", "data.train.scenes.weight=-1 must be a number of 0 or more"),
    ("+data.train.scenes.lenght=5", "has no option 'lenght'"),
    ("data.train.scenes.nodes=boxd", "nodes=boxd is not known"),
    ("data.train.scenes.objects=[8,4]", "two rising numbers"),
    ("tree.root=nothing.n.01", "tree.root=nothing.n.01 has none of the 243 labels below it"),
    ("tree.edits=nope.csv", "nope.csv cannot be read"),
    ("mixture.ratio=1e9", "cannot be held"),
    ("experiment=photos data_root=nowhere", "nowhere does not exist; .*WORDTREE_DATA"),
    ("experiment=photos data.train.boxes.label_map=coco81", "no label map 'coco81'"),
]


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run folder may be made, and no photo drawn or read."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it went on")

    monkeypatch.setattr("tools.training_run.new_run_folder", refuse)
    monkeypatch.setattr("data.sources.emoji.EmojiScenes.read", refuse)
    monkeypatch.setattr("data.images.read_image", refuse, raising=False)


@pytest.mark.parametrize(("typed", "sentence"), MISTAKES, ids=[typed for typed, _ in MISTAKES])
def test_a_mistake_is_refused_and_nothing_is_made(
    typed: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    # The label map is refused before any file is looked for, but the folder is asked first.
    monkeypatch.setenv("WORDTREE_DATA", str(tmp_path))
    forbid(monkeypatch)
    assert run_command(lambda: train.main(typed.split(" "))) == 2
    said = capsys.readouterr().err
    assert re.search(sentence, said), said
    assert len(said.strip().splitlines()) <= 3
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_mistyped_in_a_file_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An experiment of one's own: Hydra would take any key that its file has."""
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    monkeypatch.setattr(config_module, "CONF", conf)
    config_module._known.cache_clear()
    mine = "# @package _global_\nname: mine\n"
    wrong = {
        "stpes: 3": "unknown key 'stpes'; did you mean 'steps'",
        "steps: many": "steps=many is a str",
        "mixture: {ratoi: 2}": "unknown key 'mixture.ratoi'; did you mean 'ratio'",
        "loss: {scales: {bxo: 1}}": "unknown key 'loss.scales.bxo'; did you mean 'box'",
        "optimizer: {rtae: 1}": "unknown key 'optimizer.rtae'; did you mean 'rate'",
        "network: {head: {towr: full}}": "unknown key 'network.head.towr'; did you mean 'tower'",
    }
    for lines, sentence in wrong.items():
        (conf / "experiment/mine.yaml").write_text(mine + lines + "\n")
        with pytest.raises(UserError, match=sentence):
            check_parts(compose_config(["experiment=mine"]))
        config_module._known.cache_clear()


def test_a_runs_own_config_is_checked_when_it_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    kept = compose_config(["experiment=emoji"])
    for changed, sentence in (
        ({"batch_size": -1}, "batch_size=-1 is out of range"),
        ({"stpes": 1}, "unknown key 'stpes'"),
    ):
        (run / "config.yaml").write_text(yaml.safe_dump({**kept, **changed}))
        with pytest.raises(UserError, match=sentence):
            check_config(run_folder.resumed_config(run, {}))


FLAGS = [
    (["--cgf", "job"], "no flag --cgf; did you mean '--cfg'"),
    (["--cfg"], "--cfg needs a value"),
    (["--cfg", "jobb"], "--cfg jobb is not known; choose one of job, hydra, all"),
    (["--cfg", "job", "stpes=3"], "unknown key 'stpes'"),
    (["--cfg", "job", "resume=runs/x"], "stands in runs/x/config.yaml"),
    (["--resolve"], "--resolve needs --cfg job"),
    (["-m", "--cfg", "job"], "--cfg cannot be given with it"),
]


@pytest.mark.parametrize(("words", "sentence"), FLAGS)
def test_a_flag_that_is_wrong_is_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        train.main(words)


@pytest.mark.parametrize(
    "typed",
    [
        "experiment=photos data.train.boxes.label_map=null",
        "experiment=photos data.validation=null evaluate_every=0",
        "augment.colour=null loss.ignore_iou=0.5",
        "loss=darknet loss.ignore_iou=null",
        "evaluate_every=5 workers=2 optimizer.rate=1",
    ],
)
def test_what_may_be_of_several_types_is_taken(typed: str) -> None:
    check_parts(compose_config(typed.split(" ")))


def test_cfg_job_shows_the_config_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--cfg", "job", "experiment=photos", "steps=7"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown == compose_config(["experiment=photos", "steps=7"])


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
