"""One training run: from a checked config to a run folder that a person enjoys opening."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from data.coverage import cover
from data.coverage_text import short_report
from data.root import VARIABLE
from data.sources import Source
from detector.evaluation.report import report_dict, versions, write_report_json, write_report_md
from detector.training.callbacks import Interrupted
from detector.training.checkpoint import restore_checkpoint
from detector.training.distributed import ALONE, Ranks
from detector.training.ema import WeightAverage
from detector.training.precision import choose_precision
from detector.training.progress import Progress, clock_text, summary_table
from detector.training.trainer import NonFiniteLoss, TooManyBroken, Trainer
from tools import assemble
from tools.left_batch import leave_batch
from tools.run_callbacks import Run, callbacks, save
from tools.run_folder import REPORT, lead_latest, new_run_folder, resolved
from tools.run_loggers import flat, opened_loggers
from tools.run_parts import build, check_photos, going_on, write_settings
from tools.shares import check_same, device_of, threads_of


def train(
    config: dict[str, Any], *, command: str, place: Path | None = None, ranks: Ranks = ALONE
) -> int:
    """Runs a config to its end and writes the report; returns the exit code.

    place: the run's folder where a sweep has named it.
    ranks: the processes that train together, each of which calls this with the same config.

    A loss that is not finite ends it with code 3 and leaves the batch in the run folder.
    """
    console = Console(stderr=True, quiet=not ranks.first)
    resume = config["resume"]
    ranks.connect(config["timeout"])
    if config["init"]:
        config["init"] = ranks.from_first(resolved(config["init"]))
    with ranks.agreeing():
        begun = going_on(config, place) if ranks.first else None
    begun = ranks.from_first(begun)
    if begun and begun.finished:
        steps = begun.state["step"]
        console.print(f"{resume} is finished ({steps} steps); nothing to do.", soft_wrap=True)
        return 0

    with ranks.agreeing():
        device = device_of(assemble.choose_device(config["device"]), ranks)
        before = begun.state.get("ranks", 1) if begun else None
        config["threads"] = threads_of(config["threads"], ranks, before=before)
        assemble.prepare_torch(config)
        dtype, reason = choose_precision(config["precision"], device)
    # What `auto` and 0 stood for goes into the run's config, and so stays the same on resume.
    config["precision"] = ranks.from_first("float32" if dtype is None else "bfloat16")
    dtype = None if config["precision"] == "float32" else torch.bfloat16
    config["threads"] = torch.get_num_threads()

    with ranks.agreeing():
        parts = build(config, device)
    tree, stream, detector = parts.tree, parts.stream, parts.detector
    photos = {**parts.sources, "validation": parts.validation}
    sizes = {f"the number of photos of {name}": len(photos[name]) for name in photos}
    check_same({"the tree's hash": tree.hash, **sizes}, ranks)
    if begun:
        with ranks.agreeing():
            check_photos(begun, photos)

    with ranks.agreeing():
        folder = Path(resume) if resume else Path()
        if ranks.first:
            folder = folder if resume else new_run_folder(config, place)
            write_settings(folder, config, tree)
    folder = ranks.from_first(folder)
    shared = "" if ranks.alone else f"{ranks.world} processes, each with "
    console.print(
        f"{folder}: {len(tree)} nodes, {sum(p.numel() for p in detector.parameters()):,} "
        f"parameters, {shared}{device}, {config['threads']} threads, {reason}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if begun and before != ranks.world:
        console.print(
            f"{before} processes trained this run up to step {begun.state['step']}, and "
            f"{ranks.world} go on from the same position of the stream: with the same inputs a "
            "step, but not to the same bits",
            highlight=False,
            soft_wrap=True,
        )
    shown = short_report(cover(stream.mixture, tree, classifier=config["classifier"]))
    console.print(shown, markup=False, highlight=False, soft_wrap=True)
    for line in assemble.left_out(config, parts.sources, parts.validation):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    lost = len(parts.built.unreachable)
    if lost:
        console.print(
            f"{lost} labels have no path to the root and hang from it directly",
            highlight=False,
        )

    run = Run(
        folder=folder,
        config=config,
        tree=tree,
        photos={name: len(source) for name, source in photos.items()},
        validation=parts.validation,
        nodes_boxed=assemble.boxed_nodes(parts.sources),
        average=WeightAverage(detector, decay=config["ema"]),
        console=console,
        ranks=ranks,
    )
    trainer = Trainer(
        detector=detector,
        criterion=parts.criterion,
        optimizer=parts.optimizer,
        learning_rate=assemble.make_schedule(config),
        loader=assemble.make_loader(config, stream, device, ranks),
        steps=config["steps"],
        batch_size=config["batch_size"],
        accumulate=config["accumulate"],
        average=run.average,
        clip=config["clip"],
        device=device,
        dtype=dtype,
        max_broken=config["max_broken"],
        freeze_norm=config["freeze_norm"],
        ranks=ranks,
    )
    if begun:
        with ranks.agreeing():
            restore(trainer, run, begun.checkpoint)
    resume_step = trainer.step if resume else None
    with ranks.agreeing():
        if ranks.first:
            run.loggers = opened_loggers(config, folder, resume_step=resume_step)
            if not (resume or config["run_dir"]):
                lead_latest(folder)
    with Progress(config["steps"], start=trainer.step, console=console) as progress:
        trainer.callbacks = callbacks(run, progress)
        try:
            trainer.fit()
        except Interrupted as signalled:
            trainer.stop_reason = signalled.reason
        except TooManyBroken:
            save(run, trainer)
            raise
        except NonFiniteLoss as error:
            console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
            if ranks.first:
                said = leave_batch(error.batch, folder, reason=str(error))
                console.print(said, markup=False, highlight=False, soft_wrap=True)
            return 3
    if trainer.stop_reason:
        console.print(
            f"stopped by {trainer.stop_reason} after step {trainer.step}; go on with: "
            f"{launcher(ranks)} train.py resume={folder}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return {"SIGINT": 130, "SIGTERM": 143}[trainer.stop_reason]
    if ranks.first:
        report(run, trainer, command, sources=listed(config, photos), mixture=shown)
    return 0


def launcher(ranks: Ranks) -> str:
    """What starts as many processes as train now."""
    if ranks.alone:
        return "python"
    hosts = ranks.world // ranks.local_world
    nodes = f"--nnodes={hosts} " if hosts > 1 else ""
    return f"torchrun {nodes}--nproc_per_node={ranks.local_world}"


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


def listed(config: Mapping[str, Any], photos: Mapping[str, Source]) -> list[dict[str, Any]]:
    """What the report says of each source: name, kind, photos, and its options as they were
    given, paths from `data_root` on."""
    given = {**config["data"]["train"], "validation": config["data"]["validation"]}
    return [
        {**given[name], "name": name, "kind": source.kind, "photos": len(source)}
        for name, source in photos.items()
        if given[name] is not None
    ]


def report(
    run: Run,
    trainer: Trainer,
    command: str,
    *,
    sources: Sequence[Mapping[str, Any]] = (),
    mixture: str = "",
) -> None:
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
    write_report_md(
        run.folder / "report.md",
        figures,
        tree=run.tree,
        ap=ap,
        back_off=back_off,
        title=run.config["name"],
        command=command,
        settings=flat(run.config),
        broken=[(below_root(path, run.config), reason) for path, reason in broken],
        sources=sources,
        mixture=mixture,
    )
    # Last: a run that has it is finished.
    write_report_json(run.folder / REPORT, figures)
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


def below_root(path: str, config: Mapping[str, Any]) -> str:
    """A photo's path from the folder of data sets on, where it lies below that: where it stands on
    this machine is no matter of a report's."""
    root = Path(config["data_root"] or os.environ.get(VARIABLE) or "datasets").expanduser()
    return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path
