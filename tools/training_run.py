"""One training run: from a checked config to a run folder that a person enjoys opening."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console

from detector.evaluation.report import report_dict, versions, write_report_json, write_report_md
from detector.losses import PARTS
from detector.training.checkpoint import restore_checkpoint
from detector.training.ema import WeightAverage
from detector.training.loggers import CsvLogger, TensorBoardLogger
from detector.training.optimizer import make_optimizer
from detector.training.precision import choose_precision
from detector.training.progress import Progress, clock_text, summary_table
from detector.training.trainer import NonFiniteLoss, TooManyBroken, Trainer
from detector.weights import check_fit, find_checkpoint, load_tensors, read_checkpoint
from tools import assemble
from tools.run_callbacks import Run, callbacks, save
from tools.run_folder import CONFIG, REPORT, new_run_folder, reported_steps
from wordtree import WordTree
from wordtree.formats.text import write_text

COLUMNS = ("total", *PARTS, "learning_rate", "ap50.all", "ap50.boxed", "ap50.label_only")


def train(config: dict[str, Any], *, command: str) -> int:
    """Runs a config to its end and writes the report; returns the exit code.

    A loss that is not finite ends it with code 3 and leaves the batch in the run folder.
    """
    console = Console(stderr=True)
    resume = config["resume"]
    checkpoint = find_checkpoint(resume, prefer=("last",)) if resume else None
    if checkpoint is not None:
        state = read_checkpoint(checkpoint, with_optimizer=False).state
        # A signal in the last step leaves a run whose steps are done and whose report is not.
        if state["step"] >= config["steps"] == reported_steps(Path(resume)):
            console.print(
                f"{resume} is finished ({state['step']} steps); nothing to do.", soft_wrap=True
            )
            return 0
    device = assemble.choose_device(config["device"])
    assemble.prepare_torch(config)
    dtype, reason = choose_precision(config["precision"], device)
    # What `auto` and 0 stood for goes into the run's config, and so stays the same on resume.
    config["precision"] = "float32" if dtype is None else "bfloat16"
    config["threads"] = torch.get_num_threads()

    tree, built = assemble.make_tree(config)
    sources, validation = assemble.make_sources(config, tree)
    stream = assemble.make_stream(config, sources)
    detector = assemble.make_detector(config, tree)
    criterion = assemble.make_criterion(config)
    if config["init"]:
        start_from(config, detector, tree)

    detector = detector.to(device).to(memory_format=torch.channels_last)
    optimizer_options = {k: v for k, v in config["optimizer"].items() if k != "schedule"}
    optimizer = make_optimizer(detector, **optimizer_options)

    folder = Path(resume) if resume else new_run_folder(config)
    # What a resumed run was given goes into its config, so that the next resume knows it too.
    kept = {**config, "resume": None, "extend": False}
    write_text(folder / CONFIG, yaml.safe_dump(kept, sort_keys=False))
    if not resume:
        tree.save(folder / "wordtree.json")
        lines = [f"{name} {number}" for name, number in versions().items()]
        (folder / "versions.txt").write_text("\n".join(lines) + "\n")
    console.print(
        f"{folder}: {len(tree)} nodes, {sum(p.numel() for p in detector.parameters()):,} "
        f"parameters, {device}, {config['threads']} threads, {reason}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print(stream.mixture.report(), markup=False, highlight=False, soft_wrap=True)
    if built.unreachable:
        console.print(
            f"{len(built.unreachable)} labels have no path to the root and hang from it directly",
            highlight=False,
        )

    run = Run(
        folder=folder,
        config=config,
        tree=tree,
        validation=validation,
        nodes_boxed=assemble.boxed_nodes(sources),
        average=WeightAverage(detector, decay=config["ema"]),
        console=console,
    )
    trainer = Trainer(
        detector=detector,
        criterion=criterion,
        optimizer=optimizer,
        learning_rate=assemble.make_schedule(config),
        loader=assemble.make_loader(config, stream, device),
        steps=config["steps"],
        batch_size=config["batch_size"],
        accumulate=config["accumulate"],
        average=run.average,
        clip=config["clip"],
        device=device,
        dtype=dtype,
        max_broken=config["max_broken"],
    )
    if checkpoint is not None:
        restore(trainer, run, checkpoint)
    resume_step = trainer.step if resume else None
    run.loggers = (
        CsvLogger(folder / "metrics.csv", COLUMNS, resume_step=resume_step),
        TensorBoardLogger(folder / "tb", resume_step=resume_step),
    )
    with Progress(config["steps"], start=trainer.step, console=console) as progress:
        trainer.callbacks = callbacks(run, progress)
        try:
            trainer.fit()
        except TooManyBroken:
            save(run, trainer)
            raise
        except NonFiniteLoss as error:
            left = folder / "non_finite_batch.pt"
            torch.save(vars(error.batch), left)
            console.print(
                f"error: {error} The batch is in {left}.",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
            return 3
    if trainer.stop_reason:
        console.print(
            f"stopped by {trainer.stop_reason} after step {trainer.step}; go on with: "
            f"python train.py resume={folder}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return {"SIGINT": 130, "SIGTERM": 143}[trainer.stop_reason]
    report(run, trainer, command)
    return 0


def restore(trainer: Trainer, run: Run, checkpoint: Path) -> None:
    """Puts a run back to its checkpoint."""
    state = restore_checkpoint(
        checkpoint,
        model=trainer.detector,
        average=run.average,
        optimizer=trainer.optimizer,
    )
    trainer.step, trainer.seen = state["step"], state["seen"]
    trainer.broken = [(path, why) for path, why in state["broken"]]
    run.best, run.seconds, run.images = state["best"], state["seconds"], state["images"]


def start_from(config: Mapping[str, Any], detector: Any, tree: WordTree) -> None:
    """Takes the weights alone of another run, whose tree and network must be the same."""
    checkpoint = read_checkpoint(find_checkpoint(config["init"]), with_optimizer=False)
    check_fit(checkpoint, tree=tree, classifier=config["classifier"], network=config["network"])
    load_tensors(detector, checkpoint.ema, checkpoint.folder / "ema.safetensors")


def report(run: Run, trainer: Trainer, command: str) -> None:
    """report.json, report.md, and the table at the end."""
    evaluation = run.evaluation
    ap = evaluation.ap if evaluation else None
    back_off = evaluation.back_off if evaluation else None
    broken = [*trainer.broken, *(evaluation.validation.broken if evaluation else [])]
    figures = report_dict(
        tree=run.tree,
        ap=ap,
        back_off=back_off,
        images_per_second=run.images / run.seconds if run.seconds else 0.0,
        seconds=run.seconds,
        steps=trainer.step,
        parameters=sum(p.numel() for p in trainer.detector.parameters()),
        seeds={"run": run.config["seed"]},
        package_versions=versions(),
    )
    write_report_json(run.folder / REPORT, figures)
    write_report_md(
        run.folder / "report.md",
        figures,
        tree=run.tree,
        ap=ap,
        back_off=back_off,
        title=run.config["name"],
        command=command,
        settings=_flat(run.config),
        broken=broken,
    )
    rows = [
        ("AP50, all", figures["ap50"]["all"]),
        ("AP50, classes with boxes", figures["ap50"]["boxed"]),
        ("AP50, classes that never had a box", figures["ap50"]["label_only"]),
        ("back-off: correct labels", figures["backoff"]["correct"]),
        ("back-off: mean depth", figures["depth"]["mean"]),
        ("training", f"{trainer.step} steps in {clock_text(run.seconds)}"),
        ("images a second", figures["images_per_second"]),
        ("broken photos skipped", len(broken)),
        ("report", str(run.folder / "report.md")),
        ("predict", f"wordtree-predict {run.folder} PHOTO"),
    ]
    run.console.print(summary_table(rows, title=f"{run.config['name']}: done"))


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `group.key: value`."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
