"""The layout of RUN/weights: which folders and links stand there, and which one is meant."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from detector.weights.manifest import find_damage
from wordtree.errors import UserError

LINKS = ("last", "best")
TEMPORARY = ".tmp-"

logger = logging.getLogger(__name__)


def link_targets(weights_dir: Path) -> dict[str, str]:
    """Link -> name of the folder that it points at, for the links that are there."""
    links = [weights_dir / name for name in LINKS]
    return {link.name: str(link.readlink()) for link in links if link.is_symlink()}


def step_of(name: str) -> int | None:
    """The N of `step-N`, None for another name."""
    match = re.fullmatch(r"step-(\d+)", name)
    return int(match[1]) if match else None


def steps_in(weights_dir: Path) -> list[int]:
    """The steps of all checkpoints there, rising."""
    return sorted(s for p in weights_dir.glob("step-*") if (s := step_of(p.name)) is not None)


def find_checkpoint(run: str | Path, prefer: Sequence[str] = ("best", "last")) -> Path:
    """The checkpoint folder of RUN, or of RUN/weights/X; not yet verified.

    prefer: links of a run folder in the order in which they are tried; after them comes the
    newest step. A run without the first one (nothing was evaluated) is logged as a warning.
    """
    path = Path(run)
    if not path.exists():
        raise UserError(f"there is no run at {path}; give a run folder or RUN/weights/last.")
    weights_dir = path / "weights"
    if not weights_dir.is_dir() and path.resolve().parent.name == "weights":
        return path.resolve()
    for name in prefer:
        if (weights_dir / name).is_dir():
            found = (weights_dir / name).resolve()
            if name != prefer[0]:
                logger.warning(
                    "%s has no %s weights: those of %s are taken", path, prefer[0], found.name
                )
            return found
    steps = steps_in(weights_dir)
    if not steps:
        raise UserError(
            f"{path} holds no checkpoint (looked for {weights_dir}/step-*); give a run folder "
            f"whose training wrote one."
        )
    return (weights_dir / f"step-{steps[-1]}").resolve()


def verify(folder: str | Path) -> None:
    """Compares every file with the manifest, sizes first; UserError names the damaged file.

    Its message offers the newest other checkpoint beside that is whole, where there is one.
    """
    folder = Path(folder)
    damage = find_damage(folder)
    if damage is None:
        return
    name, what = damage
    others = [folder.parent / f"step-{s}" for s in reversed(steps_in(folder.parent))]
    whole = (o for o in others if o.name != folder.name and find_damage(o) is None)
    other = next(whole, None)
    remedy = f"{other} is whole: use it" if other else "no other checkpoint here is whole"
    raise UserError(f"{folder / name} is damaged ({what}); {remedy}.")
