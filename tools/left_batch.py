"""The batch that a run leaves when its loss is not finite: written, read back, and looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path

import torch

from data.sample import Batch
from detector.weights.reading import first_line
from wordtree import UserError, WordTree


def leave_batch(batch: Batch, folder: Path, *, reason: str) -> str:
    """Writes RUN/non_finite_batch.pt; a sentence that says where it is, or why it is not there."""
    left = folder / "non_finite_batch.pt"
    try:
        torch.save({**vars(batch), "reason": reason}, left)
    except (OSError, RuntimeError) as error:  # torch's own writer knows no OSError
        with suppress(OSError):
            left.unlink(missing_ok=True)
        return f"The batch could not be kept in {left} ({first_line(error)})."
    return f"The batch is in {left}."


def read_left_batch(path: Path) -> tuple[Batch, str]:
    """The batch in RUN/non_finite_batch.pt, on the CPU, and why the run ended ("" where the file
    does not say). Nothing in the file is run as code."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; give the non_finite_batch.pt of a run")
    try:
        left = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a file of any kind makes torch raise nearly anything
        why = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(f"{path} cannot be read ({why}); give the file that a run left") from error
    names = {field.name for field in fields(Batch)}
    needed = {
        field.name
        for field in fields(Batch)
        if field.default is MISSING and field.default_factory is MISSING
    }
    if not isinstance(left, dict) or not needed <= left.keys() <= {*names, "reason"}:
        raise UserError(f"{path} holds no batch; give the non_finite_batch.pt of a run")
    reason = str(left.pop("reason", ""))
    return Batch(**left), reason


def odd_truths(batch: Batch, tree: WordTree) -> Iterator[str]:
    """A line for each truth whose box is not finite, has no area, lies outside its image, or whose
    node the tree does not have."""
    height, width = batch.images.shape[-2:]
    for truth, box in enumerate(batch.truth_box.tolist()):
        left, top, right, bottom = box
        photo, node = int(batch.truth_photo[truth]), int(batch.truth_node[truth])
        problems = []
        if not bool(torch.isfinite(batch.truth_box[truth]).all()):
            problems.append("is not finite")
        elif right <= left or bottom <= top:
            problems.append("has no area")
        elif right <= 0 or bottom <= 0 or left >= width or top >= height:
            problems.append(f"lies outside of the {width} x {height} input")
        if node >= len(tree):
            problems.append(f"has node {node} of a tree of {len(tree)}")
        if problems:
            corners = ", ".join(f"{value:g}" for value in box)
            yield f"box ({corners}) of {batch.photo_path[photo]} {' and '.join(problems)}"
