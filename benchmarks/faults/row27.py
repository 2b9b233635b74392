"""Fuzzing: every reader under atheris gives its result or one of the project's own errors.

The readers of trees, maps and hierarchies, of COCO JSON, VOC XML, YOLO and CSV files and tars, and
of the files of a checkpoint. There is no reader of darknet's cfg files. The suite has a small copy
with hypothesis (tests/wordtree/test_formats.py and its neighbours).
"""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FUZZ = Path(__file__).with_name("fuzz_reader.py")


def readers() -> list[str]:
    """The keys of READERS, read from the source: importing it needs atheris."""
    for node in ast.parse(FUZZ.read_text("utf-8")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "READERS":
            assert isinstance(node.value, ast.Dict)
            return [str(ast.literal_eval(key)) for key in node.value.keys if key]
    raise AssertionError("fuzz_reader.py has no READERS")


def run(*, seconds: int) -> str:
    """The budget is shared out over the readers: 10 minutes each need 600 s a reader."""
    if importlib.util.find_spec("atheris") is None:
        return "skipped: atheris is not installed (pip install atheris)"
    names = readers()
    each = max(1, seconds // len(names))
    tries: dict[str, int] = {}
    failed = []
    for reader in names:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, str(FUZZ), reader, f"{folder}/corpus",
                 f"-max_total_time={each}", "-timeout=20", "-rss_limit_mb=2048",
                 f"-artifact_prefix={folder}/"],
                capture_output=True, text=True, env={**os.environ, "TMPDIR": folder},
            )  # fmt: skip
        tail = [line for line in done.stderr.splitlines() if line.strip()]
        counted = [line for line in tail if line.startswith("Done ")]
        if done.returncode or not counted:
            failed.append("\n".join([reader, *done.stdout.splitlines()[-20:], *tail[-20:]]))
        else:
            tries[reader] = int(counted[-1].split()[1])
    assert not failed, "\n".join(failed)
    least = min(tries, key=lambda reader: tries[reader])
    return (
        f"{len(names)} readers, {each} s each, {sum(tries.values()):,} files tried (the fewest: "
        f"{tries[least]:,} by {least})"
    )
