"""Console scripts, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

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
