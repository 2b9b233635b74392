"""What all commands share: exit codes, messages, `--version`, and flags that are nearly right."""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import sys
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from wordtree.errors import UserError

DISTRIBUTION = "wordtree-detector"
# What a disk refuses: no defect of ours, wherever it comes up.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def version() -> str:
    """The installed version of the project, or of the checkout it runs from."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        import tomllib

        project = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text())["project"]["version"])


def run_command(function: Callable[[], int | None]) -> int:
    """Runs a command and gives its exit code, with one sentence on standard error if it fails.

    0 or what the function returns; 2 for a user's mistake; 130 for Ctrl-C; 1 for a defect of ours.
    `WORDTREE_DEBUG=1` in the environment shows the stack trace too.
    """
    debug = os.environ.get("WORDTREE_DEBUG", "0") not in ("", "0")
    try:
        code = function() or 0
        sys.stdout.flush()
        return code
    except UserError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; nothing may be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError) and error.errno in DISK:
            what = error.filename or "a file"
            print(
                f"error: {what} could not be read or written ({error.strerror}); free or mend the "
                f"disk",
                file=sys.stderr,
            )
            return 2
        print(
            f"error: a defect of ours ({type(error).__name__}: {error}); WORDTREE_DEBUG=1 shows "
            f"where, please report it",
            file=sys.stderr,
        )
        return 1


def make_parser(prog: str, description: str | None, example: str) -> argparse.ArgumentParser:
    """An argument parser with `--version`, whose errors are one sentence with the nearest flag.

    example: a command line or several, shown at the end of `--help`.
    """
    lines = "\n".join(f"  {line.strip()}" for line in example.strip().splitlines())
    parser = _Parser(
        prog=prog,
        description=description,
        epilog=f"example:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version()}")
    return parser


class _Parser(argparse.ArgumentParser):
    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        return super().parse_args(self._known(args), namespace)

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        return super().parse_intermixed_args(self._known(args), namespace)

    def _known(self, args: Any) -> list[str]:
        """The words, once their flags were found to be known."""
        given = [str(word) for word in (sys.argv[1:] if args is None else args)]
        known = [flag for action in self._actions for flag in action.option_strings]
        # Before argparse looks: it would first ask for a required option that is only mistyped.
        for word in given[: given.index("--") if "--" in given else None]:
            flag = word.partition("=")[0]
            if flag.startswith("--") and flag not in known:
                close = difflib.get_close_matches(flag, known, n=1)
                self.error(
                    f"there is no option {flag}; "
                    + (f"did you mean {close[0]}?" if close else "see --help")
                )
        return given

    def error(self, message: str) -> NoReturn:
        print(f"error: {self.prog}: {message}", file=sys.stderr)
        raise SystemExit(2)
