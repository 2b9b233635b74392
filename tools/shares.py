"""What each process of a run gets: its part of a step, its device, its threads and workers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from detector.training.distributed import Ranks
from wordtree import UserError


def forward_size(config: Mapping[str, Any], world: int) -> int:
    """Inputs of one forward pass: batch_size / (ranks x accumulate). UserError if not whole."""
    parts = world * config["accumulate"]
    if config["batch_size"] % parts:
        raise UserError(
            f"batch_size={config['batch_size']} cannot be cut into {parts} equal parts, one for "
            f"each of {world} processes and accumulate={config['accumulate']}; give a multiple of "
            f"{parts}."
        )
    return int(config["batch_size"] // parts)


def device_of(device: torch.device, ranks: Ranks) -> torch.device:
    """The device of this process where several share a host: each has a GPU of its own."""
    if ranks.alone or device.type != "cuda":
        return device
    if device.index is not None:
        raise UserError(
            f"device={device} would be shared by {ranks.local_world} processes of one host; give "
            "device=cuda, and each takes one of its own."
        )
    if ranks.local_world > torch.cuda.device_count():
        raise UserError(
            f"{ranks.local_world} processes were started on a host with "
            f"{torch.cuda.device_count()} GPUs; start one a GPU (torchrun --nproc_per_node), or "
            "give device=cpu."
        )
    torch.cuda.set_device(ranks.local_rank)
    return torch.device("cuda", ranks.local_rank)


def threads_of(threads: int, ranks: Ranks, *, before: int | None = None) -> int:
    """torch's threads for this process; 0: torch's own choice.

    threads: as the config has it. One process of several that is told 0 takes its part of the
    host's cores: torchrun says OMP_NUM_THREADS=1, however many cores there are.
    before: with how many processes a run that goes on was trained. Where that is another number
    now, all of them together keep the threads they had, as far as there are cores.
    """
    if before not in (None, ranks.world):
        return max(1, min(threads * (before or 1) // ranks.world, _cores(ranks)))
    return _cores(ranks) if threads == 0 and not ranks.alone else threads


def workers_of(workers: int | str, ranks: Ranks) -> int:
    """Loader processes of this process; `auto`: its cores less one for training, 8 at most."""
    return max(0, min(8, _cores(ranks) - 1)) if workers == "auto" else int(workers)


def check_same(what: Mapping[str, Any], ranks: Ranks) -> None:
    """Refuses (UserError, on all ranks) what is not the same on every rank: files that differ from
    host to host would train a network on two truths."""
    everywhere = ranks.gather_all(dict(what))
    with ranks.agreeing():
        for rank, other in enumerate(everywhere):
            for name, value in other.items():
                if value != everywhere[0][name]:
                    raise UserError(
                        f"{name} is {value} on rank {rank}, but {everywhere[0][name]} on rank 0; "
                        "give all hosts the same files."
                    )


def _cores(ranks: Ranks) -> int:
    return max(1, (os.cpu_count() or 1) // ranks.local_world)
