"""What must not break: one line a row with its count; exit code 1 where one fails.

  python benchmarks/faults/run.py                          every row: under half an hour on 2 cores
  python benchmarks/faults/run.py --row 1 --row 27 --seconds 600
  python benchmarks/faults/run.py --seconds 2400 --strict  before a release: hours

A row is a module rowNN.py beside this file: its docstring's first line says the fault, and
`run(seconds=...)` does it and returns what was counted, or raises AssertionError with what went
wrong; a text that begins with "skipped:" says what was missing. docs/reliability.md is the list.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
# A row that takes this much longer than its budget hangs: rows whose length is fixed take minutes.
GRACE = 1800
MARK = "WORDTREE_FAULT_ROW"  # in the environment of all that a row starts


def rows() -> dict[int, str]:
    """Row -> its fault, the first line of its docstring, read from the source."""
    found = {}
    for path in sorted(FOLDER.glob("row*.py")):
        if match := re.fullmatch(r"row(\d\d)", path.stem):
            text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or path.stem
            found[int(match[1])] = text.splitlines()[0].rstrip(".")
    return found


def run_row(row: int, seconds: int) -> tuple[bool, str]:
    """(passed, its count or its reason) of one row, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answers, answer = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        process = context.Process(target=_run, args=(row, seconds, log, answer))
        process.start()
        answer.close()
        try:
            if answers.poll(seconds + GRACE):
                return answers.recv()
            return False, f"it hangs: no result after {seconds + GRACE} s"
        except EOFError:
            process.join()
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            return False, f"its process died (exit code {process.exitcode})\n{tail}"
        finally:
            if process.is_alive():
                process.join(10)
            # The group is the row's own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid or 0, signal.SIGKILL)
            _end_marked(str(log))


def _end_marked(mark: str, seconds: float = 10) -> None:
    """Kills what a row left behind, also trainings in groups of their own (Linux)."""
    word, limit = f"{MARK}={mark}".encode(), time.monotonic() + seconds
    left = True
    while left and time.monotonic() < limit:
        left = False
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if word in environment.read_bytes().split(b"\0"):
                    left = True
                    os.kill(int(environment.parent.name), signal.SIGKILL)
        time.sleep(0.02 if left else 0)


def _run(row: int, seconds: int, log: Path, answer: Connection) -> None:
    os.setpgid(0, 0)
    os.environ[MARK] = str(log)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT)
    for number in (1, 2):
        os.dup2(handle, number)
    # The modules of this folder, and the project also where it is not installed.
    sys.path[:0] = [str(ROOT), str(FOLDER)]
    inherited = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), inherited]))
    try:
        counted = importlib.import_module(f"benchmarks.faults.row{row:02}").run(seconds=seconds)
        answer.send((True, counted))
    except AssertionError as error:
        answer.send((False, str(error) or traceback.format_exc()))
    except Exception:
        answer.send((False, traceback.format_exc()))


def main() -> int:
    """Runs the rows that were asked for."""
    known = rows()
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--row", type=int, choices=known, action="append", help="may be repeated")
    options.add_argument(
        "--seconds",
        type=int,
        default=240,
        help="budget of each row whose length is free: fuzzing, the soak (240)",
    )
    options.add_argument("--strict", action="store_true", help="a row that was skipped has failed")
    options.add_argument("--list", action="store_true", help="say what the rows are")
    given = options.parse_args()
    if given.list:
        print("\n".join(f"{row:2} {fault}" for row, fault in known.items()))
        return 0
    codes = {"passed": 0, "skipped": 0, "FAILED": 0}
    for row in given.row or known:
        began = time.monotonic()
        passed, text = run_row(row, given.seconds)
        skipped = passed and text.startswith("skipped:")
        state = "skipped" if skipped else "passed" if passed else "FAILED"
        codes[state] += 1
        text = text.removeprefix("skipped:").strip()
        print(
            f"{row:2} {known[row]}: {state}; {text} ({time.monotonic() - began:.0f} s)", flush=True
        )
    print(", ".join(f"{count} {state}" for state, count in codes.items() if count))
    return 1 if codes["FAILED"] or (given.strict and codes["skipped"]) else 0


if __name__ == "__main__":
    sys.exit(main())
