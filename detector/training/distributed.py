"""The processes that train one run together: what they agree on, and how they end together.

torchrun starts them (docs/several-machines.md) and says so in the environment. Messages between
them go over gloo on the CPU; gradients over NCCL where the network is on GPUs. A process that
trains alone needs none of it: every function here then does nothing, and costs nothing.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from wordtree.errors import UserError

T = TypeVar("T")
CONFIG, TOLD = "wordtree/config", "wordtree/told"
LEFT, GONE = "wordtree/left", "wordtree/gone"
LAUNCHED = ("RANK", "MASTER_ADDR", "MASTER_PORT")
FAREWELL = 5.0  # seconds that a process waits for the others to come to their end too


class ToldElsewhere(Exception):
    """Another rank has a mistake, and tells it: this one ends without a word (exit code 2)."""


class RankLost(UserError):
    """Another rank died or hangs."""


class Interrupted(KeyboardInterrupt):
    """A signal after the last step: what is under way then (an evaluation, pictures) is given up.

    reason: the signal's name.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Ranks:
    """One of `world` processes. Rank 0 checks, names, writes and tells; all of them compute.

    rank, world: over all hosts. local_rank, local_world: within this host. store: what the
    processes share before they are connected; None for a process that trains alone. asked: names
    of the signals that came to this process after the last checkpoint: see `StopOnSignal`.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    store: Any = None
    asked: list[str] = field(default_factory=list, compare=False)

    @property
    def first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.world == 1

    def first_decides(self, make: Callable[[], T]) -> T:
        """Plain data (JSON's) that rank 0 makes, before `connect`; all ranks end where it fails."""
        if self.alone:
            return make()
        if not self.first:
            text = self.store.get(CONFIG)
            if not text:
                raise ToldElsewhere
            return cast(T, json.loads(text))
        try:
            made = make()
        except BaseException:
            self.store.set(CONFIG, "")
            raise
        self.store.set(CONFIG, json.dumps(made))
        return made

    def connect(self, seconds: float) -> None:
        """Joins the others. A rank that waits longer than `seconds` for one of them gives up."""
        if self.alone:
            return
        both = torch.cuda.is_available() and dist.is_nccl_available()
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if both else "gloo",
            store=self.store,
            rank=self.rank,
            world_size=self.world,
            timeout=timedelta(seconds=seconds),
        )

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """The body runs on every rank, and a UserError on one of them ends it on all.

        The lowest rank that has one raises it, all others ToldElsewhere. Do not nest.
        """
        if self.alone:
            yield
            return
        mistake: UserError | None = None
        try:
            yield
        except UserError as error:
            mistake = error
        mistakes = self.gather_all(None if mistake is None else str(mistake))
        if all(one is None for one in mistakes):
            return
        lowest = next(rank for rank, one in enumerate(mistakes) if one is not None)
        if mistake is None or lowest != self.rank:
            raise ToldElsewhere
        if mistakes.count(str(mistake)) == self.world or self.first:
            raise mistake
        host = socket.gethostname()
        raise UserError(f"{str(mistake).rstrip('.')} (so says rank {self.rank}, on {host})")

    def gather(self, one: T) -> list[T]:
        """What every rank has, in their order, on rank 0; nothing on the others."""
        if self.alone:
            return [one]
        found: list[Any] | None = [None] * self.world if self.first else None
        dist.gather_object(one, found, dst=0)
        return found or []

    def gather_all(self, one: T) -> list[T]:
        """What every rank has, in their order, on every rank."""
        if self.alone:
            return [one]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, one)
        return found

    def from_first(self, one: T) -> T:
        """What rank 0 has."""
        if self.alone:
            return one
        box: list[Any] = [one if self.first else None]
        dist.broadcast_object_list(box, src=0)
        return cast(T, box[0])

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks of tensors of one shape."""
        if self.alone:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers."""
        if self.alone:
            return number
        largest = torch.tensor(number)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return int(largest)

    def stop_reason(self, asked: Sequence[str] = ()) -> str | None:
        """The signal that came to any of the ranks, this one's `asked` and those given; or None."""
        numbers = [signal.Signals[name].value for name in (*self.asked, *asked)]
        number = self.largest(max(numbers, default=0))
        return signal.Signals(number).name if number else None

    def wrapped(self, module: nn.Module, *, unused: bool = False) -> nn.Module:
        """The module with gradients that are averaged over the ranks in its backward pass.

        unused: some parameters take part in no loss; looking for them costs a walk of the graph.
        """
        if self.alone:
            return module
        # What batch norm counts is shared after the step instead, by the trainer.
        known = inspect.signature(DistributedDataParallel).parameters
        named = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {named: False, "find_unused_parameters": unused}
        return DistributedDataParallel(module, **options)

    def tells(self) -> bool:
        """Whether it is for this rank to say how the run failed: true for the first that asks."""
        if self.alone:
            return True
        try:
            return bool(self.store.add(TOLD, 1) == 1)
        except RuntimeError:  # whoever kept the store is gone
            return True


