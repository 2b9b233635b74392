"""Writes a checkpoint folder whole or not at all.

It is written into a temporary folder beside, synced to the disk file by file, and renamed; a link
is replaced by renaming a new one over it. So whatever moment a process or a machine dies at,
`last` leads to a whole checkpoint.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor

from detector.weights.layout import TEMPORARY, link_targets, step_of, steps_in
from detector.weights.manifest import MANIFEST, find_damage, manifest_bytes
from wordtree.errors import UserError


def write_checkpoint(
    weights_dir: str | Path,
    step: int,
    *,
    model: Mapping[str, Tensor],
    ema: Mapping[str, Tensor],
    optimizer: Any,
    state: Mapping[str, Any],
) -> Path:
    """Writes `weights_dir/step-N` and points `last` at it; returns the folder.

    optimizer: any nest of dicts, lists, tuples, tensors, texts, numbers and None.
    state: JSON values, numbers finite; `step` is added. The same content gives the same bytes.
    Where step-N exists (a resumed run reaches it again) the new one takes its place. Raises
    UserError where the disk refuses (full, read-only); everything older is whole then.
    """
    weights_dir = Path(weights_dir)
    text = json.dumps({**state, "step": step}, indent=2, sort_keys=True, allow_nan=False)
    contents = {
        "model.safetensors": _tensor_bytes(model),
        "ema.safetensors": _tensor_bytes(ema),
        "optimizer.pt": _nest_bytes(optimizer),
        "state.json": (text + "\n").encode(),
    }
    contents[MANIFEST] = manifest_bytes(contents)
    folder = weights_dir / f"step-{step}"
    temporary = weights_dir / f"{TEMPORARY}{folder.name}"
    try:
        weights_dir.mkdir(parents=True, exist_ok=True)
        _remove_left_overs(weights_dir)
        temporary.mkdir()
        for name, data in contents.items():
            _write(temporary / name, data)
        _sync(temporary)
        _move_in(temporary, folder)
        point(weights_dir, "last", step)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        last = link_targets(weights_dir).get("last")
        older = f"the older {weights_dir / last} is whole" if last else "there is no older one"
        raise UserError(
            f"{folder} could not be written ({error.strerror or error}); {older}: free or mend "
            f"the disk and resume the run."
        ) from error
    return folder


def point(weights_dir: str | Path, name: Literal["last", "best"], step: int) -> None:
    """Makes the link `name` lead to the checkpoint of `step`, which must be there."""
    folder = Path(weights_dir) / f"step-{step}"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there, so {name} cannot point at it")
    _link(folder.parent, name, folder.name)


def prune(weights_dir: str | Path, keep: int = 2) -> None:
    """Removes checkpoints but the newest `keep` and those that `last` and `best` point at.

    Checkpoints later than `last` are left alone: a run that was resumed from an earlier step
    has not yet replaced them.
    """
    weights_dir = Path(weights_dir)
    _remove_left_overs(weights_dir)
    targets = link_targets(weights_dir)
    last = step_of(targets.get("last", ""))
    steps = [s for s in steps_in(weights_dir) if last is None or s <= last]
    for step in steps[: len(steps) - keep] if len(steps) > keep else []:
        if f"step-{step}" not in targets.values():
            _remove(weights_dir / f"step-{step}")


def _tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    # safetensors refuses tensors that share memory (tied weights) and other memory formats.
    own = {
        name: tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    return safetensors.torch.save(own)


def _nest_bytes(nest: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(_portable(nest, {}), buffer)
    return buffer.getvalue()


def _portable(nest: Any, texts: dict[str, str]) -> Any:
    """The nest with tensors on the CPU, dicts in the order of their keys and equal texts shared.

    A pickle writes an object's second mention as a reference, so that what is equal but not the
    same object (after a resume, say) would give other bytes.
    """
    if isinstance(nest, Tensor):
        tensor = nest.detach().to("cpu")
        whole = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
        return tensor if whole else tensor.clone()  # a view would be saved with all it looks at
    if isinstance(nest, dict):
        ordered = sorted(nest.items(), key=lambda item: (type(item[0]).__name__, item[0]))
        return {_portable(key, texts): _portable(value, texts) for key, value in ordered}
    if isinstance(nest, list | tuple):
        return type(nest)(_portable(one, texts) for one in nest)
    if isinstance(nest, str):
        return texts.setdefault(nest, nest)
    if nest is None or isinstance(nest, bool | int | float):
        return nest
    raise TypeError(
        f"a checkpoint holds dicts, lists, tuples, tensors, texts, numbers and None, not "
        f"{type(nest).__name__}: anything else could not be read back without running code"
    )


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move_in(temporary: Path, folder: Path) -> None:
    """Renames a whole new checkpoint to `folder`; links at an old one there stay valid."""
    weights_dir = folder.parent
    linked: list[str] = []
    if folder.exists():
        same = (folder / MANIFEST).is_file() and (
            (folder / MANIFEST).read_bytes() == (temporary / MANIFEST).read_bytes()
        )
        if same and find_damage(folder) is None:
            shutil.rmtree(temporary)
            return
        # No portable call swaps two folders, so links look at a copy while the old one goes.
        linked = [
            name for name, target in link_targets(weights_dir).items() if target == folder.name
        ]
        if linked:
            copy = weights_dir / f"{TEMPORARY}old-{folder.name}"
            shutil.copytree(folder, copy)
            for path in (*copy.iterdir(), copy):
                _sync(path)
            for name in linked:
                _link(weights_dir, name, copy.name)
        _remove(folder)
    temporary.rename(folder)
    _sync(weights_dir)
    for name in linked:
        _link(weights_dir, name, folder.name)
    _remove_left_overs(weights_dir)


def _link(weights_dir: Path, name: str, target: str) -> None:
    fresh = weights_dir / f"{TEMPORARY}{name}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(weights_dir / name)
    _sync(weights_dir)


def _remove(folder: Path) -> None:
    # Renamed first: a process that dies here must not leave half a checkpoint under a good name.
    doomed = folder.with_name(f"{TEMPORARY}removed-{folder.name}")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def _remove_left_overs(weights_dir: Path) -> None:
    targets = link_targets(weights_dir).values()
    for path in sorted(weights_dir.glob(f"{TEMPORARY}*")):
        if path.is_symlink():
            path.unlink()
        elif path.name not in targets:
            shutil.rmtree(path)
