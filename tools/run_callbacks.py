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
from detector.training.callbacks import (
    Every,
    LogDecisions,
    LogLosses,
    Quiet,
    StopOnSignal,
    TrainPictures,
)
from detector.training.checkpoint import save_checkpoint
from detector.training.distributed import ALONE, Ranks
from detector.training.ema import WeightAverage
from detector.training.evaluate import PICTURE_SIDE, Evaluation, evaluate, write_pictures
from detector.training.loggers import CsvLogger, Logger, log_pictures
from detector.training.progress import Progress
from detector.training.trainer import Trainer
from detector.training.validate import readable
from detector.weights import point
from wordtree import WordTree


@dataclass
class Run:
    """A run under way: what its callbacks share. photos: how many each source has."""

    folder: Path
    config: dict[str, Any]
    tree: WordTree
    photos: dict[str, int]
    validation: Source
    nodes_boxed: NDArray[Any]
    average: WeightAverage
    console: Console
    ranks: Ranks = ALONE
    loggers: Sequence[Logger] = ()
    evaluation: Evaluation | None = None
    best: float = -1.0
    seconds: float = 0.0
    images: int = 0


class Timed(Quiet):
    """Shows progress, and keeps the seconds and the inputs of the training itself.

    What other callbacks do after a step (rows, checkpoints, evaluations, pictures) does not count:
    `tail`, called after all of them, starts the clock again.
    """

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

    @property
    def tail(self) -> Quiet:
        """Goes last in the list of callbacks."""
        return ClockAgain(self)


class ClockAgain(Quiet):
    """Lets the clock go on from now."""

    def __init__(self, timed: Timed) -> None:
        self.timed = timed

    def step(self, trainer: Trainer, losses: dict[str, float]) -> None:
        """After all others."""
        self.timed.start(trainer)


def callbacks(run: Run, progress: Progress) -> list[Any]:
    """What listens to the run, in the order in which it is called; rank 0 alone logs and draws."""
    config = run.config
    at_end = config["evaluate_every"] is None or config["evaluate_every"] > 0

    def unless_stopped(action: Callable[[Trainer], None]) -> Callable[[Trainer], None]:
        return lambda trainer: None if trainer.stop_reason else action(trainer)

    timed = Timed(run, progress)
    shown: list[Any] = [
        timed,
        TrainPictures(run.folder, run.tree, loggers=run.loggers),
        # Before the checkpoint: a row that is too late is cut off on resume, one that a killed
        # process did not come to write would be missing for good.
        LogLosses(run.loggers, config["log_every"]),
        LogDecisions(
            [one for one in run.loggers if not isinstance(one, CsvLogger)], config["log_every"]
        ),
    ]
    return [
        *(shown if run.ranks.first else []),
        Every(lambda t: save(run, t), config["checkpoint_every"], at_end=True),
        StopOnSignal(),  # the last checkpoint is written whatever comes, what follows is given up
        Every(
            unless_stopped(lambda t: measure(run, t)),
            config["evaluate_every"] or 0,
            at_end=at_end,
        ),
        Every(unless_stopped(lambda t: draw_grad_cam(run, t.step)), 0, at_end=True),
        *([timed.tail] if run.ranks.first else []),
    ]


def save(run: Run, trainer: Trainer) -> None:
    """Rank 0 writes a checkpoint, and the others wait: if it cannot be written, all end."""
    with run.ranks.agreeing():
        if run.ranks.first:
            write(run, trainer)


def write(run: Run, trainer: Trainer) -> None:
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
            "ranks": run.ranks.world,
            "photos": run.photos,
            "broken": [list(entry) for entry in trainer.broken],
            "best": run.best,
            "seconds": run.seconds,
            "images": run.images,
        },
    )


def measure(run: Run, trainer: Trainer) -> None:
    """Evaluates the averaged weights; the best checkpoint so far gets the link `best`.

    Each rank looks at a share of the photos, and rank 0 makes the figures.
    """
    config, better = run.config, False
    run.evaluation = evaluate(
        run.average.module,
        run.tree,
        run.validation,
        nodes_boxed=run.nodes_boxed,
        image_size=config["image_size"],
        device=trainer.device,
        threshold=config["thresholds"]["back_off"],
        objectness=config["thresholds"]["objectness"],
        progress=now_and_then(run.console, "evaluation"),
        ranks=run.ranks,
    )
    with run.ranks.agreeing():
        if run.evaluation is not None:
            figures = run.evaluation.headline
            for logger in run.loggers:
                logger.log(trainer.step, figures)
            write_pictures(run.folder, run.evaluation, run.tree)
            show(run, trainer.step, "val_batch*.jpg", "pr_curve.png")
            better = figures.get("ap50.all", 0.0) > run.best
            run.best = max(run.best, figures.get("ap50.all", 0.0))
    if run.ranks.from_first(better):
        save(run, trainer)
        if run.ranks.first:
            point(run.folder / "weights", "best", trainer.step)


def now_and_then(
    console: Console,
    what: str,
    *,
    every: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[int, int], None]:
    """Progress of `what` as a line every so many seconds; nothing for what takes less."""
    shown = clock()

    def progress(done: int, of: int) -> None:
        nonlocal shown
        if clock() - shown >= every:
            shown = clock()
            console.print(
                f"{what}: {done:,} of {of:,} photos", highlight=False, markup=False, soft_wrap=True
            )

    return progress


def show(run: Run, step: int, *patterns: str) -> None:
    """The pictures of these names in the run folder, to the loggers."""
    for pattern in patterns:
        log_pictures(run.loggers, step, sorted(run.folder.glob(pattern)))


def draw_grad_cam(run: Run, step: int, *, photos: int = 4) -> None:
    """`gradcam0.jpg` ...: where the network looked for the detections of the first photos."""
    with run.ranks.agreeing():
        if run.ranks.first:
            _draw_grad_cam(run, photos)
            show(run, step, "gradcam*.jpg")


def _draw_grad_cam(run: Run, photos: int) -> None:
    config = run.config
    predictor = Predictor(
        run.average.module,
        run.tree,
        image_size=config["image_size"],
        threshold=config["thresholds"]["back_off"],
        objectness=config["thresholds"]["objectness"],
        device=next(run.average.module.parameters()).device,
    )
    for number, sample in enumerate(readable(run.validation, photos)):
        image = sample.image
        found = predictor.predict(image)[0]
        if len(found) == 0:
            found = predictor.best_candidate(image)
        enlarge = max(1, round(PICTURE_SIDE / max(image.shape[:2])))
        explained = explain(predictor, image, found, most=4, enlarge=enlarge)
        overlays = [one.overlay for one in explained]
        write_jpeg(run.folder / f"gradcam{number}.jpg", contact_sheet(overlays, columns=4))
