"""The learning rate as a function of the step alone, so that a resumed run meets the same one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from wordtree.errors import UserError

ScheduleName = Literal["cosine", "steps", "constant"]


def learning_rate(
    step: int,
    steps: int,
    *,
    rate: float,
    kind: ScheduleName = "cosine",
    warmup: float = 0,
    warmup_power: float = 1.0,
    final: float = 0.0,
    milestones: Sequence[float] = (),
    scales: Sequence[float] = (),
) -> float:
    """The rate of `step` (0 is the first) in a run of `steps`.

    warmup: so many steps rise as ((step + 1) / warmup) ** warmup_power; darknet's burn-in has
        power 4 (and begins with a step at rate 0, which ours leaves out).
    kind: `cosine` falls from `rate` after the warm-up to `final` x `rate`; `steps` multiplies by
        `scales[i]` from `milestones[i]` on; `constant` stays.
    warmup and milestones: below 1 a fraction of `steps`, else a number of steps.
    Raises UserError for an unknown kind and for milestones without a scale each.
    """
    warm = _in_steps(warmup, steps)
    if step < warm:
        return rate * ((step + 1) / warm) ** warmup_power
    if kind == "constant":
        return rate
    if kind == "cosine":
        done = (step - warm) / max(1, steps - warm)
        return rate * (final + (1 - final) * (1 + math.cos(math.pi * min(1.0, done))) / 2)
    if kind == "steps":
        if len(milestones) != len(scales):
            raise UserError(
                f"{len(milestones)} milestones {list(milestones)} have {len(scales)} scales "
                f"{list(scales)}; give each milestone one."
            )
        passed = [s for m, s in zip(milestones, scales, strict=True) if step >= _in_steps(m, steps)]
        return rate * math.prod(passed)
    raise UserError(f"the schedule {kind!r} is not known; choose cosine, steps or constant.")


def _in_steps(value: float, steps: int) -> int:
    return round(value * steps) if 0 < value < 1 else int(value)
