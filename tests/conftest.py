"""Darknet's files; a small tree, and a small untrained detector in memory and as a run folder."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from detector.network.detector import Detector
from detector.weights import write_checkpoint
from wordtree import WordTree

NETWORK: dict[str, Any] = {
    "backbone": "narrow",
    "backbone_options": {"widths": [8, 8, 16], "blocks": [0, 0, 1]},
    "neck": "top_down",
    "neck_width": 16,
    "stride": 8,
    "anchors": [[12.0, 12.0], [24.0, 16.0]],
    "head": {"class_tower": 8, "box_tower": 8, "centre_range": 3.0},
}
IMAGE_SIZE = 64


@pytest.fixture(scope="session")
def darknet_files() -> Path:
    """Darknet's data files (9k.tree and others); skips without WORDTREE_DATA."""
    folder = Path(os.environ.get("WORDTREE_DATA", "datasets")) / "darknet"
    if not (folder / "9k.tree").exists():
        pytest.skip(f"no darknet files in {folder}: set WORDTREE_DATA to the folder of data sets")
    return folder


@pytest.fixture(scope="session")
def imagenet_labels(darknet_files: Path) -> list[str]:
    """The 21,842 wnids of ImageNet; the first 1,000 are ILSVRC-2012."""
    return (darknet_files / "imagenet.labels.list").read_text().split()


@pytest.fixture(scope="session")
def said_under_hash_seeds() -> Callable[[str], set[str]]:
    """What a program prints under two hash seeds: one text, if it does not hang on them."""

    def run(code: str) -> set[str]:
        return {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }

    return run


@st.composite
def _trees(draw: st.DrawFn) -> WordTree:
    """Trees of 1 to about 30 nodes, in any order that is legal, any nodes labelled.

    One in four is a chain, and one in four has but one level.
    """
    shape = draw(st.sampled_from(["any", "any", "chain", "star"]))
    if shape == "chain":
        parent = list(range(-1, draw(st.integers(0, 30))))
    elif shape == "star":
        parent = [-1] * draw(st.integers(1, 12))
    else:
        parent = [-1] * draw(st.integers(1, 4))
        free = list(range(len(parent)))
        for _ in range(draw(st.integers(0, 8))):
            above = free.pop(draw(st.integers(0, len(free) - 1)))
            size = draw(st.integers(1, 4))
            free.extend(range(len(parent), len(parent) + size))
            parent.extend([above] * size)
    labelled = draw(st.lists(st.booleans(), min_size=len(parent), max_size=len(parent)))
    return WordTree([f"k{i}" for i in range(len(parent))], parent, labelled=labelled)


@pytest.fixture(scope="session")
def trees() -> st.SearchStrategy[WordTree]:
    """A hypothesis strategy of trees, for `data.draw(trees)`."""
    return _trees()


@pytest.fixture(scope="session")
def small_tree() -> WordTree:
    """thing > {animal > {dog > {poodle, terrier}, cat}, tool > {hammer, saw}}, plant (alone)."""
    keys = ["thing", "plant", "animal", "tool", "cat", "dog", "hammer", "saw", "poodle", "terrier"]
    parent = [-1, -1, 0, 0, 2, 2, 3, 3, 5, 5]
    labelled = [False, True, False, False, True, True, True, True, True, True]
    return WordTree(keys, np.array(parent), labelled=np.array(labelled))


@pytest.fixture(scope="session")
def make_detector(small_tree: WordTree) -> Callable[..., Detector]:
    """Untrained, but with an opinion: random head weights, so large that rows differ."""

    def make(classifier: str = "siblings", seed: int = 0) -> Detector:
        # `fork_rng` leaves the draws of other tests alone.
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            detector = Detector(small_tree, classifier=classifier, **NETWORK)
            with torch.no_grad():
                for parameter in detector.head.boxes.parameters():
                    parameter.normal_(std=0.5)
                for weight in detector.head.class_weight:
                    weight.normal_(std=1.0)
        return detector.eval()

    return make


