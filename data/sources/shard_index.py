"""Where each member of a tar shard stands, kept in a cache so that its headers are read once.

The cache is a folder of the user's account (WORDTREE_CACHE sets another), never the folder of the
shards. An entry belongs to a shard's absolute path, size and time of change; a damaged one is
made again, and a shard that changed just now has none. Without a cache that can be written each
start reads the headers.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.images import BrokenPhoto
from data.sources.file_index import FileIndex
from data.sources.progress import told
from data.sources.tar_members import Member, list_members
from wordtree.errors import UserError

CACHE_VARIABLE = "WORDTREE_CACHE"
# Part of an entry's name: a change of what an entry holds, or of the rules, makes all anew.
_FORMAT = "shard-index-1"
_SETTLED = 2.0  # seconds, the tick of the coarsest file systems
MAX_OPEN = 16  # shards that a process holds open
# No photo that may be decoded is larger (data.images.MAX_PIXELS), so nothing larger is read.
MAX_BYTES = 1 << 29


@dataclass(frozen=True)
class Shard:
    """A shard as it was when it was indexed: path, bytes, and time of change in nanoseconds."""

    path: str
    size: int
    changed: int


class Texts:
    """n byte strings as two arrays: `joined` uint8, and int64 (n,) `ends` in it."""

    def __init__(self, joined: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.joined, self.ends = joined, ends

    def __getitem__(self, index: int) -> bytes:
        start = int(self.ends[index - 1]) if index else 0
        return self.joined[start : int(self.ends[index])].tobytes()


@dataclass(frozen=True)
class ShardIndex:
    """The n files in a shard, in its order: `names`, and int64 (n,) `offsets` and `sizes` in
    bytes; `texts` are the contents of small text members, empty for all others."""

    shard: Shard
    names: FileIndex
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    texts: Texts

    def __len__(self) -> int:
        return len(self.names)


def cache_folder() -> Path:
    """Where indexes are kept: $WORDTREE_CACHE, else the account's cache folder."""
    import platformdirs

    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser() if given else platformdirs.user_cache_path("wordtree-detector")


def index_shards(paths: Sequence[str | Path]) -> list[ShardIndex]:
    """The index of each shard, from the cache or from the shard's headers.

    Raises UserError where one cannot be read or breaks a rule of `tar_members`.
    """
    sizes = [os.path.getsize(path) if os.path.isfile(path) else 0 for path in paths]
    with told("indexing shards", sum(sizes)) as advance:
        return [index_shard(path, advance=advance) for path in paths]


def index_shard(path: str | Path, *, advance: Callable[[int], None] = lambda _: None) -> ShardIndex:
    """The index of one shard; `advance` as in `list_members`. Raises UserError."""
    absolute = os.path.abspath(path)
    try:
        # Without waiting, since opening a pipe would last until somebody writes into it.
        file = os.open(absolute, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise UserError(f"the shard {path} is no plain file; give tar files")
        shard = _identity(file, absolute)
        entry = cache_folder() / "shards" / f"{_key(shard)}.index"
        index = _load(entry, shard)
        if index is None:
            members = list_members(file, path, advance=advance)
            if _identity(file, absolute) != shard:
                raise UserError(
                    f"the shard {path} changed while it was read; start again when it is whole"
                )
            index = _as_index(shard, members)
            # Within a tick of the file system's clock a shard can change again unseen.
            if abs(time.time() - shard.changed / 1e9) > _SETTLED:
                _store(entry, index)
        return index
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(file)


def _unreadable(path: str | Path, error: OSError) -> UserError:
    reason = (error.strerror or str(error)).lower()
    return UserError(f"cannot read the shard {path}: {reason}; correct the path, or see its rights")


def read_member(shard: Shard, name: str, offset: int, size: int) -> bytes:
    """`size` bytes from `offset` of a shard, the member called `name`.

    Any process may call it, forked or spawned, and any thread: a read has its own position.
    Raises BrokenPhoto, and UserError where the shard is no longer the one that was indexed.
    """
    path = f"{shard.path}/{name}"
    if not size:
        raise BrokenPhoto(path, "the member is empty")
    if size > MAX_BYTES:
        raise BrokenPhoto(path, f"{size:,} bytes, more than the {MAX_BYTES:,} allowed")
    try:
        try:
            data = _read(shard, offset, size)
        except OSError:
            # A handle on a network share goes stale when its server starts anew.
            _opened.cache_clear()
            data = _read(shard, offset, size)
    except OSError as error:
        raise BrokenPhoto(path, (error.strerror or str(error)).lower()) from error
    if len(data) < size:
        raise BrokenPhoto(path, f"the shard was cut: {len(data)} of {size} bytes are left")
    return data


def _read(shard: Shard, offset: int, size: int) -> bytes:
    handle = _opened(shard)
    data = os.pread(handle.number, size, offset)
    # After the read: a shard written anew in place has another member there, under this label.
    _refuse_changed(handle, shard)
    return data


class _Handle:
    """A file descriptor that is closed when nobody holds it any more: neither the few that stay
    open, nor a thread that is reading."""

    def __init__(self, path: str) -> None:
        self.number = -1
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)


