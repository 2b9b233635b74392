"""What listens to a run: logs, pictures, checkpoints, evaluation. One callback, one concern."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from data.draw import contact_sheet, draw_boxes, draw_regions, node_colour, write_jpeg
from data.sample import KINDS, Batch
from detector.training.loggers import Logger
from detector.training.trainer import Trainer
from wordtree import WordTree


class Quiet:
    """A callback that does nothing; the others override what they listen to."""

    def start(self, trainer: Trainer) -> None:
        """Before the first step."""

    def batch(self, trainer: Trainer, batch: Batch) -> None:
        """With every batch, before it is used."""

    def step(self, trainer: Trainer, losses: dict[str, float]) -> None:
        """After an optimiser step."""

    def end(self, trainer: Trainer) -> None:
        """After the last step."""

    def close(self) -> None:
        """Last of all, also where the run failed."""


class LogLosses(Quiet):
    """Means of the losses since the last row, every `every` steps, to each logger."""

    def __init__(self, loggers: Sequence[Logger], every: int) -> None:
        self.loggers, self.every = loggers, every
        self.sums: dict[str, float] = {}
        self.count = 0

    def step(self, trainer: Trainer, losses: dict[str, float]) -> None:
        """Adds up; writes a row when it is time, and at the last step."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        if trainer.step % self.every == 0 or trainer.step == trainer.steps:
            means = {name: value / self.count for name, value in self.sums.items()}
            rate = trainer.optimizer.param_groups[0]["lr"]
            for logger in self.loggers:
                logger.log(trainer.step, {**means, "learning_rate": rate})
            self.sums, self.count = {}, 0

    def close(self) -> None:
        """Closes the loggers' files."""
        for logger in self.loggers:
            logger.close()


class StopOnSignal(Quiet):
    """SIGTERM and Ctrl-C end the run after the step under way, so that it can be resumed."""

    def __init__(self) -> None:
        self.before: dict[signal.Signals, Any] = {}

    def start(self, trainer: Trainer) -> None:
        """Takes the two signals over for the length of the run."""

        def stop(number: int, frame: FrameType | None) -> None:
            del frame
            trainer.stop(signal.Signals(number).name)

        for number in (signal.SIGTERM, signal.SIGINT):
            self.before[number] = signal.signal(number, stop)

    def end(self, trainer: Trainer) -> None:
        """Gives them back: whoever has no time for the last evaluation can stop it."""
        self.close()

    def close(self) -> None:
        """Gives them back."""
        while self.before:
            signal.signal(*self.before.popitem())


class Every(Quiet):
    """Calls `action(trainer)` every so many steps (0: never) and, with `at_end`, at the end."""

    def __init__(self, action: Callable[[Trainer], None], every: int, *, at_end: bool) -> None:
        self.action, self.every, self.at_end = action, every, at_end
        self.done_at = -1

    def step(self, trainer: Trainer, losses: dict[str, float]) -> None:
        """Acts when it is time."""
        if self.every and trainer.step % self.every == 0:
            self._act(trainer)

    def end(self, trainer: Trainer) -> None:
        """Acts once more unless it just did."""
        if self.at_end and self.done_at != trainer.step:
            self._act(trainer)

    def _act(self, trainer: Trainer) -> None:
        self.done_at = trainer.step
        self.action(trainer)


class TrainPictures(Quiet):
    """The first batches of a run as `train_batch0.jpg` ...: what was fed, boxes and regions."""

    def __init__(self, folder: Path, tree: WordTree, *, count: int = 3, images: int = 16) -> None:
        self.folder, self.tree, self.left, self.images = folder, tree, count, images
        self.count = count

    def batch(self, trainer: Trainer, batch: Batch) -> None:
        """Draws, while there is something left to draw."""
        if self.left == 0 or trainer.step >= self.count:
            return
        path = self.folder / f"train_batch{self.count - self.left}.jpg"
        write_jpeg(path, picture_of(batch, self.tree, images=self.images))
        self.left -= 1


def picture_of(batch: Batch, tree: WordTree, *, images: int = 16) -> np.ndarray:
    """A contact sheet of a batch: boxed truths, and label-only regions with their labels."""
    batch = batch.to("cpu")
    side = int(batch.images.shape[-1])
    enlarge = max(1, round(384 / side))
    drawn = []
    for number in range(min(images, len(batch))):
        image = np.ascontiguousarray(batch.images[number].permute(1, 2, 0).numpy())
        truths = (batch.photo_image[batch.truth_photo] == number).nonzero().squeeze(1)
        weak = (batch.photo_kind == KINDS.index("label_only")) & (batch.photo_image == number)
        texts = [
            "ignored" if bool(batch.truth_ignore[t]) else _name(tree, int(batch.truth_node[t]))
            for t in truths
        ]
        colours = [node_colour(int(batch.truth_node[t])) for t in truths]
        canvas = draw_boxes(image, batch.truth_box[truths].numpy(), texts, colours, enlarge=enlarge)
        regions = weak.nonzero().squeeze(1)
        labels = [
            ", ".join(_name(tree, int(n)) for n in batch.label_node[batch.label_photo == photo])
            for photo in regions
        ]
        drawn.append(draw_regions(canvas, batch.photo_box[regions].numpy() * enlarge, labels))
    return contact_sheet(drawn, columns=4)


def _name(tree: WordTree, node: int) -> str:
    return tree.names[node] if node >= 0 else "object"
