"""What listens to a run: logs, pictures, checkpoints, evaluation. One callback, one concern."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from data.draw import contact_sheet, enlarged, write_jpeg
from data.draw_truths import EACH, box_texts, draw_labels, draw_truths
from data.sample import KINDS, Batch
from detector.training.distributed import Interrupted
from detector.training.loggers import Logger, log_pictures
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


class LogDecisions(Quiet):
    """What the assignment and the weak rule decided since the last row: `assignment/NAME`.

    loggers: those that take any name. Of several ranks the first one tells of its own inputs.
    """

    def __init__(self, loggers: Sequence[Logger], every: int) -> None:
        self.loggers, self.every = loggers, every

    def step(self, trainer: Trainer, losses: dict[str, float]) -> None:
        """Writes when it is time, and at the last step."""
        if trainer.step % self.every == 0 or trainer.step == trainer.steps:
            decided = trainer.model.criterion.take_decisions()
            for logger in self.loggers:
                logger.log(trainer.step, {f"assignment/{n}": v for n, v in decided.items()})


class StopOnSignal(Quiet):
    """SIGTERM and Ctrl-C end the run after the step under way, so that it can be resumed.

    It stands after the callback that writes the last checkpoint: only what comes after that can
    be given up.
    """

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
        """From here on a signal does not wait: it raises Interrupted.

        One of several ranks cannot leave alone, the others would wait for it: it keeps the wish,
        and all raise Interrupted where `validate` asks, or stop when the end's work is done.
        """
        ranks = trainer.ranks

        def interrupt(number: int, frame: FrameType | None) -> None:
            del frame
            if ranks.alone:
                raise Interrupted(signal.Signals(number).name)
            ranks.asked.append(signal.Signals(number).name)

        for number in self.before:
            signal.signal(number, interrupt)
        # What came since the last step's end, while the checkpoint was written, say.
        trainer.agree_to_stop()

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

    def __init__(
        self,
        folder: Path,
        tree: WordTree,
        *,
        loggers: Sequence[Logger] = (),
        count: int = 3,
        images: int = 16,
    ) -> None:
        self.folder, self.tree, self.left, self.images = folder, tree, count, images
        self.loggers, self.count = loggers, count

    def batch(self, trainer: Trainer, batch: Batch) -> None:
        """Draws, while there is something left to draw."""
        if self.left == 0 or trainer.step >= self.count:
            return
        path = self.folder / f"train_batch{self.count - self.left}.jpg"
        write_jpeg(path, picture_of(batch, self.tree, images=self.images))
        log_pictures(self.loggers, trainer.step, [path])
        self.left -= 1


def picture_of(batch: Batch, tree: WordTree, *, images: int = 16) -> np.ndarray:
    """A contact sheet of a batch: boxed truths, and label-only regions with their labels."""
    return contact_sheet(pictures_of(batch, tree, images=images), columns=4)


def pictures_of(batch: Batch, tree: WordTree, *, images: int | None = None) -> list[np.ndarray]:
    """The first `images` inputs of a batch, all by default, as `picture_of` draws them."""
    batch = batch.to("cpu")
    height, width = batch.images.shape[-2:]
    enlarge = max(1, round(384 / width))
    boxes, nodes = batch.truth_box.numpy().astype(np.float64), batch.truth_node.numpy()
    ignore, regions = batch.truth_ignore.numpy(), batch.photo_box.numpy()
    label_only = (batch.photo_kind == KINDS.index("label_only")).numpy()
    drawn = []
    for number in range(len(batch) if images is None else min(images, len(batch))):
        image = np.ascontiguousarray(batch.images[number].permute(1, 2, 0).numpy())
        photos = (batch.photo_image == number).nonzero().squeeze(1).tolist()
        of_photo = [(batch.truth_photo == photo).numpy().nonzero()[0] for photo in photos]
        texts: list[str] = []
        for photo, rows in zip(photos, of_photo, strict=True):
            share = (regions[photo, 2:] - regions[photo, :2]).prod() / (height * width)
            # A tile has room for fewer names than a whole input.
            each = max(2, round(EACH * float(share)))
            texts += box_texts(boxes[rows], nodes[rows], ignore[rows], tree, each=each)
        truths = np.concatenate([np.zeros(0, np.int64), *of_photo])
        # Outlines first: names stand beside their boxes, also where another photo ends.
        picture = enlarged(image, enlarge)
        for photo in photos:
            if label_only[photo]:
                labels = batch.label_node[batch.label_photo == photo].numpy()
                picture = draw_labels(picture, regions[photo] * enlarge, labels, tree)
        picture = draw_truths(
            picture, boxes[truths] * enlarge, nodes[truths], ignore[truths], tree, texts=texts
        )
        drawn.append(picture)
    return drawn
