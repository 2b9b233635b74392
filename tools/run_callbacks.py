"""What listens to a training run: progress, checkpoints, evaluation and pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from rich.console import Console

from data.draw import contact_sheet, write_jpeg
from data.sources import Source
from detector.explain import explain
from detector.inference.predictor import Predictor
from detector.training.callbacks import Every, LogLosses, Quiet, StopOnSignal, TrainPictures
from detector.training.checkpoint import save_checkpoint
from detector.training.ema import WeightAverage
from detector.training.evaluate import PICTURE_SIDE, Evaluation, evaluate, write_pictures
from detector.training.loggers import Logger
from detector.training.progress import Progress
from detector.training.trainer import Trainer
from detector.training.validate import readable
from detector.weights import point
from wordtree import WordTree


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
        now = time.monotonic()
        self.run.seconds += now - self.began
        self.began = now
        self.run.images += trainer.batch_size
        self.progress.update(trainer.step, losses, trainer.batch_size)


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
            "seconds": run.seconds,
            "images": run.images,
        },
    )


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
    samples, _ = readable(run.validation, photos)
    for number, image in enumerate(sample.image for sample in samples):
        found = predictor.predict(image)[0]
        if len(found) == 0:
            found = predictor.best_candidate(image)
        enlarge = max(1, round(PICTURE_SIDE / max(image.shape[:2])))
        explained = explain(predictor, image, found, most=4, enlarge=enlarge)
        overlays = [one.overlay for one in explained]
        write_jpeg(run.folder / f"gradcam{number}.jpg", contact_sheet(overlays, columns=4))
