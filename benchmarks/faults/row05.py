"""A checkpoint of another tree, class count, classifier or network.

A run's own files are exchanged or changed before it is resumed, and another run's weights given as
`init=`: refused with both hashes or the keys that differ.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from benchmarks.faults.tiny_run import TINY, Job


def run(*, seconds: int) -> str:
    """Every exchange once; `seconds` does not matter."""
    del seconds
    with tempfile.TemporaryDirectory() as place:
        base, log = Path(place) / "run", Path(place) / "log"
        whole = Job([*TINY, "workers=0", "steps=2", f"run_dir={base}"], log)
        assert whole.end(120) == 0, whole.said()
        for number, (change, words) in enumerate(CHANGES):
            folder = Path(place) / f"run{number}"
            shutil.copytree(base, folder, symlinks=True)
            change(folder)
            refused([f"resume={folder}", "steps=4", "extend=true"], words, log)
        for number, (given, words) in enumerate(INIT):
            folder = Path(place) / f"new{number}"
            arguments = [*TINY, "steps=2", f"init={base}", f"run_dir={folder}"]
            refused([*arguments, *given], words, log)
            assert not folder.exists(), "a run folder was begun"
    return f"{len(CHANGES)} exchanged runs refused by resume=, {len(INIT)} by init="


def refused(arguments: list[str], words: list[str], log: Path) -> None:
    """Exit code 2 and one sentence that holds all the words."""
    job = Job(arguments, log)
    code, said = job.end(120), job.said()
    assert code == 2, f"exit code {code}: {said[-1500:]}"
    assert "Traceback" not in said, said
    error = next(line for line in said.splitlines() if line.startswith("error: "))
    for word in words:
        assert word in error, f"'{word}' is not in: {error}"


def in_config(key: str, value: object) -> Callable[[Path], None]:
    """Sets a key of the run's config.yaml."""

    def change(folder: Path) -> None:
        config = yaml.safe_load((folder / "config.yaml").read_text())
        inner = config
        *above, last = key.split(".")
        for name in above:
            inner = inner[name]
        inner[last] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    return change


CHANGES: list[tuple[Callable[[Path], None], list[str]]] = [
    (in_config("tree.rule", "first"), ["hash", "this run's of"]),
    (in_config("tree.unary", "keep"), ["hash", "nodes"]),
    (in_config("network.neck_width", 24), ["network.neck_width is 16 there, 24 here"]),
    (in_config("network.anchors", [[36, 36], [10, 10]]), ["network.anchors"]),
    (in_config("network.backbone_options.widths", [8, 8, 16, 16, 24]), ["backbone_options"]),
    (in_config("classifier", "siblings"), ["classifier is 'flat' there, 'siblings' here"]),
]
INIT: list[tuple[list[str], list[str]]] = [
    (["tree.unary=keep"], ["hash", "nodes"]),
    (["network.neck_width=24"], ["network.neck_width is 16 there, 24 here"]),
    (["classifier=siblings"], ["classifier is 'flat' there, 'siblings' here"]),
]
