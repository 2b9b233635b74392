"""The one exception whose text is meant for the person who runs a command."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in what the user gave: a file, a value, a combination of options.

    The text is one sentence that names the file (and line or key), the value that was found and
    what to do about it. Commands print it on standard error and exit with code 2.
    """
