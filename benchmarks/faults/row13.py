"""Photos that are cut, damaged, of every odd kind, or whole: right, or refused.

Files of every format are cut at many places (JPEGs also with their end mark put back, which makes
decoders fill the rest with grey) and have bytes changed, by a seed. A cut file must be refused, or
lack nothing that is seen; a changed one must be refused or give a photo of uint8 RGB, and nothing
but BrokenPhoto may come out. All photos of WORDTREE_DATA must be read.
"""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from data.images import PHOTO_ENDINGS, BrokenPhoto, decode_image, read_image, read_size

CUTS = 200
CHANGES = 400  # at least, and as many more as the budget lets
MAX_PIXELS = 1_000_000  # a changed header may ask for anything


def run(*, seconds: int) -> str:
    """Cuts, changed bytes (for up to `seconds`), and the photos of WORDTREE_DATA."""
    end = time.monotonic() + seconds
    files = make_files()
    cut, cut_refused = 0, 0
    for name, data in files.items():
        tried, refused = cut_everywhere(name, data)
        cut, cut_refused = cut + tried, cut_refused + refused
    changed, changed_refused, seed = 0, 0, 0
    while seed < CHANGES or time.monotonic() < end:
        for name, data in files.items():
            changed += 1
            changed_refused += not is_read(change(data, seed), name)
        seed += 1
    return (
        f"{len(files)} files: {cut:,} cuts, {cut_refused:,} refused, the others lost nothing seen; "
        f"{changed:,} with changed bytes, {changed_refused:,} refused; {real_photos()}"
    )


def make_files() -> dict[str, bytes]:
    """One photo in every format and colour mode."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120]
    smooth = np.stack([255 * y / 90, 255 * x / 120, 60 + 0 * x], -1)
    photo = Image.fromarray((smooth + rng.normal(0, 12, smooth.shape)).clip(0, 255).astype("uint8"))
    grey, inks, clear = (photo.convert(mode) for mode in ("L", "CMYK", "RGBA"))
    clear.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    frames = {"save_all": True, "append_images": [photo.rotate(90)]}
    made: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "plain.jpg": (photo, "JPEG", {"quality": 90}),
        "progressive.jpg": (photo, "JPEG", {"quality": 90, "progressive": True}),
        "restart.jpg": (photo, "JPEG", {"restart_marker_blocks": 4}),
        "grey.jpg": (grey, "JPEG", {}),
        "inks.jpg": (inks, "JPEG", {}),
        "stereo.jpg": (photo, "MPO", frames),
        "plain.png": (photo, "PNG", {}),
        "deep.png": (deep, "PNG", {}),
        "palette.png": (photo.convert("P"), "PNG", {}),
        "clear.png": (clear, "PNG", {}),
        "lossy.webp": (photo, "WEBP", {}),
        "lossless.webp": (clear, "WEBP", {"lossless": True}),
        "animated.webp": (photo, "WEBP", frames),
        "animated.gif": (photo, "GIF", frames),
        "plain.bmp": (photo, "BMP", {}),
        "plain.tiff": (photo, "TIFF", {}),
        "packed.tiff": (photo, "TIFF", {"compression": "tiff_lzw"}),
        "plain.ppm": (photo, "PPM", {}),
    }
    files = {}
    for name, (image, kind, options) in made.items():
        file = io.BytesIO()
        image.save(file, kind, **options)
        files[name] = file.getvalue()
    return files


def cut_everywhere(name: str, data: bytes) -> tuple[int, int]:
    """How many cuts were tried and refused; AssertionError for one that is read and lacks some."""
    whole = decode_image(data, name)
    tails = [b"", b"\xff\xd9"] if name.endswith(".jpg") else [b""]
    tried = refused = 0
    for length in np.unique(np.linspace(0, len(data) - 1, CUTS).astype(int)).tolist():
        for tail in tails:
            tried += 1
            try:
                photo = decode_image(data[:length] + tail, name)
            except BrokenPhoto:
                refused += 1
                continue
            # A progressive photo that ends between two scans is whole, and coarser.
            same = photo.shape == whole.shape and (
                np.array_equal(photo, whole) or (name == "progressive.jpg" and tail != b"")
            )
            assert same, f"{name} cut to {length} of {len(data)} bytes{' and ended' * bool(tail)}"
    return tried, refused


def change(data: bytes, seed: int) -> bytes:
    """One to eight bytes of it are others; half of the seeds strike the first 200 bytes."""
    rng = np.random.default_rng(seed)
    damaged = bytearray(data)
    reach = len(data) if seed % 2 else min(200, len(data))
    for at in rng.integers(0, reach, rng.integers(1, 9)).tolist():
        damaged[at] ^= int(rng.integers(1, 256))
    return bytes(damaged)


def is_read(data: bytes, name: str) -> bool:
    """Whether a photo comes out; AssertionError for anything that is neither that nor refused."""
    try:
        photo = decode_image(data, name, max_pixels=MAX_PIXELS)
    except BrokenPhoto:
        return False
    assert photo.dtype == np.uint8, name
    assert photo.ndim == 3, name
    assert photo.shape[2] == 3, name
    assert photo.size <= 3 * MAX_PIXELS, name
    return True


def real_photos() -> str:
    """All photos below WORDTREE_DATA are read, and are as large as their headers say."""
    folder = os.environ.get("WORDTREE_DATA")
    if not folder:
        return "no photos of data sets read: WORDTREE_DATA is not set"
    count = 0
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix.lower() in PHOTO_ENDINGS:
            assert read_image(path).shape == (*read_size(path), 3), path
            count += 1
        elif path.suffix == ".tar":
            for name, data in _members(path):
                decode_image(data, name)
                count += 1
    return f"all {count:,} photos of the data sets read"


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as shard:
        for member in shard:
            file = shard.extractfile(member)
            if file is not None and Path(member.name).suffix.lower() in PHOTO_ENDINGS:
                yield f"{path}/{member.name}", file.read()
