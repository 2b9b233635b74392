"""What a person sees of a run."""

from __future__ import annotations

import io

from rich.console import Console

from detector.training.progress import Progress, clock_text, summary_table


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plain(width: int = 200) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=False, width=width), file


def run(progress: Progress, clock: Clock, steps: range, seconds: float) -> None:
    with progress:
        for step in steps:
            clock.now += seconds
            progress.update(step, {"total": 1 / step, "box": 0.25}, images=16)


def test_elsewhere_than_on_a_terminal_a_line_comes_now_and_then_and_at_the_end() -> None:
    (console, file), clock = plain(), Clock()
    run(Progress(100, console=console, every=10, clock=clock), clock, range(1, 101), 1.0)
    lines = file.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [f"{s}/100" for s in (*range(1, 100, 10), 100)]
    assert lines[1] == "step 11/100  total 0.09091  box 0.25  16.0 images/s  ETA 1:29"
    assert lines[-1].endswith("ETA 0:00")


def test_a_resumed_run_counts_its_own_speed_and_the_whole_runs_steps() -> None:
    (console, file), clock = plain(), Clock()
    run(Progress(60, start=50, console=console, every=0, clock=clock), clock, range(51, 53), 2.0)
    assert file.getvalue().splitlines()[1] == (
        "step 52/60  total 0.01923  box 0.25  8.0 images/s  ETA 0:16"
    )


def test_the_speed_is_that_of_the_last_steps() -> None:
    (console, file), clock = plain(), Clock()
    progress = Progress(200, console=console, every=0, clock=clock)
    with progress:
        for step in range(1, 121):
            clock.now += 10.0 if step <= 60 else 0.5
            progress.update(step, {}, images=4)
    assert "8.0 images/s  ETA 0:40" in file.getvalue().splitlines()[-1]


def test_lines_are_not_wrapped_and_brackets_are_no_markup() -> None:
    console, file = plain(width=20)
    Progress(1, console=console).message("a [bold]long[/bold] line, much longer than the screen")
    assert file.getvalue() == "a [bold]long[/bold] line, much longer than the screen\n"


def test_a_terminal_shows_one_live_line_and_messages_above_it() -> None:
    file, clock = io.StringIO(), Clock()
    console = Console(file=file, force_terminal=True, width=200)
    progress = Progress(3, console=console, clock=clock)
    with progress:
        progress.update(1, {"total": 4.0}, images=8)
        progress.message("checkpoint written")
        clock.now += 1
        progress.update(3, {"total": 2.0}, images=16)
    shown = file.getvalue()
    assert "checkpoint written" in shown
    assert "step 3/3  total 2  " in shown
    assert "\x1b[?25h" in shown, "the cursor is given back"


def test_times_are_written_as_clocks() -> None:
    assert [clock_text(s) for s in (0, 59.6, 61, 3600, 90_061)] == [
        "0:00",
        "1:00",
        "1:01",
        "1:00:00",
        "25:01:01",
    ]


def test_the_summary_shows_each_row_as_text() -> None:
    console, file = plain(width=60)
    rows = [("AP50", 0.83456), ("steps", 12000), ("label-only", None), ("[red]run", "runs/[1]")]
    console.print(summary_table(rows, title="emoji"))
    shown = file.getvalue()
    for part in ("emoji", "0.8346", "12,000", "–", "[red]run", "runs/[1]"):
        assert part in shown
