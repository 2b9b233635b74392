"""The stream of inputs, and batches of it made by worker processes.

A draw is a function of (seed, position): workers, ranks and resuming only decide who asks for
which position.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import count
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from data.images import BrokenPhoto
from data.mixture import Mixture, Tile
from data.mosaic import cells, mosaic
from data.order import shuffled
from data.sample import Batch, Input, Sample, collate
from wordtree.errors import UserError

# A terminal's Ctrl-C and a scheduler's SIGTERM reach the workers too, and the trainer needs them
# until its step is done. macOS cannot say who sent a signal, Windows has none.
FOR_THE_TRAINER = (signal.SIGTERM, signal.SIGINT)
SHIELDED = hasattr(signal, "sigwaitinfo")

_OF_SIZES = 1 << 32  # apart from the orders of photos, whose keys are numbers of sources

Placed = Sample | tuple[Sample, NDArray[np.float32]]
Place = Callable[[Sample, tuple[int, int], int], Placed]


class Stream:
    """Input number `position` of a mixture: photos read, placed and pasted.

    mixture: which photos, from its own sources.
    place: called as place(sample, (height, width), seed); gives a sample whose image has exactly
        that size, or such a sample and the region in which its photo stands (float32 xyxy in
        pixels of that image, padding left out).
    size: (height, width) of the input. stride: the network's, for the cuts. jitter: see `cells`.
    sizes, every: where sizes are given, inputs have one of them instead of `size`, a new one every
        `every` inputs; they go round in shuffled order, so each comes equally often. A step's
        inputs have one size where `every` is a multiple of them.
    """

    def __init__(
        self,
        mixture: Mixture,
        place: Place,
        *,
        size: tuple[int, int],
        stride: int,
        jitter: float = 0.4,
        sizes: Sequence[tuple[int, int]] = (),
        every: int = 1,
    ) -> None:
        self.mixture, self.place = mixture, place
        self.size, self.stride, self.jitter = (size[0], size[1]), stride, jitter
        self.sizes, self.every = tuple((height, width) for height, width in sizes), every
        if every < 1 or any(side < 1 or side % stride for pair in self.sizes for side in pair):
            raise UserError(
                f"input sizes {list(self.sizes)}, a new one every {every} inputs, cannot be drawn; "
                f"give multiples of the network's stride {stride}, and 1 or more inputs"
            )
        for grid in mixture.grids:  # what cannot be cut is said now, not in the middle of a run
            for each in {self.size, *self.sizes}:
                cells(grid, each, stride=stride, rng=np.random.default_rng(0), jitter=0)

    def size_at(self, position: int) -> tuple[int, int]:
        """(height, width) of input number `position`, a function of the seed and the position."""
        if not self.sizes:
            return self.size
        turn = np.array([position // self.every])
        key = (self.mixture.seed, _OF_SIZES)
        return self.sizes[int(shuffled(turn, len(self.sizes), key=key)[0])]

    def __getitem__(self, position: int) -> Input:
        plan, whole = self.mixture.plan(position), self.size_at(position)
        rng = np.random.default_rng(plan.seed)
        boxes = cells(plan.grid, whole, stride=self.stride, rng=rng, jitter=self.jitter)
        samples, regions = [], []
        broken: list[tuple[str, str]] = []
        for tile, (left, top, right, bottom) in zip(plan.tiles, boxes.tolist(), strict=True):
            size = (bottom - top, right - left)
            placed = self.place(self._read(tile, size, broken), size, tile.seed)
            sample, region = placed if isinstance(placed, tuple) else (placed, None)
            samples.append(sample)
            regions.append(region)
        return mosaic(samples, boxes, whole, regions=regions, position=position, broken=broken)

    def _read(self, tile: Tile, size: tuple[int, int], broken: list[tuple[str, str]]) -> Sample:
        """The tile's photo, or the next of its source that can be read; broken ones are listed."""
        source = self.mixture.sources[tile.source]
        for step in range(len(source)):
            try:
                return source.read((tile.photo + step) % len(source), size=size)
            except BrokenPhoto as error:
                broken.append((str(error.path), str(error.reason)))
        raise UserError(
            f"none of the {len(source)} photos of source {source.name} can be read; the last was "
            f"{broken[-1][0]}: {broken[-1][1]}"
        )


