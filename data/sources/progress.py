"""Says how far a long reading is, once it has taken two seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

DELAY = 2.0


@contextmanager
def told(
    what: str, total: int, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Gives `advance(count)`, to be called as the work of `total` goes on.

    After two seconds a live line stands on standard error until the end, or, where that is no
    terminal, one line that stays. Of several ranks the first alone speaks.
    """
    if os.environ.get("RANK", "0") != "0":
        yield lambda _: None
        return
    with ExitStack() as stack:
        began, done, live = clock(), 0, None

        def advance(count: int) -> None:
            nonlocal done, live
            done += count
            if live is None and clock() - began > DELAY:
                live = _start(stack, what, total)
            if live is not None:
                live(done)

        yield advance


def _start(stack: ExitStack, what: str, total: int) -> Callable[[int], None]:
    if not sys.stderr.isatty():
        print(f"{what} ...", file=sys.stderr, flush=True)
        return lambda _: None
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
    task = progress.add_task(escape(what), total=total)
    return lambda done: progress.update(task, completed=done)
