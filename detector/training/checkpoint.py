"""All that an exact resume needs, out of a run and back into one.

Draws of the data are functions of the stream's position, so the random states here are those of
the process itself: dropout, and whatever else asks torch, numpy or Python for a number.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from detector.training.ema import WeightAverage
from detector.weights import load_tensors, prune, read_checkpoint, write_checkpoint
from wordtree.errors import UserError


def save_checkpoint(
    weights_dir: str | Path,
    step: int,
    *,
    seen: int,
    position: int,
    model: nn.Module,
    average: WeightAverage,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    keep: int = 2,
) -> Path:
    """Writes `weights_dir/step-N`, points `last` at it and removes what is not kept.

    seen: network inputs used so far; position: of the stream's next input. state: the rest of
    state.json (contract.md). Raises UserError where the disk refuses.
    """
    resume = {
        "optimizer": optimizer.state_dict(),
        "average_updates": average.updates,
        "random": random_states(),
    }
    folder = write_checkpoint(
        weights_dir,
        step,
        model=model.state_dict(),
        ema=average.state_dict(),
        optimizer=resume,
        state={**state, "seen": seen, "position": position},
    )
    prune(weights_dir, keep)
    return folder


def restore_checkpoint(
    folder: str | Path,
    *,
    model: nn.Module,
    average: WeightAverage,
    optimizer: torch.optim.Optimizer,
) -> dict[str, Any]:
    """Puts a checkpoint back, random states last; returns its state (`step, seen, position` ...).

    Call it when everything is built: building draws random numbers. Raises UserError for damage
    and for a checkpoint of another network or optimiser.
    """
    checkpoint = read_checkpoint(folder)
    load_tensors(model, checkpoint.model, checkpoint.folder / "model.safetensors")
    resume = checkpoint.optimizer
    ema_file = checkpoint.folder / "ema.safetensors"
    try:
        optimizer.load_state_dict(resume["optimizer"])
        average.load_state_dict(checkpoint.ema, resume["average_updates"], ema_file)
        set_random_states(resume["random"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{checkpoint.folder / 'optimizer.pt'} does not fit this run ({error}); resume with "
            f"the configuration that it was written with."
        ) from error
    return checkpoint.state


def random_states() -> dict[str, Any]:
    """The states of torch (CPU and GPUs), numpy and Python as plain numbers and tensors."""
    _, keys, place, has_gauss, gauss = cast(tuple[Any, ...], np.random.get_state())
    version, internal, next_gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [torch.from_numpy(keys.astype(np.int64)), place, has_gauss, gauss],
        "python": [version, torch.tensor(internal), next_gauss],
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Puts `random_states` back; those of GPUs only where there are as many GPUs."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    keys, place, has_gauss, gauss = states["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), place, has_gauss, gauss))
    version, internal, next_gauss = states["python"]
    random.setstate((version, tuple(internal.tolist()), next_gauss))
