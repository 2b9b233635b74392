"""Tar shards that are cut or damaged: refused, or every photo as it was.

Every cut at a multiple of 512 bytes and one bit of every byte of every header, in a pax and in a
GNU tar; then, for the rest of the time, changes and cuts anywhere. A shard that is read
holds what tarfile reads of the same bytes; after a cut or a damaged header, what the whole one
held. Links, devices, paths that lead outside and their like are in tests/data/test_shards.py.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from data.images import BrokenPhoto
from data.sources.shard_index import index_shard, read_member
from data.sources.shards import ShardSource
from wordtree import UserError, WordTree

BLOCK = 512
LEAST = 1000  # shards of each format that are damaged anywhere, whatever the time
FORMATS = {"pax": tarfile.PAX_FORMAT, "GNU": tarfile.GNU_FORMAT}
TREE = WordTree(["n00000001", "n00000002"], [-1, -1])

Content = dict[str, bytes]


def run(*, seconds: int) -> str:
    """Cuts and headers as many as there are; changes anywhere for the rest of `seconds`."""
    end = time.monotonic() + seconds
    counts = dict.fromkeys(("cuts", "headers", "anywhere", "refused"), 0)
    before = os.environ.get("WORDTREE_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WORDTREE_CACHE"] = f"{folder}/cache"
        (Path(folder) / "shards").mkdir()
        shard = Path(folder) / "shards" / "damaged.tar"
        try:
            for number, name in enumerate(FORMATS):
                whole = packed(FORMATS[name])
                for kind, data, expected in damages(whole, contents(whole)):
                    counts[kind] += 1
                    counts["refused"] += not holds(shard, data, expected, f"{name}, {kind}")
                stop = end - (end - time.monotonic()) * (len(FORMATS) - 1 - number) / len(FORMATS)
                rng = random.Random(number)
                least = counts["anywhere"] + LEAST
                while time.monotonic() < stop or counts["anywhere"] < least:
                    data = anywhere(whole, rng)
                    counts["anywhere"] += 1
                    counts["refused"] += not holds(shard, data, None, f"{name}, {data!r}")
        finally:
            if before is None:
                del os.environ["WORDTREE_CACHE"]
            else:
                os.environ["WORDTREE_CACHE"] = before
        written = sorted(path.name for path in Path(folder).rglob("*"))
        assert written == ["damaged.tar", "shards"], f"something was written: {written}"
    tried = counts["cuts"] + counts["headers"] + counts["anywhere"]
    return (
        f"{counts['cuts']} cuts, {counts['headers']} damaged bytes of headers and "
        f"{counts['anywhere']} shards damaged anywhere: {counts['refused']} refused by name, "
        f"{tried - counts['refused']} read as tarfile reads them, nothing written"
    )


def packed(form: int) -> bytes:
    """A tar of photos, labels, a folder and long names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        folder = tarfile.TarInfo("n00000002")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for number in range(5):
            name = f"n0000000{1 + number % 2}/{'long' * 30 * (number % 2)}é{number}"
            rng = np.random.default_rng(number)
            photo = io.BytesIO()
            pixels = rng.integers(0, 256, (12 + 8 * number, 20, 3), np.uint8)
            Image.fromarray(pixels).save(photo, "JPEG")
            texts = (("jpg", photo.getvalue()), ("json", b'{"boxes": [], "labels": []}'))
            for ending, data in texts:
                info = tarfile.TarInfo(f"{name}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def damages(whole: bytes, content: Content) -> Iterator[tuple[str, bytes, Content]]:
    """("cuts" or "headers", the damaged bytes, what must come out where they are read)."""
    for length in range(0, len(whole), BLOCK):
        yield "cuts", whole[:length], content
    for start in headers(whole):
        for at in range(start, start + BLOCK):
            yield "headers", changed(whole, at, 1 << at % 8), content


def headers(whole: bytes) -> list[int]:
    """Where each header begins: members' own, and those of long names."""
    found, at = [], 0
    while any(block := whole[at : at + BLOCK]):
        found.append(at)
        size = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").size
        at += BLOCK + -(-size // BLOCK) * BLOCK
    return found


def anywhere(whole: bytes, rng: random.Random) -> bytes:
    """One to four bytes changed, and one time in three the tail cut."""
    for _ in range(rng.randint(1, 4)):
        whole = changed(whole, rng.randrange(len(whole)), rng.randint(1, 255))
    return whole[: rng.randrange(len(whole))] if rng.random() < 1 / 3 else whole


def changed(whole: bytes, at: int, change: int) -> bytes:
    """The bytes with one of them changed."""
    return whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :]


def contents(data: bytes) -> Content:
    """What tarfile reads, names without `./`."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                parts = [part for part in member.name.split("/") if part not in ("", ".")]
                found["/".join(parts)] = file.read()
    return found


def holds(shard: Path, data: bytes, expected: Content | None, what: str) -> bool:
    """Whether the shard was read: then it must hold what is expected (None: what tarfile reads)."""
    shard.write_bytes(data)
    refusal, found = "", {}
    try:
        index = index_shard(shard)
    except UserError as error:
        refusal = str(error)
    if refusal:
        assert str(shard) in refusal, f"{what}: the shard is not named: {refusal}"
        return False
    for row in np.flatnonzero(index.sizes).tolist():
        name, offset, size = index.names[row], int(index.offsets[row]), int(index.sizes[row])
        found[name] = read_member(index.shard, name, offset, size)
    if expected is None:
        expected = {name: content for name, content in contents(data).items() if content}
    assert found == expected, f"{what}: read {sorted(found)}, expected {sorted(expected)}"
    with contextlib.suppress(UserError):
        read_source(shard)
    return True


def read_source(shard: Path) -> None:
    """All photos of the shard as a source reads them."""
    source = ShardSource([shard], kind="label_only", tree=TREE)
    for number in range(len(source)):
        with contextlib.suppress(BrokenPhoto):
            source.read(number)
