"""How far a long reading is: nothing for two seconds, then told once, by the first rank alone."""

from __future__ import annotations

import pytest

from data.sources.progress import told


def advance(seconds: float) -> None:
    """A reading of ten parts that takes so long."""
    now = 0.0

    def clock() -> float:
        return now

    with told("reading some.json", 10, clock=clock) as forward:
        for _ in range(10):
            now += seconds / 10
            forward(1)


@pytest.mark.parametrize(("seconds", "said"), [(1.0, ""), (60.0, "reading some.json ...\n")])
def test_what_takes_over_two_seconds_is_told_once(
    seconds: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    advance(seconds)
    assert capsys.readouterr().err == said


def test_a_terminal_sees_a_line_that_goes_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    advance(60.0)
    assert "reading some.json" in capsys.readouterr().err


def test_of_several_ranks_the_first_alone_speaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    advance(60.0)
    assert capsys.readouterr().err == ""
