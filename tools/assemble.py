"""From a composed config (plain data) to the objects of a run. The config stops here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.loader import Loader, Stream
from data.mixture import Grid, Mixture, Share
from data.pixel_changes import PixelChanges
from data.sample import Sample
from data.sources import Source
from data.sources.catalogue import open_sources, source_labels
from data.transforms import Colour, TrainTransform, View
from detector.losses import Criterion
from detector.network.detector import Detector
from detector.training.distributed import ALONE, Ranks
from detector.training.schedule import learning_rate
from tools.own_data import load_tree, refuse_unfilled
from tools.shares import forward_size, workers_of
from wordtree import BuildReport, UserError, WordTree, build

Config = Mapping[str, Any]


def choose_device(name: str) -> torch.device:
    """`auto`: cuda where there is one; UserError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device={name} is not known; use auto, cpu, cuda or cuda:1.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device={name}: torch sees no GPU here; use device=cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}: torch sees {torch.cuda.device_count()} GPUs, from cuda:0.")
    return device


def prepare_torch(config: Config) -> None:
    """Seed, threads and determinism of the process."""
    torch.manual_seed(config["seed"])
    np.random.seed(config["seed"])
    if config["threads"]:
        torch.set_num_threads(config["threads"])
    if config["deterministic"]:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def _root(config: Config) -> Path | None:
    return Path(config["data_root"]) if config["data_root"] else None


def make_tree(config: Config) -> tuple[WordTree, BuildReport]:
    """The tree of `tree.file`, else the one built of all labels of the training and validation
    sources."""
    refuse_unfilled(config)
    data = config["data"]
    options = {k: v for k, v in config["tree"].items() if v is not None}
    file = options.pop("file", None)
    if file:
        if options:
            raise UserError(
                f"tree.file={file} is a whole tree, beside which tree.{', tree.'.join(options)} "
                "would do nothing; leave one of them out"
            )
        return load_tree(file)
    sources = dict(data["train"])
    if data["validation"] is not None:
        sources["validation"] = data["validation"]
    tree, report = build(source_labels(sources, root=_root(config)), **options)
    if "root" in options and len(report.unreachable) == report.labels:
        raise UserError(
            f"tree.root={options['root']} has none of the {report.labels} labels below it; name a "
            "synset above them, as physical_entity.n.01"
        )
    return tree, report


def make_sources(config: Config, tree: WordTree) -> tuple[dict[str, Source], Source | None]:
    """The training sources by name, and the validation source if there is one."""
    data, root = config["data"], _root(config)
    train = open_sources(data["train"], tree, root=root, seed=config["seed"])
    if data["validation"] is None:
        return train, None
    validation = open_sources({"validation": data["validation"]}, tree, root=root)
    return train, validation["validation"]


def left_out(config: Config, sources: Mapping[str, Source], validation: Source) -> list[str]:
    """A line a source of what was wrong in its files, and one where nothing can be measured."""
    measured = config["data"]["validation"] is not None
    found = {**sources, **({"validation": validation} if measured else {})}
    lines = [f"{name}: {source.problems}" for name, source in found.items()
             if getattr(source, "problems", None)]  # fmt: skip
    if not measured:
        lines.append("no validation photos: nothing will be measured")
    elif config["evaluate_every"] == 0:
        lines.append("evaluate_every=0: the validation photos will not be measured")
    return lines


def boxed_nodes(sources: Mapping[str, Source]) -> NDArray[np.int64]:
    """The nodes that boxes carry in training, ascending."""
    boxed = [
        getattr(source, "labelled_nodes", source.nodes)
        for source in sources.values()
        if source.kind == "boxed"
    ]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *boxed]))


def as_drawn(sample: Sample, size: tuple[int, int], seed: int) -> Sample:
    """Places nothing: the source drew the photo at this size, with all its variety."""
    del size, seed
    return sample


def make_stream(config: Config, sources: Mapping[str, Source]) -> Stream:
    """The endless stream of network inputs."""
    mixture, options = config["mixture"], config["data"]["train"]
    size = config["image_size"]
    return Stream(
        Mixture(
            [Share(source, options[name].get("weight", 1.0)) for name, source in sources.items()],
            grids=[Grid(**grid) for grid in mixture["grids"]] or (Grid(),),
            seed=config["seed"],
            ratio=mixture["ratio"],
            sampling=mixture["sampling"],
            deck=config["batch_size"],
        ),
        as_drawn if config["data"]["drawn"] else make_transform(config["augment"]),
        size=(size, size),
        stride=config["network"]["stride"],
        jitter=mixture["jitter"],
        sizes=[(side, side) for side in config["multiscale"]["sizes"]],
        every=config["multiscale"]["every"] * config["batch_size"],
    )


def make_transform(augment: Config) -> TrainTransform:
    """The augmentation of photos from files."""

    def view(options: Config) -> View:
        return View(**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})

    colour = augment["colour"]
    return TrainTransform(
        boxed=view(augment["boxed"]),
        label_only=view(augment["label_only"]),
        colour=Colour(**colour) if colour else None,
        pixels=PixelChanges(augment["pixels"]) if augment["pixels"] else None,
    )


def make_loader(
    config: Config, stream: Stream, device: torch.device, ranks: Ranks = ALONE
) -> Callable[[int], Loader]:
    """From a position of the stream to a loader of this process's batches."""
    return lambda start: Loader(
        stream,
        batch_size=forward_size(config, ranks.world),
        start=start,
        workers=workers_of(config["workers"], ranks),
        rank=ranks.rank,
        world=ranks.world,
        pin=device.type == "cuda",
    )


def make_detector(config: Config, tree: WordTree) -> Detector:
    """The network on the tree; its plain arguments are `config["network"]` and the classifier."""
    return Detector(tree, classifier=config["classifier"], **config["network"])


def make_criterion(config: Config) -> Criterion:
    """The losses, divided by the inputs of an optimiser step."""
    return Criterion(**config["loss"], inputs=config["batch_size"])


def make_schedule(config: Config) -> Callable[[int], float]:
    """From a step to its learning rate."""
    options = config["optimizer"]
    return partial(
        learning_rate, steps=config["steps"], rate=options["rate"], **options["schedule"]
    )