ALONE = Ranks()


def together(work: Callable[[Ranks], int]) -> int:
    """Runs `work(ranks)` in a process that torchrun may have started; returns its exit code.

    Whatever ends the run is told by one rank alone: the others return 2 (or 130) in silence. A rank
    that loses another one raises RankLost, in at most the time that `connect` was given.
    """
    ranks = started(os.environ)
    if ranks.alone:
        return work(ranks)
    waits = True
    try:
        return work(ranks)
    except ToldElsewhere:
        return 2
    except (UserError, KeyboardInterrupt) as error:
        if ranks.tells():
            raise
        return 130 if isinstance(error, KeyboardInterrupt) else 2
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        waits = False
        if not ranks.tells():
            return 2
        raise RankLost(
            f"rank {ranks.rank} waited in vain for another of the {ranks.world} processes, which "
            f"died or hangs ({_first_line(error)}); start them again with resume=RUN from its "
            "last checkpoint, where there is one."
        ) from error
    finally:
        _leave(ranks, waits=waits)


def started(environment: Mapping[str, str]) -> Ranks:
    """This process as torchrun's environment describes it, its store connected."""
    if environment.get("WORLD_SIZE", "1") == "1":
        return ALONE
    if missing := [name for name in LAUNCHED if name not in environment]:
        raise UserError(
            f"WORLD_SIZE={environment['WORLD_SIZE']} is set without {' and '.join(missing)}; start "
            "the processes with torchrun, or set it to 1 for a process that trains alone."
        )
    store, rank, world = next(dist.rendezvous("env://"))
    return Ranks(
        rank=rank,
        world=world,
        local_rank=int(environment.get("LOCAL_RANK", rank)),
        local_world=int(environment.get("LOCAL_WORLD_SIZE", world)),
        store=store,
    )


def _leave(ranks: Ranks, *, waits: bool) -> None:
    """Ends what connects this process. waits: until all others end as well, for some seconds.

    torchrun ends whoever is left when a first process failed, and would then report that process
    as killed, not with the exit code of its own. Without torchrun, rank 0 keeps the store, and
    torch complains in every process that still asks when it is gone.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if dist.is_initialized():
        dist.destroy_process_group()
    with suppress(RuntimeError):
        ranks.store.add(LEFT, 1)
        if not waits:
            return
        end = time.monotonic() + FAREWELL
        _wait_for(ranks.store, LEFT, ranks.world, end)
        if ranks.first:
            _wait_for(ranks.store, GONE, ranks.world - 1, end)
        else:
            ranks.store.add(GONE, 1)


def _wait_for(store: Any, key: str, count: int, end: float) -> None:
    while store.add(key, 0) < count and time.monotonic() < end:
        time.sleep(0.02)


def _is_loss(error: RuntimeError) -> bool:
    """Whether an error means that another process did not answer. gloo's are plain RuntimeErrors
    that name their place in its source."""
    return isinstance(error, dist.DistError) or "gloo/" in str(error)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    line = text[0] if text else type(error).__name__
    return line.rpartition("] ")[2].partition(". ")[0].rstrip(".")[:120]