@pytest.fixture(scope="session")
def tiny_detector(make_detector: Callable[..., Detector]) -> Detector:
    """The detector of `tiny_run`, in memory."""
    return make_detector()


@pytest.fixture(scope="session")
def tiny_run(
    tmp_path_factory: pytest.TempPathFactory, tiny_detector: Detector, small_tree: WordTree
) -> Path:
    """A run folder of one step, whose detector finds something in any photo."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    run.mkdir()
    small_tree.save(run / "wordtree.json")
    weights = tiny_detector.state_dict()
    write_checkpoint(
        run / "weights",
        1,
        model=weights,
        ema=weights,
        optimizer=None,
        state={
            "network": NETWORK,
            "classifier": "siblings",
            "image_size": IMAGE_SIZE,
            "thresholds": {"back_off": 0.5, "objectness": 0.3},
            "tree_hash": small_tree.hash,
        },
    )
    return run


@pytest.fixture(scope="session")
def make_photo() -> Callable[..., np.ndarray]:
    """Photos of smooth noise, uint8 (height, width, 3)."""

    def make(height: int, width: int, seed: int = 0) -> np.ndarray:
        coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3))
        return np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def stop_after() -> Callable[..., None]:
    """From now on SIGTERM comes in the training step of this number, to one of the ranks."""

    def call(step: int, patch: pytest.MonkeyPatch, *, rank: int = 0) -> None:
        from detector.training.trainer import Trainer

        whole = Trainer._optimiser_step

        def stepped(trainer: Trainer, batches: Any) -> dict[str, float]:
            result = whole(trainer, batches)
            if trainer.step == step and trainer.ranks.rank == rank:
                os.kill(os.getpid(), signal.SIGTERM)
            return result

        patch.setattr(Trainer, "_optimiser_step", stepped)

    return call


@dataclass
class RankEnd:
    """How one of several processes ended: its exit code, its result, what it said on stderr."""

    code: int
    value: Any
    said: str


@pytest.fixture
def on_ranks(tmp_path: Path) -> Callable[..., list[RankEnd]]:
    """Runs `work(ranks)` in forked processes that torchrun might have started; one thread each.

    Where the result of `work` is a number it is the exit code too.
    """

    def one(work: Callable[[Any], Any], rank: int, world: int, port: int, folder: Path) -> None:
        from detector.training.distributed import together
        from tools.command import run_command

        os.dup2(os.open(folder / f"said{rank}", os.O_WRONLY | os.O_CREAT), 2)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 (pytest's own takes it otherwise)
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        os.environ.update({name: str(number) for name, number in places.items()})
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        torch.set_num_threads(1)

        def kept(ranks: Any) -> int:
            value = work(ranks)
            (folder / f"value{rank}").write_bytes(pickle.dumps(value))
            return value if isinstance(value, int) else 0

        code = run_command(lambda: together(kept))
        sys.stderr.flush()
        os._exit(code)

    def run(work: Callable[[Any], Any], *, world: int = 2, seconds: float = 60) -> list[RankEnd]:
        folder = tmp_path / f"ranks-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        fork = multiprocessing.get_context("fork")
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # a forked process would wait for threads that it does not have
        processes = [
            fork.Process(target=one, args=(work, rank, world, port, folder))
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        cv2.setNumThreads(threads)
        for process in processes:
            process.join(seconds)
        hung = [rank for rank, process in enumerate(processes) if process.is_alive()]
        for rank in hung:
            processes[rank].kill()
            processes[rank].join()
        said = [(folder / f"said{rank}").read_text() for rank in range(world)]
        assert not hung, f"ranks {hung} did not end; they said {said}"
        values = [folder / f"value{rank}" for rank in range(world)]
        return [
            RankEnd(
                process.exitcode,
                pickle.loads(path.read_bytes()) if path.exists() else None,
                text,
            )
            for process, path, text in zip(processes, values, said, strict=True)
        ]

    return run
