"""Reads a checkpoint folder: checked first, and nothing in it is ever executed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import safetensors.torch
import torch
from torch import Tensor

from detector.weights.layout import verify
from wordtree.errors import UserError


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint folder holds, on the CPU.

    model, ema: name -> tensor, as `state_dict()` names them. optimizer: the nest that was written
    (None where it was not asked for). state: `state.json`, see contract.md, and `step`.
    """

    folder: Path
    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: Any
    state: dict[str, Any]

    @property
    def run(self) -> Path:
        """The run folder that the checkpoint stands in."""
        return self.folder.parent.parent


def read_checkpoint(folder: str | Path, *, with_optimizer: bool = True) -> Checkpoint:
    """Verifies and reads a checkpoint folder onto the CPU; nothing in it is executed.

    with_optimizer: False leaves optimizer.pt (checked all the same) unread.
    Raises UserError for damage, and for files that are not what their names say.
    """
    folder = Path(folder)
    verify(folder)
    return Checkpoint(
        folder=folder,
        model=_read(folder / "model.safetensors", safetensors.torch.load_file),
        ema=_read(folder / "ema.safetensors", safetensors.torch.load_file),
        optimizer=_read(folder / "optimizer.pt", _load_nest) if with_optimizer else None,
        state=_read(folder / "state.json", _load_state),
    )


def _read(path: Path, load: Callable[[Path], Any]) -> Any:
    try:
        return load(path)
    # Readers of crafted bytes raise nearly any type, and all of them mean the same to the user.
    except Exception as error:
        raise UserError(
            f"{path} is not a file that this project wrote ({type(error).__name__}: "
            f"{first_line(error)}); use a checkpoint from a source you trust."
        ) from error


def _load_nest(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _load_state(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    state = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    if not isinstance(state, dict):
        raise ValueError("the outermost value is not an object")
    return state


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
