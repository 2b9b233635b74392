"""One training run: from a checked config to a run folder that a person enjoys opening."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from numpy.typing import NDArray
from rich.console import Console

from data.draw import contact_sheet, write_jpeg
from data.sources import Source
from detector.evaluation.report import (
    report_dict,
    versions,
    write_report_json,
    write_report_md,
)
from detector.explain import explain
from detector.inference.predictor import Predictor
from detector.losses import PARTS
from detector.training.callbacks import Every, LogLosses, Quiet, StopOnSignal, TrainPictures
from detector.training.checkpoint import restore_checkpoint, save_checkpoint
from detector.training.ema import WeightAverage
from detector.training.evaluate import PICTURE_SIDE, Evaluation, evaluate, write_pictures
from detector.training.loggers import CsvLogger, Logger, TensorBoardLogger
from detector.training.optimizer import make_optimizer
from detector.training.precision import choose_precision
from detector.training.progress import Progress, clock_text, summary_table
from detector.training.trainer import NonFiniteLoss, Trainer
from detector.weights import check_fit, find_checkpoint, load_tensors, point, read_checkpoint
from tools import assemble
from wordtree import UserError, WordTree

CONFIG = "config.yaml"
COLUMNS = ("total", *PARTS, "learning_rate", "ap50.all", "ap50.boxed", "ap50.label_only")
# What may be given beside resume=RUN; all else must stay as the run began it.
RESUMABLE = (
    "device",
    "workers",
    "steps",
    "extend",
    "checkpoint_every",
    "evaluate_every",
    "log_every",
)


@dataclass
class Run:
    """A run under way: what its callbacks share."""

    folder: Path
    config: dict[str, Any]
    tree: WordTree
    validation: Source
    nodes_boxed: NDArray[Any]
    average: WeightAverage
    console: Console
    loggers: Sequence[Logger] = ()
    evaluation: Evaluation | None = None
    best: float = -1.0
    seconds: float = 0.0
    images: int = 0
    state: dict[str, Any] = field(default_factory=dict)


class Timed(Quiet):
    """Shows progress, and keeps the seconds and the inputs of the training itself."""

    def __init__(self, run: Run, progress: Progress) -> None:
        self.run, self.progress = run, progress
        self.began = 0.0

    def start(self, trainer: Trainer) -> None:
        """Starts the clock."""
        self.began = time.monotonic()

    def step(self, trainer: Trainer, losses: dict[str, float]) -> None:
        """Moves the live line on."""
        self.run.images += trainer.batch_size
        self.progress.update(trainer.step, losses, trainer.batch_size)

    def end(self, trainer: Trainer) -> None:
        """Stops the clock, before anything is evaluated."""
        self.run.seconds = time.monotonic() - self.began


def new_run_folder(config: Mapping[str, Any]) -> Path:
    """Makes `run_dir`, or runs/NAME/DATE_TIME with runs/latest leading to it.

    Raises UserError where the folder is there already or cannot be written.
    """
    given = config["run_dir"]
    folder = Path(given) if given else _dated(Path("runs") / config["name"])
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UserError(
            f"the run folder {folder} exists already; give another run_dir, or resume={folder} "
            "to go on with it"
        ) from None
    except OSError as error:
        raise UserError(
            f"the run folder {folder} cannot be made ({error.strerror}); give another run_dir"
        ) from error
    if not given:
        latest, fresh = Path("runs/latest"), Path("runs/.latest")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(folder.relative_to("runs"))
        fresh.replace(latest)
    return folder


def _dated(parent: Path) -> Path:
    """parent/DATE_TIME, with -2, -3 ... where two runs begin in one second."""
    name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder, number = parent / name, 1
    while folder.exists():
        number += 1
        folder = parent / f"{name}-{number}"
    return folder


def resumed_config(run: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run with the few keys that may change.

    given: the keys that the user typed beside resume, with their values.
    """
    path = Path(run) / CONFIG
    if not path.is_file():
        raise UserError(f"{path} is not there; resume=RUN needs the folder of a run.")
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    refused = [key for key in given if key not in (*RESUMABLE, "resume")]
    if refused:
        raise UserError(
            f"resume={run} takes its config from the run, so {', '.join(refused)} cannot be "
            f"given; only {', '.join(RESUMABLE)} can."
        )
    longer = "steps" in given and given["steps"] != config["steps"]
    if longer and config["optimizer"]["schedule"]["kind"] != "constant" and not given.get("extend"):
        raise UserError(
            f"steps={given['steps']} changes the learning rate of a run that was planned for "
            f"steps={config['steps']}; add extend=true if that is meant."
        )
    return {**config, **given, "resume": str(run)}


def train(config: dict[str, Any], *, command: str) -> int:
    """Runs a config to its end and writes the report; returns the exit code.

    A loss that is not finite ends it with code 3 and leaves the batch in the run folder.
    """
    console = Console(stderr=True)
    resume = config["resume"]
    checkpoint = find_checkpoint(resume, prefer=("last",)) if resume else None
    if checkpoint is not None:
        state = read_checkpoint(checkpoint, with_optimizer=False).state
        if state["step"] >= config["steps"]:
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

    folder = Path(resume) if resume else new_run_folder(config)
    if not resume:
        (folder / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))
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

    detector = detector.to(device).to(memory_format=torch.channels_last)
    optimizer_options = {k: v for k, v in config["optimizer"].items() if k != "schedule"}
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
        optimizer=make_optimizer(detector, **optimizer_options),
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


