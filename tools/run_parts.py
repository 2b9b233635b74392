"""What a run is made of: where it goes on, the parts that its config names, its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from data.loader import Stream
from data.sources import Source
from detector.evaluation.report import versions
from detector.losses import Criterion
from detector.network.detector import Detector
from detector.training.optimizer import make_optimizer
from detector.weights import check_fit, find_checkpoint, load_tensors, read_checkpoint
from tools import assemble
from tools.run_folder import CONFIG, refuse_taken, reported_steps
from wordtree import BuildReport, UserError, WordTree
from wordtree.formats.text import write_text


@dataclass(frozen=True)
class Begun:
    """A run that goes on: its checkpoint, that one's state, and whether nothing is left to do."""

    checkpoint: Path
    state: dict[str, Any]
    finished: bool


def going_on(config: Mapping[str, Any], place: Path | None) -> Begun | None:
    """Where a run goes on; None for a new one, whose folder must not be there yet."""
    if not config["resume"]:
        refuse_taken(config, place)
        return None
    checkpoint = find_checkpoint(config["resume"], prefer=("last",))
    state = read_checkpoint(checkpoint, with_optimizer=False).state
    # A signal in the last step leaves a run whose steps are done and whose report is not.
    if state["step"] > config["steps"]:
        raise UserError(
            f"steps={config['steps']} is less than resume={config['resume']} has done "
            f"({state['step']}); give steps={state['step']} or more"
        )
    finished = state["step"] == config["steps"] == reported_steps(Path(config["resume"]))
    return Begun(checkpoint, state, finished)


@dataclass(frozen=True)
class Parts:
    """What a config says a run is made of, before anything of it is written."""

    tree: WordTree
    built: BuildReport
    sources: dict[str, Source]
    validation: Source
    stream: Stream
    detector: Detector
    criterion: Criterion
    optimizer: torch.optim.Optimizer


def build(config: Mapping[str, Any], device: torch.device) -> Parts:
    """The parts of a run, the network on its device."""
    tree, built = assemble.make_tree(config)
    if config["resume"]:
        # Before anything is written: a tree of as many nodes would take the weights unnoticed.
        check_fit(
            read_checkpoint(find_checkpoint(config["resume"], prefer=("last",))),
            tree=tree,
            classifier=config["classifier"],
            network=config["network"],
        )
    sources, validation = assemble.make_sources(config, tree)
    # Without validation photos nothing is measured, and the last pictures are of training photos.
    validation = validation or next(iter(sources.values()))
    stream = assemble.make_stream(config, sources)
    detector = assemble.make_detector(config, tree)
    criterion = assemble.make_criterion(config)
    if config["init"] and not config["resume"]:
        start_from(config, detector, tree)
    detector = detector.to(device).to(memory_format=torch.channels_last)
    options = {k: v for k, v in config["optimizer"].items() if k != "schedule"}
    optimizer = make_optimizer(detector, **options)
    return Parts(tree, built, sources, validation, stream, detector, criterion, optimizer)


def check_photos(begun: Begun, photos: Mapping[str, Source]) -> None:
    """Refuses (UserError) to go on where a source, a validation source too, has another number of
    photos than it had: later draws, or what figures are measured on, would be others."""
    before = begun.state.get("photos")
    if before is None:
        return
    for name in {**photos, **before}:
        had, has = before.get(name, 0), len(photos[name]) if name in photos else 0
        if had != has:
            run = begun.checkpoint.parent.parent
            problems = getattr(photos.get(name), "problems", None)
            raise UserError(
                f"{name} had {had:,} photos that could be used when {begun.checkpoint} was "
                f"written, and has {has:,} now{f' ({problems})' if problems else ''}, so "
                f"resume={run} would not go on with the same; put its files back as they were, or "
                f"begin a new run from these weights with init={run}"
            )


def write_settings(folder: Path, config: Mapping[str, Any], tree: WordTree) -> None:
    """The config of a run, and, where it is new, its tree and the versions that it runs on."""
    # What a resumed run was given goes into its config, so that the next resume knows it too.
    kept = {**config, "resume": None, "extend": False}
    write_text(folder / CONFIG, yaml.safe_dump(kept, sort_keys=False))
    if not config["resume"]:
        tree.save(folder / "wordtree.json")
        lines = [f"{name} {number}" for name, number in versions().items()]
        (folder / "versions.txt").write_text("\n".join(lines) + "\n")


def start_from(config: Mapping[str, Any], detector: Any, tree: WordTree) -> None:
    """Takes the weights alone of another run, whose tree and network must be the same."""
    checkpoint = read_checkpoint(find_checkpoint(config["init"]), with_optimizer=False)
    check_fit(checkpoint, tree=tree, classifier=config["classifier"], network=config["network"])
    load_tensors(detector, checkpoint.ema, checkpoint.folder / "ema.safetensors")
