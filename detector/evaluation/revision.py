"""The git revision of the checkout that the code runs from."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


@cache
def revision(folder: Path = CHECKOUT) -> str | None:
    """The commit, 12 digits, `-dirty` behind it where tracked files were changed since; None where
    `folder` is not the top of a git checkout, or git does not answer.

    Asked once a process: what the checkout becomes later is not what runs.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    # An installed copy may lie somewhere inside of another project's checkout.
    if top is None or Path(top).resolve() != folder.resolve():
        return None
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if not commit or changed is None:
        return None
    return commit + ("-dirty" if changed else "")


def _git(folder: Path, *arguments: str) -> str | None:
    # A hook's variables would speak of the checkout that the hook runs for.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env={**clean, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
