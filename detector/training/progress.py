"""What a person sees of a run: one live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

WINDOW = 50  # steps over which the speed is taken


class Progress:
    """Shows step, losses by name, images a second and the time left; a context manager.

    steps: of the whole run; start: steps done before (a resumed run). every: seconds between
    plain lines where the console is not a terminal; the first and the last step always show.
    clock: seconds, monotonic.
    """

    def __init__(
        self,
        steps: int,
        *,
        start: int = 0,
        console: Console | None = None,
        every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.steps, self.start, self.every, self.clock = steps, start, every, clock
        self.console = console or Console(stderr=True)
        self._marks: deque[tuple[float, int, int]] = deque(maxlen=WINDOW + 1)
        self._images = 0
        self._shown_at: float | None = None
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        self._marks.append((self.clock(), self.start, 0))
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, step: int, losses: Mapping[str, float], images: int) -> None:
        """After `step` steps; images: network inputs since the last call."""
        now = self.clock()
        self._images += images
        self._marks.append((now, step, self._images))
        line = self._line(step, losses)
        if self._live is not None:
            self._live.update(Text(line, overflow="ellipsis", no_wrap=True))
            return
        due = self._shown_at is None or now - self._shown_at >= self.every
        if due or step == self.steps:
            self._shown_at = now
            self.message(line)

    def message(self, text: str) -> None:
        """A line that stays, above the live line; markup in it is text."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _line(self, step: int, losses: Mapping[str, float]) -> str:
        (then, first, before), (now, _, images) = self._marks[0], self._marks[-1]
        seconds = now - then
        speed, left = "-", "-"
        if seconds > 0 and step > first:
            speed = f"{(images - before) / seconds:.1f}"
            left = clock_text((self.steps - step) * seconds / (step - first))
        parts = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        return f"step {step}/{self.steps}  {parts}  {speed} images/s  ETA {left}"


def clock_text(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def summary_table(rows: Iterable[tuple[str, object]], title: str = "") -> Table:
    """A table of (what, value) rows; numbers with 4 significant digits, None as a dash."""
    table = Table(title=Text(title) if title else None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(_shown(value)))
    return table


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, float | int):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
