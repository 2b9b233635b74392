"""Which photos stand in input number `position`: a pure function of (seed, position).

The stream of inputs is endless and has no state but the position, so any worker may ask for any
input, and a run resumes exactly. Quota sampling works in *decks* of consecutive positions (one
deck an optimiser step). How often each grid, kind and source has come after k whole decks is a
closed form of k (`Quotas.totals`), so quotas hold in every deck, shares hold in the long run, and
a photo's number in its source's order is known without walking through the decks before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from data.order import mixed_hash, parts, shuffled
from data.quota import POOL, Grid, Quotas, Share
from data.sample import Kind
from wordtree.errors import UserError

if TYPE_CHECKING:
    from data.sources import Source

__all__ = ["Expected", "Grid", "Mixture", "Plan", "Share", "Tile"]

Sampling = Literal["quota", "replacement"]


@dataclass(frozen=True)
class Tile:
    """One drawn photo: index of its source in the mixture, of the photo in it, its own seed."""

    source: int
    photo: int
    seed: int


@dataclass(frozen=True)
class Plan:
    """What stands in one input: grid is (rows, columns), tiles go row by row; seed is the
    input's own, for the cuts between its tiles."""

    position: int
    grid: tuple[int, int]
    tiles: tuple[Tile, ...]
    seed: int


@dataclass(frozen=True)
class Expected:
    """What a source is drawn for in the long run.

    size: photos it has; share: its part of all photos drawn; per_input: its photos an input.
    """

    name: str
    kind: Kind
    size: int
    share: float
    per_input: float


