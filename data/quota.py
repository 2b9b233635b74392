"""What is asked of a mixture, and how often each part of it has come after n inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from data.order import apportion, whole
from wordtree.errors import UserError

if TYPE_CHECKING:
    from data.sources import Source

POOL = -1  # any source of the kind, by weight: where a Grid names none


@dataclass(frozen=True)
class Share:
    """A source and its weight among the sources of its kind (0: only where a Grid names it)."""

    source: Source
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not len(self.source) or not 0 <= self.weight < math.inf:
            raise UserError(
                f"source {self.source.name} has {len(self.source)} photos and weight "
                f"{self.weight}; it needs at least one photo and a weight of 0 or more"
            )


@dataclass(frozen=True)
class Grid:
    """A layout of an input: rows x columns photos; (1, 1) is a single photo.

    weight: share of the *inputs*, relative to the other grids.
    kinds: what may stand in it, of `boxed` and `label_only`; None: both. Photos of background
        sources stand where boxed ones may.
    source: name of the boxed or background source that fills its boxed tiles; None: all of them
        by weight.
    mixed: both kinds in one image (the default); False: each input holds one kind.
    """

    rows: int = 1
    columns: int = 1
    weight: float = 1.0
    kinds: Sequence[str] | None = None
    source: str | None = None
    mixed: bool = True

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or not 0 <= self.weight < math.inf:
            raise UserError(
                f"a grid of {self.rows} x {self.columns} photos with weight {self.weight} cannot "
                "be drawn; give at least 1 x 1 and a weight of 0 or more"
            )
        if self.kinds is not None and not set(self.kinds) <= {"boxed", "label_only"}:
            raise UserError(
                f"kinds={list(self.kinds)} of a grid is not known; give boxed, label_only or both "
                "(background photos stand where boxed ones may)"
            )

    @property
    def cells(self) -> int:
        """Photos in it."""
        return self.rows * self.columns


@dataclass(frozen=True)
class Pot:
    """Grids whose tiles are dealt label-only and boxed together.

    unit: tiles that are dealt as one (a whole input where kinds are not mixed).
    filler: index of the source of the boxed tiles, or POOL. label: weights of (label-only, boxed).
    """

    grids: tuple[int, ...]
    unit: int
    filler: int
    label: tuple[int, int]


@dataclass(frozen=True)
class Totals:
    """What a number of inputs holds: inputs a grid, label-only units a pot, photos a source that
    a pool gave, and all photos a source."""

    grids: list[int]
    labels: list[int]
    pooled: list[int]
    photos: list[int]


class Quotas:
    """Shares of grids, kinds and sources as whole weights, and the counts that follow from them.

    grid_weights, label_weights, boxed_weights: whole numbers a grid, and a source of either side
    (0 for those of the other). pots: every grid stands in one. For `ratio` see Mixture.
    """

    def __init__(self, shares: Sequence[Share], grids: Sequence[Grid], ratio: float) -> None:
        self.shares, self.grids = tuple(shares), tuple(grids)
        if not sum(grid.weight for grid in grids):
            raise UserError("no grid has a weight above 0; give at least one")
        self.grid_weights = whole([grid.weight for grid in grids])
        self._is_label = [share.source.kind == "label_only" for share in shares]
        sides = list(zip(whole([share.weight for share in shares]), self._is_label, strict=True))
        self.label_weights = [weight if label else 0 for weight, label in sides]
        self.boxed_weights = [0 if label else weight for weight, label in sides]
        self.fillers = [self._filler(grid) for grid in grids]
        self.pots = self._make_pots(ratio)

    def totals(self, inputs: int) -> Totals:
        """Counts among the first `inputs`; no count ever falls as `inputs` rises."""
        grids = apportion(inputs, self.grid_weights)
        labels, label_photos = [], 0
        boxed_photos = dict.fromkeys([POOL, *range(len(self.shares))], 0)
        for pot in self.pots:
            units = sum(grids[g] * self.grids[g].cells for g in pot.grids) // pot.unit
            labels.append(apportion(units, pot.label)[0])
            label_photos += labels[-1] * pot.unit
            boxed_photos[pot.filler] += (units - labels[-1]) * pot.unit
        of_labels = apportion(label_photos, self.label_weights)
        of_boxed = apportion(boxed_photos[POOL], self.boxed_weights)
        pooled = [a + b for a, b in zip(of_labels, of_boxed, strict=True)]
        photos = [count + boxed_photos[s] for s, count in enumerate(pooled)]
        return Totals(grids, labels, pooled, photos)

    def _filler(self, grid: Grid) -> int:
        if grid.source is None:
            return POOL
        names = {
            share.source.name: number
            for number, (share, label) in enumerate(zip(self.shares, self._is_label, strict=True))
            if not label
        }
        if grid.source not in names:
            raise UserError(
                f"a grid names source {grid.source}, which is none of the boxed or background "
                f"sources ({', '.join(names) or 'there are none'})"
            )
        return names[grid.source]

    def _make_pots(self, ratio: float) -> tuple[Pot, ...]:
        members: dict[tuple[str, int, int, int], list[int]] = {}
        for number, (grid, filler) in enumerate(zip(self.grids, self.fillers, strict=True)):
            able = {
                "boxed": filler != POOL or any(self.boxed_weights),
                "label_only": any(self.label_weights),
            }
            asked = set(grid.kinds or able)
            allowed = [kind for kind in sorted(asked) if able[kind]]
            if not allowed:
                raise UserError(
                    f"the {grid.rows} x {grid.columns} grid holds {' or '.join(sorted(asked))} "
                    "photos, and no such source has a weight; add a source or drop the grid"
                )
            rule = allowed[0] if len(allowed) == 1 else "free"
            # Inputs of one kind are dealt grid by grid, since their units differ in size.
            alone = rule == "free" and not grid.mixed
            key = (rule, grid.cells if alone else 1, filler, number if alone else -1)
            members.setdefault(key, []).append(number)
        label = {"boxed": (0, 1), "label_only": (1, 0)}
        label["free"] = self._free_label_weights(members, ratio)
        return tuple(
            Pot(tuple(grids), unit, filler, label[rule])
            for (rule, unit, filler, _), grids in members.items()
        )

    def _free_label_weights(
        self, members: dict[tuple[str, int, int, int], list[int]], ratio: float
    ) -> tuple[int, int]:
        """Weights of (label-only, boxed) in tiles that may be either, such that `ratio` holds."""
        tiles = dict.fromkeys(("boxed", "label_only", "free"), 0)
        for (rule, *_), grids in members.items():
            tiles[rule] += sum(self.grid_weights[g] * self.grids[g].cells for g in grids)
        boxed, label, free = tiles["boxed"], tiles["label_only"], tiles["free"]
        has_boxed = any(self.boxed_weights) or any(filler != POOL for filler in self.fillers)
        if not (has_boxed and any(self.label_weights)):
            return 0, 1
        low = label / (boxed + free) if boxed + free else math.inf
        high = (label + free) / boxed if boxed else math.inf
        # A ratio typed with six digits may name a bound that is a fraction.
        if not low * (1 - 1e-5) <= ratio <= high * (1 + 1e-5):
            raise UserError(
                f"ratio={ratio:g} label-only photos for each boxed one cannot be held: with these "
                f"grids it lies between {low:g} and {high:g}; give such a ratio or other grids"
            )
        if not free:
            return 0, 1
        part = Fraction(1) if math.isinf(ratio) else Fraction(ratio) / (1 + Fraction(ratio))
        share = (part * (boxed + label + free) - label) / free
        share = min(max(share, Fraction(0)), Fraction(1))
        label_weight, boxed_weight = whole([share, 1 - share])
        return label_weight, boxed_weight