@lru_cache(maxsize=MAX_OPEN)
def _opened(shard: Shard) -> _Handle:
    handle = _Handle(shard.path)
    _refuse_changed(handle, shard)
    return handle


def _refuse_changed(handle: _Handle, shard: Shard) -> None:
    if _identity(handle.number, shard.path) != shard:
        raise UserError(
            f"the shard {shard.path} changed after it was indexed; leave shards alone while a run "
            "reads them, and start it again with resume="
        )


def _identity(file: int, path: str) -> Shard:
    status = os.fstat(file)
    return Shard(path, status.st_size, status.st_mtime_ns)


def _key(shard: Shard) -> str:
    text = f"{_FORMAT}\0{shard.path}\0{shard.size}\0{shard.changed}"
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:40]


def _as_index(shard: Shard, members: list[Member]) -> ShardIndex:
    return ShardIndex(
        shard,
        FileIndex(member.name for member in members),
        np.array([member.offset for member in members], np.int64),
        np.array([member.size for member in members], np.int64),
        Texts(
            np.frombuffer(b"".join(member.text for member in members), np.uint8),
            np.cumsum([len(member.text) for member in members], dtype=np.int64),
        ),
    )


def _store(entry: Path, index: ShardIndex) -> None:
    """Beside, fsync, rename: a reader sees a whole entry or none."""
    names = [os.fsencode(index.names[i]) for i in range(len(index))]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        names=np.frombuffer(b"\0".join(names), np.uint8),
        offsets=index.offsets,
        sizes=index.sizes,
        text=index.texts.joined,
        text_ends=index.texts.ends,
    )
    content = buffer.getvalue()
    beside = ""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        number, beside = tempfile.mkstemp(prefix=f"{entry.name}.", dir=entry.parent)
        with open(number, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, entry)
    except OSError as error:
        if beside:
            with contextlib.suppress(OSError):
                os.unlink(beside)
        _say_once(
            f"note: the cache folder {entry.parent} cannot be written "
            f"({(error.strerror or str(error)).lower()}), so every start reads the headers of all "
            f"shards again; set {CACHE_VARIABLE} to a folder that can"
        )


def _load(entry: Path, shard: Shard) -> ShardIndex | None:
    """What the cache holds of the shard; None where that is nothing, or damaged."""
    try:
        content = entry.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        with contextlib.suppress(OSError):
            entry.unlink()
        return None
    with np.load(io.BytesIO(content[32:]), allow_pickle=False) as stored:
        names = [os.fsdecode(name) for name in stored["names"].tobytes().split(b"\0")]
        return ShardIndex(
            shard,
            FileIndex(names),
            stored["offsets"],
            stored["sizes"],
            Texts(stored["text"], stored["text_ends"]),
        )


@cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