class Loader:
    """Batches of `stream` without end, in order, from position `start`.

    batch_size: inputs a batch, of this rank. A step takes batch_size * world positions in a row;
        rank r gets the r-th batch_size of them.
    workers: processes that make batches; 0: this one. They never change a draw.
    pin: in page-locked memory, for a GPU.
    start_method: how workers start; None: `fork` on Linux (they share what is in memory already),
        else `spawn`.

    Iterating starts the workers, and they live until `close`, the end of the `with` block, or the
    end of the iterator. A worker that dies ends the iteration with an error; use the loader in a
    `with` block to get it as one sentence wherever in the block it strikes.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        batch_size: int,
        start: int = 0,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        pin: bool = False,
        start_method: str | None = None,
    ) -> None:
        self.stream, self.batch_size, self.start = stream, batch_size, start
        self.workers, self.rank, self.world, self.pin = workers, rank, world, pin
        forks = sys.platform == "linux" and "fork" in multiprocessing.get_all_start_methods()
        self.start_method = start_method or ("fork" if forks else "spawn")
        self._batches: Generator[Batch, None, None] | None = None

    def __iter__(self) -> Iterator[Batch]:
        self.close()
        self._batches = self._run()
        return self._batches

    def close(self) -> None:
        """End the workers."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        # Torch raises from a signal handler, so the error may strike anywhere in the block.
        if isinstance(error, RuntimeError) and "DataLoader worker (pid" in str(error):
            raise _death(str(error)) from error

    def _run(self) -> Generator[Batch, None, None]:
        options: dict[str, Any] = {}
        if self.workers:
            options = {
                "worker_init_fn": _start_worker,
                "multiprocessing_context": self.start_method,
            }
        loader: DataLoader[Any] = DataLoader(
            _Answers(self.stream),
            batch_sampler=_Positions(self.batch_size, self.start, self.rank, self.world),
            collate_fn=_collate,
            num_workers=self.workers,
            pin_memory=self.pin,
            # The loader draws a seed for its workers: not from the generator that trains.
            generator=torch.Generator(),
            **options,
        )
        batches = _started(loader)
        try:
            for batch in batches:
                if isinstance(batch, UserError):
                    raise batch
                yield batch
        except (EOFError, ConnectionError) as error:
            # A worker that dies while it hands a batch over is seen as a broken connection. What
            # its own photos raised is passed on, and torch has written so into the text.
            if "in DataLoader worker process" in str(error):
                raise
            raise _death(f"{type(error).__name__} while it handed a batch over") from error
        finally:
            if self.workers:
                # Its __del__ does the same, but runs only when no traceback holds it any more.
                batches._shutdown_workers()


class _Positions:
    """Lists of positions without end: the batches of one rank."""

    def __init__(self, batch_size: int, start: int, rank: int, world: int) -> None:
        self.batch_size, self.start, self.rank, self.world = batch_size, start, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        step = self.batch_size * self.world
        for first in count(self.start + self.rank * self.batch_size, step):
            yield list(range(first, first + self.batch_size))


class _Answers(Dataset[Any]):
    """A stream whose user errors are answers: raised in a worker, torch would put a stack trace
    into their text."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __getitem__(self, position: int) -> Input | UserError:
        try:
            return self.stream[position]
        except UserError as error:
            return error


def _collate(answers: list[Input | UserError]) -> Batch | UserError:
    inputs = []
    for answer in answers:
        if isinstance(answer, UserError):
            return answer
        inputs.append(answer)
    return collate(inputs)


def _death(reason: str) -> UserError:
    return UserError(
        f"a loader worker died ({reason.splitlines()[0].rstrip('. ')}), most likely for lack of "
        "memory; give fewer workers or a smaller batch_size"
    )


def _started(loader: DataLoader[Any]) -> Any:
    """The loader's iterator, its workers running."""
    threads = cv2.getNumThreads()
    # OpenCV's idle threads are not there in a forked process, which hangs (one time in four) when
    # it then sets their number; so they are ended before the fork.
    cv2.setNumThreads(1)
    # Workers inherit what is blocked here, so that no moment of their lives is open to it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_TRAINER) if SHIELDED else None
    try:
        batches = iter(loader)
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    cv2.setNumThreads(threads)
    return batches


def _start_worker(_: int) -> None:
    # Workers share the cores; each works alone.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if SHIELDED:
        threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()


def _obey(trainer: int) -> None:
    """Ends this process when the trainer asks for it, and at nobody else's wish."""
    while True:
        asked = signal.sigwaitinfo(FOR_THE_TRAINER)
        if asked.si_pid == trainer:
            os._exit(0)
