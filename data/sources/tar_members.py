"""The members of an uncompressed tar: their names, places and sizes, from its headers alone.

Nothing is ever unpacked. tarfile passes over the rest of an archive whose header is damaged and
takes a cut one for a short one; for photos this would be a silent loss, so the walk is our own
(headers are decoded by tarfile.TarInfo). One rule each, every refusal naming shard and member:

  members in any order    read: samples are put together by name, adjacent or not
  `./` and `//` in names  left out of the name
  directories             passed over, their names checked
  long names, pax or GNU  read, up to 4,096 bytes; their headers up to 1 MiB
  `..`, absolute paths    refused
  links, devices, pipes, sparse files, unknown types      refused
  two members of one name                                 refused
  a header whose checksum does not hold                   refused
  a member that reaches beyond the file, no end mark      refused as cut off
  anything but zeros after the end mark                   refused (two tars joined, mostly)
  compressed, empty, no tar at all                        refused, with what to do
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

from wordtree.errors import UserError

BLOCK = 512
MAX_NAME = 4096  # bytes; Linux' own limit of a path
MAX_EXTENDED = 1 << 20  # bytes of a pax or GNU header
# Labels stand in members of these endings; of longer ones only the place is kept.
TEXT_ENDINGS = (".cls", ".txt", ".json")
MAX_TEXT = 1 << 16  # bytes

_COMPRESSED = {
    b"\x1f\x8b": "gzip (gunzip)",
    b"BZh": "bzip2 (bunzip2)",
    b"\xfd7zXZ\x00": "xz (unxz)",
    b"\x28\xb5\x2f\xfd": "zstd (unzstd)",
    b"\x04\x22\x4d\x18": "lz4 (unlz4)",
}
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
_LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_PAX_RECORD = re.compile(rb"([0-9]{1,7}) ([^=\n]+)=")
# In a header for all members these would give many members one name, or a wrong place.
_PAX_OWN = ("path", "linkpath", "size")


class Member(NamedTuple):
    """A file in a tar: its name without `./`, where its bytes begin and how many they are, and
    the bytes themselves of a small text member (`.cls`, `.txt`, `.json`), else none."""

    name: str
    offset: int
    size: int
    text: bytes


def list_members(
    file: int, path: str | Path, *, advance: Callable[[int], None] = lambda _: None
) -> list[Member]:
    """The files of the tar that is open under the descriptor `file`, in the tar's order.

    path: what to call it. advance: called after every member with the bytes passed since the last
    call. Raises UserError by the rules at the head of this file.
    """
    length = os.fstat(file).st_size
    _refuse_other_files(os.pread(file, 8, 0), length, path)
    members: list[Member] = []
    names: set[str] = set()
    said: dict[str, str] = {}  # what extended headers say of the member that follows
    at = told = 0
    while True:
        block = os.pread(file, BLOCK, at)
        if len(block) < BLOCK:
            _refuse_cut(path, length, "there is no end mark")
        if not any(block):
            break
        info = _header(block, path, at, members)
        leads = info.type in (*_EXTENDED, *_LONG)
        name = "an extended header" if leads else said.get("path", info.name)
        size = _size(info.type, str(info.size) if leads else said.get("size", str(info.size)))
        begin = at + BLOCK
        if size < 0:
            _refuse(path, f"a member ({name!r}) of less than no bytes, or of a size that is none")
        if begin + size > length:
            _refuse_cut(path, length, f"the member {name!r} at byte {at} claims {size:,} bytes")
        at = begin + -(-size // BLOCK) * BLOCK
        if leads:
            if size > MAX_EXTENDED:
                _refuse(path, f"a name or extended header of {size:,} bytes at byte {begin}")
            said |= _said(info.type, os.pread(file, size, begin), path, begin)
            continue
        named = _checked_name(name, path)
        if info.type not in (*_REGULAR, tarfile.DIRTYPE):
            kind = _KINDS.get(info.type, f"of the unknown type {info.type!r}")
            _refuse(path, f"the member {name!r}, which is {kind}", "pack plain files alone")
        if any(key.startswith("GNU.sparse") for key in said):
            _refuse(path, f"the member {name!r}, which is a sparse file", "pack plain files alone")
        said = {}
        if info.isdir():
            continue
        if named in names:
            _refuse(path, f"the member {name!r} twice", "remove one, since which counts is unclear")
        names.add(named)
        is_text = named.lower().endswith(TEXT_ENDINGS) and size <= MAX_TEXT
        members.append(Member(named, begin, size, os.pread(file, size, begin) if is_text else b""))
        advance(at - told)
        told = at
    if said:
        _refuse(path, "a name or extended header without a member")
    _refuse_more(file, path, at)
    if not members:
        _refuse(path, "no file in it")
    return members


def _said(kind: bytes, content: bytes, path: str | Path, begin: int) -> dict[str, str]:
    """What the content of an extended header, or of a GNU one, says of the next member."""
    if kind in _LONG:
        name = _decoded(content.split(b"\0", 1)[0])
        return {"path": name} if kind == tarfile.GNUTYPE_LONGNAME else {}
    records = _pax_records(content, path, begin)
    if kind != tarfile.XGLTYPE:
        return records
    for key in sorted(set(records) & set(_PAX_OWN)):
        _refuse(path, f"a header that gives all its members one {key} (at byte {begin})")
    return {}


def _header(block: bytes, path: str | Path, at: int, before: list[Member]) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError, OverflowError):
        if at == 0:
            raise UserError(
                f"the shard {path} is not a tar, or its first header is damaged; give uncompressed "
                "tars, or fetch it again"
            ) from None
        where = f"after the member {before[-1].name!r}" if before else "before its first member"
        _refuse(path, f"a damaged header at byte {at}, {where}")


def _size(kind: bytes, stated: str) -> int:
    """Bytes that follow the header; -1 where no size is stated."""
    # Folders, links and devices have no bytes in the tar, whatever their headers say.
    if kind in _KINDS or kind == tarfile.DIRTYPE:
        return 0
    return int(stated) if re.fullmatch("[0-9]{1,19}", stated, re.ASCII) else -1


def _pax_records(content: bytes, path: str | Path, begin: int) -> dict[str, str]:
    """`LENGTH KEY=VALUE\\n` after one another."""
    records: dict[str, str] = {}
    at = 0
    while at < len(content) and content[at]:
        found = _PAX_RECORD.match(content, at)
        end = at + int(found[1]) if found else 0
        if found is None or not found.end() < end <= len(content) or content[end - 1] != 0x0A:
            _refuse(path, f"a damaged extended header at byte {begin}")
        records[_decoded(found[2])] = _decoded(content[found.end() : end - 1])
        at = end
    return records


def _checked_name(name: str, path: str | Path) -> str:
    if len(os.fsencode(name)) > MAX_NAME:
        _refuse(path, f"a member whose name has over {MAX_NAME} bytes ({name[:40]!r}...)")
    if name.startswith("/"):
        _refuse(path, f"the member {name!r}, an absolute path")
    # Backslashes count too: the same shard may be unpacked elsewhere by another program.
    if ".." in re.split(r"[/\\]", name):
        _refuse(path, f"the member {name!r}, which leads out of the shard")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if "\0" in name or not (parts or name in (".", "./")):
        _refuse(path, f"a member with the name {name!r}")
    return "/".join(parts)


def _refuse_other_files(start: bytes, length: int, path: str | Path) -> None:
    if not length:
        raise UserError(f"the shard {path} is empty; fetch or write it again")
    for magic, name in _COMPRESSED.items():
        if start.startswith(magic):
            raise UserError(
                f"the shard {path} is compressed with {name}, so no photo in it can be reached "
                "without reading all before it; decompress it (photos do not shrink any further)"
            )


def _refuse_more(file: int, path: str | Path, at: int) -> None:
    while more := os.pread(file, 1 << 20, at):
        if any(more):
            _refuse(
                path,
                f"more than zeros after its end mark (from byte {at} on)",
                "if tars were joined, unpack and pack them anew",
            )
        at += len(more)


def _refuse_cut(path: str | Path, length: int, why: str) -> NoReturn:
    raise UserError(
        f"the shard {path} is cut off or damaged: {why}, but the file ends at byte {length}; "
        "fetch or write it again"
    )


def _refuse(path: str | Path, what: str, remedy: str = "fetch or write it again") -> NoReturn:
    raise UserError(f"the shard {path} has {what}; {remedy}")


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