class Mixture:
    """The endless stream of plans.

    sources: what photos come from; weights share a kind out among its sources.
    grids: layouts and their shares of the inputs.
    seed: of the run, 0 or more.
    ratio: label-only photos for each boxed or background photo, counted over *all photos of the
        stream* (a 2 x 2 mosaic is four): grids that hold one kind alone are made up for in those
        that may hold both. Not used where the sources are all of one side; infinite: label-only
        alone.
    sampling: `quota` deals each deck its share of every grid, kind and source, and goes through
        each source in shuffled epochs; `replacement` is the paper's: each tile draws its kind,
        source and photo anew.
    deck: inputs over which quotas hold, usually `batch_size`.
    """

    def __init__(
        self,
        sources: Sequence[Share],
        *,
        grids: Sequence[Grid] = (Grid(),),
        seed: int = 0,
        ratio: float = 4.0,
        sampling: Sampling = "quota",
        deck: int = 16,
    ) -> None:
        if sampling not in ("quota", "replacement"):
            raise UserError(f"sampling={sampling} is not known; use quota or replacement")
        if deck < 1 or not ratio >= 0 or seed < 0:
            raise UserError(
                f"deck={deck} needs to be 1 or more, ratio={ratio} and seed={seed} 0 or more"
            )
        self.sources: tuple[Source, ...] = tuple(share.source for share in sources)
        self.seed, self.sampling, self.deck = seed, sampling, deck
        self._quotas = Quotas(sources, grids, ratio)
        self._is_label = np.array([source.kind == "label_only" for source in self.sources])
        self._cells = np.array([grid.cells for grid in grids])
        self._fillers = np.array(self._quotas.fillers)
        self._pot_of = np.zeros(len(grids), np.int64)
        for number, pot in enumerate(self._quotas.pots):
            self._pot_of[list(pot.grids)] = number
        self._dealt: tuple[int, list[Plan]] | None = None

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of the layouts that are drawn."""
        quotas = zip(self._quotas.grids, self._quotas.grid_weights, strict=True)
        return tuple((grid.rows, grid.columns) for grid, weight in quotas if weight)

    def plan(self, position: int) -> Plan:
        """What stands in input number `position` (0, 1, ...)."""
        if self.sampling == "replacement":
            return self._draw_anew(position)
        number, place = divmod(position, self.deck)
        if self._dealt is None or self._dealt[0] != number:
            self._dealt = number, self._deal(number)
        return self._dealt[1][place]

    def expected(self) -> tuple[Expected, ...]:
        """The long-run share of each source, in their order."""
        quotas, photos = self._quotas, np.zeros(len(self.sources))
        inputs = parts(quotas.grid_weights)
        for pot in quotas.pots:
            grids = list(pot.grids)
            tiles = inputs[grids] @ self._cells[grids]
            label, boxed = tiles * parts(pot.label)
            photos += label * parts(quotas.label_weights)
            if pot.filler == POOL:
                photos += boxed * parts(quotas.boxed_weights)
            else:
                photos[pot.filler] += boxed
        return tuple(
            Expected(source.name, source.kind, len(source), count / sum(photos), count)
            for source, count in zip(self.sources, photos.tolist(), strict=True)
        )

    def _deal(self, number: int) -> list[Plan]:
        """All plans of deck `number`."""
        quotas = self._quotas
        before = quotas.totals(number * self.deck)
        after = quotas.totals((number + 1) * self.deck)
        rng = np.random.default_rng((self.seed, number))

        def dealt(old: list[int], new: list[int]) -> NDArray[np.int64]:
            cards = np.repeat(np.arange(len(new)), np.subtract(new, old))
            rng.shuffle(cards)
            return cards

        grid = dealt(before.grids, after.grids)
        tile_grid = np.repeat(grid, self._cells[grid])
        label = np.zeros(len(tile_grid), bool)
        for pot_number, pot in enumerate(quotas.pots):
            slots = np.flatnonzero(self._pot_of[tile_grid] == pot_number)
            count = after.labels[pot_number] - before.labels[pot_number]
            label[slots] = np.repeat(rng.permutation(len(slots) // pot.unit) < count, pot.unit)

        source = np.where(label, POOL, self._fillers[tile_grid])
        from_pool = source == POOL
        cards = dealt(before.pooled, after.pooled)
        card_label = self._is_label[cards]
        source[from_pool & label] = cards[card_label]
        source[from_pool & ~label] = cards[~card_label]

        photo = np.zeros(len(source), np.int64)
        for s in np.unique(source).tolist():
            slots = np.flatnonzero(source == s)
            draws = before.photos[s] + np.arange(len(slots))
            photo[slots] = shuffled(draws, len(self.sources[s]), key=(self.seed, s))
        return self._plans(number * self.deck, grid, source, photo)

    def _draw_anew(self, position: int) -> Plan:
        """The paper's sampling: nothing but the position's own generator decides."""
        rng = np.random.default_rng((self.seed, position))
        quotas = self._quotas

        def chosen(weights: Sequence[int], count: int) -> NDArray[np.int64]:
            edges = np.cumsum(parts(weights))
            # Divided by the last, so that no rounding leaves a gap below 1.
            return np.searchsorted(edges / edges[-1], rng.random(count), side="right")

        grid = chosen(quotas.grid_weights, 1)
        pot, cells = quotas.pots[self._pot_of[grid[0]]], int(self._cells[grid[0]])
        label = np.repeat(chosen(pot.label, cells // pot.unit) == 0, pot.unit)
        source = np.full(cells, pot.filler)
        if label.any():
            source[label] = chosen(quotas.label_weights, int(label.sum()))
        if pot.filler == POOL and not label.all():
            source[~label] = chosen(quotas.boxed_weights, int((~label).sum()))
        photo = rng.integers(0, [len(self.sources[s]) for s in source])
        return self._plans(position, grid, source, photo)[0]

    def _plans(
        self,
        start: int,
        grid: NDArray[np.int64],
        source: NDArray[np.int64],
        photo: NDArray[np.int64],
    ) -> list[Plan]:
        """Flat arrays of tiles as the plans of positions `start`, `start + 1`, ..."""
        cells = self._cells[grid]
        ends = np.cumsum(cells)
        places = np.arange(len(source)) - np.repeat(ends - cells, cells)
        positions = start + np.arange(len(grid))
        # Seeds of 32 bits are taken by every generator. Number 0 is the input's own.
        seeds = mixed_hash(self.seed, np.repeat(positions, cells), places + 1) >> np.uint64(32)
        own = mixed_hash(self.seed, positions, 0) >> np.uint64(32)
        rows = zip(source.tolist(), photo.tolist(), seeds.tolist(), strict=True)
        tiles = [Tile(*row) for row in rows]
        shapes = [(self._quotas.grids[g].rows, self._quotas.grids[g].columns) for g in grid]
        columns = (positions.tolist(), shapes, ends.tolist(), cells.tolist(), own.tolist())
        return [
            Plan(position, shape, tuple(tiles[end - count : end]), seed)
            for position, shape, end, count, seed in zip(*columns, strict=True)
        ]