def callbacks(run: Run, progress: Progress) -> list[Any]:
    """What listens to the run, in the order in which it is called."""
    config = run.config
    at_end = config["evaluate_every"] is None or config["evaluate_every"] > 0

    def unless_stopped(action: Callable[[Trainer], None]) -> Callable[[Trainer], None]:
        return lambda trainer: None if trainer.stop_reason else action(trainer)

    return [
        StopOnSignal(),
        Timed(run, progress),
        TrainPictures(run.folder, run.tree),
        Every(lambda t: save(run, t), config["checkpoint_every"], at_end=True),
        Every(
            unless_stopped(lambda t: measure(run, t)),
            config["evaluate_every"] or 0,
            at_end=at_end,
        ),
        Every(unless_stopped(lambda t: draw_grad_cam(run)), 0, at_end=True),
        LogLosses(run.loggers, config["log_every"]),
    ]


def save(run: Run, trainer: Trainer) -> None:
    """Writes a checkpoint."""
    config = run.config
    save_checkpoint(
        run.folder / "weights",
        trainer.step,
        seen=trainer.seen,
        position=trainer.position,
        model=trainer.detector,
        average=run.average,
        optimizer=trainer.optimizer,
        state={
            "network": config["network"],
            "classifier": config["classifier"],
            "image_size": config["image_size"],
            "thresholds": config["thresholds"],
            "tree_hash": run.tree.hash,
            "precision": config["precision"],
            "threads": config["threads"],
            "broken": [list(entry) for entry in trainer.broken],
            "best": run.best,
        },
    )


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
    run.best = state["best"]


def start_from(config: Mapping[str, Any], detector: Any, tree: WordTree) -> None:
    """Takes the weights alone of another run, whose tree and network must be the same."""
    checkpoint = read_checkpoint(find_checkpoint(config["init"]), with_optimizer=False)
    check_fit(checkpoint, tree=tree, classifier=config["classifier"], network=config["network"])
    load_tensors(detector, checkpoint.ema, checkpoint.folder / "ema.safetensors")


def measure(run: Run, trainer: Trainer) -> None:
    """Evaluates the averaged weights; the best checkpoint so far gets the link `best`."""
    config = run.config
    run.evaluation = evaluate(
        run.average.module,
        run.tree,
        run.validation,
        nodes_boxed=run.nodes_boxed,
        image_size=config["image_size"],
        device=trainer.device,
        threshold=config["thresholds"]["back_off"],
        objectness=config["thresholds"]["objectness"],
    )
    figures = run.evaluation.headline
    for logger in run.loggers:
        logger.log(trainer.step, figures)
    write_pictures(run.folder, run.evaluation, run.tree)
    if figures.get("ap50.all", 0.0) > run.best:
        run.best = figures.get("ap50.all", 0.0)
        save(run, trainer)
        point(run.folder / "weights", "best", trainer.step)


def draw_grad_cam(run: Run, *, photos: int = 4) -> None:
    """`gradcam0.jpg` ...: where the network looked for the detections of the first photos."""
    config = run.config
    predictor = Predictor(
        run.average.module,
        run.tree,
        image_size=config["image_size"],
        threshold=config["thresholds"]["back_off"],
        objectness=config["thresholds"]["objectness"],
        device=next(run.average.module.parameters()).device,
    )
    for number in range(min(photos, len(run.validation))):
        image = run.validation.read(number).image
        found = predictor.predict(image)[0]
        if len(found) == 0:
            found = predictor.best_candidate(image)
        enlarge = max(1, round(PICTURE_SIDE / max(image.shape[:2])))
        explained = explain(predictor, image, found, most=4, enlarge=enlarge)
        overlays = [one.overlay for one in explained]
        write_jpeg(run.folder / f"gradcam{number}.jpg", contact_sheet(overlays, columns=4))


def report(run: Run, trainer: Trainer, command: str) -> None:
    """report.json, report.md, and the table at the end."""
    evaluation = run.evaluation
    ap = evaluation.ap if evaluation else None
    back_off = evaluation.back_off if evaluation else None
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
    write_report_json(run.folder / "report.json", figures)
    write_report_md(
        run.folder / "report.md",
        figures,
        tree=run.tree,
        ap=ap,
        back_off=back_off,
        title=run.config["name"],
        command=command,
        settings=_flat(run.config),
        broken=trainer.broken,
    )
    rows = [
        ("AP50, all", figures["ap50"]["all"]),
        ("AP50, classes with boxes", figures["ap50"]["boxed"]),
        ("AP50, classes that never had a box", figures["ap50"]["label_only"]),
        ("back-off: correct labels", figures["backoff"]["correct"]),
        ("back-off: mean depth", figures["depth"]["mean"]),
        ("training", f"{trainer.step} steps in {clock_text(run.seconds)}"),
        ("images a second", figures["images_per_second"]),
        ("broken photos skipped", len(trainer.broken)),
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
