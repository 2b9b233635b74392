"""The manifest of a checkpoint folder: sizes and SHA-256 of its files, and one of its own.

`sha256sum -c MANIFEST.sha256` checks it too: sizes and its own checksum are comments there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

FILES = ("model.safetensors", "ema.safetensors", "optimizer.pt", "state.json")
MANIFEST = "MANIFEST.sha256"

_SEAL = b"# sha256 of the lines above: "
_MANIFEST_BODY = re.compile(
    "".join(
        rf"# bytes {re.escape(n)} (\d{{1,19}})\n([0-9a-f]{{64}})  {re.escape(n)}\n" for n in FILES
    )
)


def manifest_bytes(contents: Mapping[str, bytes]) -> bytes:
    """The manifest's bytes for the contents of `FILES`, in their order."""
    body = "".join(
        f"# bytes {name} {len(data)}\n{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in contents.items()
    ).encode()
    return body + _SEAL + hashlib.sha256(body).hexdigest().encode() + b"\n"


def find_damage(folder: Path) -> tuple[str, str] | None:
    """(file, what is wrong with it) of the first damaged file, else None."""
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError as error:
        return MANIFEST, f"it cannot be read: {error.strerror}"
    body, _, seal = text.rpartition(_SEAL)
    match = _MANIFEST_BODY.fullmatch(body.decode("latin-1"))
    if match is None or seal != hashlib.sha256(body).hexdigest().encode() + b"\n":
        return MANIFEST, "it does not have its own checksum"
    expected = list(zip(FILES, match.groups()[::2], match.groups()[1::2], strict=True))
    for name, size, _ in expected:
        path = folder / name
        if not path.is_file():
            return name, "it is not there"
        if path.stat().st_size != int(size):
            return name, f"{path.stat().st_size} bytes where {MANIFEST} says {size}"
    for name, _, digest in expected:
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return name, f"it cannot be read: {error.strerror}"
        if found != digest:
            return name, f"its SHA-256 is {found[:12]}..., {MANIFEST} says {digest[:12]}..."
    return None
