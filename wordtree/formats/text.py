"""Text files in and out: every fault of a file is told with its line."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from wordtree.errors import UserError
from wordtree.wording import short


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with plain line ends and without a byte order mark.

    Raises UserError for a file that cannot be read, has NULs or is not UTF-8 (with the line).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a file") from None
    nul = data.find(b"\0")
    if nul >= 0:
        raise UserError(
            f"{path}, line {data.count(10, 0, nul) + 1}: the line has NUL bytes, so the file is "
            f"damaged; take a whole copy of it"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}, line {data.count(10, 0, error.start) + 1}: the byte "
            f"{data[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        ) from None
    return text.replace("\r\n", "\n")


def read_lines(path: Path, *, cut: bool = False) -> list[str]:
    """The lines of a text file, blank ones at its end left out; `read_text` for its errors.

    cut: refuses a last line without a line end, where a number may have lost digits.
    """
    text = read_text(path)
    if not text.strip():
        raise UserError(f"{path} has nothing but blank lines; give a file with content")
    lines = text.split("\n")
    if cut and lines[-1].strip():
        raise UserError(
            f"{path}, line {len(lines)}: the last line {short(lines[-1])} has no line end, so the "
            f"file may be cut; if it is whole, end it with an empty line"
        )
    while not lines[-1].strip():
        lines.pop()
    return lines


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file beside, syncs and renames it: whole or not at all.

    Half a surrogate pair, which stands for a byte of a file name that is no UTF-8, becomes
    `\\udce9`; trees have none.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}); choose another folder"
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode(errors="backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's 0600 would keep others from reading what an ordinary write lets them read.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); make room for it") from None
    finally:
        Path(beside).unlink(missing_ok=True)
