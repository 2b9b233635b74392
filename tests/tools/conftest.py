"""Console scripts, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., int]


@pytest.fixture
def make_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], int]], Command]:
    """From a script's name and `main` to a call with its words that gives the exit code."""

    def make(name: str, main: Callable[[], int]) -> Command:
        def call(*words: object) -> int:
            monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
            return main()

        return call

    return make


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Calls a command that must refuse its words; gives the one sentence that it said.

    Exit code 2, and nothing made in the folder that it is called from.
    """

    def call(command: Command, *words: object) -> str:
        monkeypatch.chdir(tmp_path)
        try:
            code = command(*words)
        except SystemExit as error:  # argparse's own
            code = error.code
        assert code == 2
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1
        assert not list(tmp_path.iterdir())
        return said

    return call
