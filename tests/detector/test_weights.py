"""Checkpoint folders: what stands in them, links, pruning, and a detector rebuilt from one."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

from detector.weights import (
    check_fit,
    find_checkpoint,
    load_detector,
    point,
    prune,
    read_checkpoint,
    write_checkpoint,
)
from detector.weights.manifest import FILES, MANIFEST
from wordtree import UserError, WordTree


def tree_of(*names: str) -> WordTree:
    return WordTree(["animal", *names], [-1] + [0] * len(names))


class Tiny(nn.Module):
    def __init__(self, tree: WordTree, *, classifier: str, width: int = 2) -> None:
        super().__init__()
        self.classifier = classifier
        self.layer = nn.Linear(width, len(tree))
        self.norm = nn.BatchNorm1d(len(tree))


def write(weights: Path, step: int, value: float | None = None, **state: object) -> Path:
    tensors = {"w": torch.full((2, 3), float(step if value is None else value))}
    return write_checkpoint(
        weights, step, model=tensors, ema=tensors, optimizer={"lr": 0.1}, state=state
    )


def write_run(run: Path, tree: WordTree, *, width: int = 2, step: int = 1) -> Tiny:
    model = Tiny(tree, classifier="siblings", width=width)
    averaged = {n: t + 1 if t.is_floating_point() else t for n, t in model.state_dict().items()}
    run.mkdir(exist_ok=True)
    tree.save(run / "wordtree.json")
    state = {"tree_hash": tree.hash, "classifier": "siblings", "network": {"width": width}}
    write_checkpoint(
        run / "weights", step, model=model.state_dict(), ema=averaged, optimizer=None, state=state
    )
    return model


def test_a_checkpoint_reads_back_as_it_was_written(tmp_path: Path) -> None:
    model = {
        "conv": torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last),
        "count": torch.tensor(7),
        "half": torch.randn(5).bfloat16(),
    }
    model["tied"] = model["conv"]
    nest = {"state": {0: {"m": torch.randn(3)[1:]}, 1: [1, 2.5, None, ("a", True)]}}
    folder = write_checkpoint(
        tmp_path, 12, model=model, ema={}, optimizer=nest, state={"b": [1, None], "a": "ä"}
    )
    found = read_checkpoint(folder)
    assert folder == tmp_path / "step-12"
    assert sorted(p.name for p in folder.iterdir()) == sorted([*FILES, MANIFEST])
    assert found.model.keys() == model.keys()
    assert all(torch.equal(found.model[n], t) for n, t in model.items())
    assert found.model["half"].dtype == torch.bfloat16
    assert torch.equal(found.optimizer["state"][0].pop("m"), nest["state"][0].pop("m"))
    assert found.optimizer == nest
    assert found.state == {"a": "ä", "b": [1, None], "step": 12}
    assert list(found.state) == ["a", "b", "step"]
    assert found.ema == {}
    assert read_checkpoint(folder, with_optimizer=False).optimizer is None


def test_equal_content_gives_equal_bytes_whatever_its_order_and_sharing(tmp_path: Path) -> None:
    text, other = "exp_avg", "".join(["exp", "_avg"])
    assert text is not other
    tensor = torch.arange(6.0)
    first = {"b": {text: tensor}, "a": [text, (1, 2)]}
    second = {"a": [other, (1, 2)], "b": {text: torch.arange(12.0)[:6]}}
    one = write_checkpoint(
        tmp_path / "1", 3, model={"x": tensor, "y": tensor}, ema={}, optimizer=first, state={}
    )
    two = write_checkpoint(
        tmp_path / "2",
        3,
        model={"y": tensor.clone(), "x": tensor.clone()},
        ema={},
        optimizer=second,
        state={},
    )
    for name in (*FILES, MANIFEST):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils (sha256sum)")
def test_sha256sum_understands_the_manifest(tmp_path: Path) -> None:
    folder = write(tmp_path, 1)
    command = ["sha256sum", "--check", "--strict", MANIFEST]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(": OK") == len(FILES)


def test_what_could_not_be_read_back_safely_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Path"):
        write_checkpoint(tmp_path, 1, model={}, ema={}, optimizer={"where": Path("x")}, state={})
    with pytest.raises(ValueError):
        write_checkpoint(tmp_path, 1, model={}, ema={}, optimizer={}, state={"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_last_and_best_are_relative_links_so_that_a_run_can_be_moved(tmp_path: Path) -> None:
    weights = tmp_path / "run" / "weights"
    for step in (1, 2):
        write(weights, step)
    point(weights, "best", 1)
    assert os.readlink(weights / "last") == "step-2"
    assert os.readlink(weights / "best") == "step-1"
    (tmp_path / "run").rename(tmp_path / "moved")
    assert find_checkpoint(tmp_path / "moved").name == "step-1"
    assert find_checkpoint(tmp_path / "moved", prefer=("last",)).name == "step-2"
    assert find_checkpoint(tmp_path / "moved" / "weights" / "last").name == "step-2"
    with pytest.raises(FileNotFoundError):
        point(tmp_path / "moved" / "weights", "best", 9)


def test_pruning_keeps_the_two_newest_and_what_links_point_at(tmp_path: Path) -> None:
    for step in (1, 2, 10, 9, 11):
        write(tmp_path, step)
    point(tmp_path, "best", 2)
    prune(tmp_path)
    kept = {p.name for p in tmp_path.iterdir()}
    assert kept == {"step-2", "step-10", "step-11", "last", "best"}


def test_pruning_leaves_later_checkpoints_alone_when_a_run_went_back(tmp_path: Path) -> None:
    for step in (1, 2, 3, 8, 9):
        write(tmp_path, step)
    write(tmp_path, 4)
    prune(tmp_path)
    kept = {p.name for p in tmp_path.glob("step-*")}
    assert kept == {"step-3", "step-4", "step-8", "step-9"}


def test_a_step_that_is_reached_again_is_replaced_and_links_follow(tmp_path: Path) -> None:
    write(tmp_path, 5, value=1)
    point(tmp_path, "best", 5)
    write(tmp_path, 5, value=2)
    assert float(read_checkpoint(tmp_path / "best").model["w"][0, 0]) == 2
    assert {p.name for p in tmp_path.iterdir()} == {"step-5", "last", "best"}


def test_a_step_that_is_reached_again_with_the_same_content_stays_in_place(tmp_path: Path) -> None:
    before = write(tmp_path, 5).stat().st_ino
    write(tmp_path, 6)
    assert write(tmp_path, 5).stat().st_ino == before
    assert os.readlink(tmp_path / "last") == "step-5"


def test_a_damaged_checkpoint_is_replaced_by_its_whole_twin(tmp_path: Path) -> None:
    folder = write(tmp_path, 5)
    (folder / "optimizer.pt").write_bytes(b"")
    read_checkpoint(write(tmp_path, 5))


def test_left_over_temporary_folders_go_with_the_next_write(tmp_path: Path) -> None:
    (tmp_path / ".tmp-step-3").mkdir()
    (tmp_path / ".tmp-step-3" / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".tmp-last").symlink_to("step-3")
    write(tmp_path, 3)
    assert {p.name for p in tmp_path.iterdir()} == {"step-3", "last"}


def test_a_run_without_checkpoint_and_a_missing_run_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run at .*nothing-here"):
        find_checkpoint(tmp_path / "nothing-here")
    with pytest.raises(UserError, match="holds no checkpoint"):
        find_checkpoint(tmp_path)


def test_the_newest_step_serves_where_links_were_lost(tmp_path: Path) -> None:
    for step in (9, 10):
        write(tmp_path / "weights", step)
    (tmp_path / "weights" / "last").unlink()
    assert find_checkpoint(tmp_path).name == "step-10"


# -- rebuilding a detector -------------------------------------------------------------------


def test_a_detector_is_rebuilt_with_averaged_weights_or_those_of_the_step(tmp_path: Path) -> None:
    tree = tree_of("cat", "dog")
    model = write_run(tmp_path, tree, width=3)
    averaged, found, state = load_detector(tmp_path, build=Tiny)
    plain, _, _ = load_detector(tmp_path / "weights" / "step-1", which="model", build=Tiny)
    assert found == tree
    assert state["step"] == 1
    assert not averaged.training
    assert torch.equal(plain.layer.weight, model.layer.weight)
    assert torch.equal(averaged.layer.weight, model.layer.weight + 1)


def test_best_is_taken_and_last_only_with_a_word_about_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        write_run(tmp_path, tree_of("cat"), step=step)
    with caplog.at_level(logging.WARNING):
        assert load_detector(tmp_path, build=Tiny)[2]["step"] == 2
    assert "no best weights: those of step-2 are taken" in caplog.text
    caplog.clear()
    point(tmp_path / "weights", "best", 1)
    assert load_detector(tmp_path, build=Tiny)[2]["step"] == 1
    assert caplog.text == ""


def test_another_tree_is_refused_with_both_hashes(tmp_path: Path) -> None:
    tree, other = tree_of("cat", "dog"), tree_of("cat", "dog", "eel")
    write_run(tmp_path, tree)
    other.save(tmp_path / "wordtree.json")
    with pytest.raises(UserError) as refusal:
        load_detector(tmp_path, build=Tiny)
    assert tree.hash in str(refusal.value)
    assert other.hash in str(refusal.value)
    (tmp_path / "wordtree.json").unlink()
    with pytest.raises(UserError, match=r"wordtree\.json is not there"):
        load_detector(tmp_path, build=Tiny)


def test_another_network_is_refused_naming_the_tensors_that_differ(tmp_path: Path) -> None:
    def wider(tree: WordTree, *, classifier: str, width: int) -> nn.Module:
        return Tiny(tree, classifier=classifier, width=width + 1)

    def narrower(tree: WordTree, *, classifier: str, width: int) -> nn.Module:
        return Tiny(tree, classifier=classifier, width=width).layer

    def unbuildable(tree: WordTree, *, classifier: str) -> nn.Module:
        return Tiny(tree, classifier=classifier)

    write_run(tmp_path, tree_of("cat", "dog"))
    with pytest.raises(UserError, match=r"layer\.weight is \(3, 2\) instead of \(3, 3\)"):
        load_detector(tmp_path, build=wider)
    with pytest.raises(UserError, match=r"weight is missing.*layer\.bias is unknown here"):
        load_detector(tmp_path, build=narrower)
    with pytest.raises(UserError, match=r"state\.json describes a network .*'width'"):
        load_detector(tmp_path, build=unbuildable)


def test_all_that_differs_from_another_run_is_named_at_once(tmp_path: Path) -> None:
    tree, other = tree_of("cat", "dog"), tree_of("cat")
    write_run(tmp_path, tree)
    checkpoint = read_checkpoint(find_checkpoint(tmp_path))
    check_fit(checkpoint, tree=tree, classifier="siblings", network={"width": 2})
    with pytest.raises(UserError) as refusal:
        check_fit(
            checkpoint, tree=other, classifier="flat", network={"width": 5, "anchors": ((1, 2),)}
        )
    text = str(refusal.value)
    for part in (
        f"tree of 3 nodes has the hash {tree.hash}, this run's of 2 nodes has {other.hash}",
        "classifier is 'siblings' there, 'flat' here",
        "network.width is 2 there, 5 here",
        "network.anchors is None there, [[1, 2]] here",
    ):
        assert part in text


def test_what_the_weights_began_with_is_not_asked_for_again(tmp_path: Path) -> None:
    def build(tree: WordTree, *, classifier: str, backbone_options: dict[str, object]) -> nn.Module:
        assert (classifier, backbone_options) == ("flat", {"deepest": 16})
        return nn.Linear(1, len(tree))

    tree = tree_of("cat")
    tree.save(tmp_path / "wordtree.json")
    network = {"backbone_options": {"deepest": 16, "pretrained": True}}
    state = {"tree_hash": tree.hash, "classifier": "flat", "network": network}
    tensors = nn.Linear(1, 2).state_dict()
    write_checkpoint(
        tmp_path / "weights", 1, model=tensors, ema=tensors, optimizer=None, state=state
    )
    load_detector(tmp_path, build=build)
    checkpoint = read_checkpoint(find_checkpoint(tmp_path))
    here = {"backbone_options": {"deepest": 16, "pretrained": False}}
    check_fit(checkpoint, tree=tree, classifier="flat", network=here)
    assert checkpoint.state["network"] == network


@pytest.mark.parametrize("key", ["network", "classifier", "tree_hash"])
def test_a_state_without_what_is_needed_is_refused_by_key(tmp_path: Path, key: str) -> None:
    tree = tree_of("cat")
    state = {"tree_hash": tree.hash, "classifier": "siblings", "network": {}}
    del state[key]
    tree.save(tmp_path / "wordtree.json")
    write_checkpoint(tmp_path / "weights", 1, model={}, ema={}, optimizer=None, state=state)
    with pytest.raises(UserError, match=rf"state\.json says {key} = None"):
        load_detector(tmp_path, build=Tiny)
