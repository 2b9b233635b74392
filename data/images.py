"""The one reader of photos: whatever the file holds comes out as uint8 RGB, upright, or not at all.

Rules. EXIF rotation is applied. 16-bit channels are scaled by 1/257, never saturated. CMYK, grey
and palettes become RGB. Transparency is laid over the grey that also pads inputs, since neither a
black nor a white drawing vanishes on it. An animation gives its first frame. The size is read from
the header and checked before a pixel is decoded. A photo that is cut off is broken, also where a
decoder would fill the rest with grey. Files are read, never written.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

# Grey that stands for "nothing": padding of inputs, and what shows through a transparent photo.
GREY = 127
# 178,956,970, where PIL too refuses by default: half a GiB as RGB.
MAX_PIXELS = (1 << 29) // 3
# What so many pixels take where nothing is compressed, with 16 bits and alpha.
MAX_BYTES = 8 * MAX_PIXELS
# Formats with a decoder that is safe to run on a stranger's file (EPS, for one, is a program).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
# Endings by which a folder listing tells photos from other files.
PHOTO_ENDINGS = frozenset(
    [".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"]
)
_ORIENTATION = 0x0112  # EXIF's tag
_PNG_METADATA = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
# What libjpeg says before it fills what is missing with grey, or goes on with wrong pixels.
_DAMAGE = ("premature end", "bad huffman code", "found marker")


class BrokenPhoto(Exception):
    """A photo that cannot be read: `path` (as given) and `reason` (half a sentence)."""

    def __init__(self, path: str | Path, reason: str) -> None:
        # Both go to the base class, so that the exception survives pickling between processes.
        super().__init__(str(path), reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The photo in a file, uint8 (H, W, 3) RGB, upright. Raises BrokenPhoto."""
    return decode_image(_read(path), path, max_pixels=max_pixels)


def read_size(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(height, width) of the upright photo, from the file's header alone. Raises BrokenPhoto."""
    _check_file(path)
    with _naming(path), Path(path).open("rb") as file:
        image, orientation = _open(file, path, max_pixels)
        width, height = image.size
    return (width, height) if orientation > 4 else (height, width)


def decode_image(data: bytes, name: str | Path, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The photo in `data`, the bytes of a file called `name`, as `read_image` gives it."""
    image, orientation = _open(io.BytesIO(data), name, max_pixels)
    try:
        pixels = _decode_jpeg(data, image)
        if pixels is None:
            with warnings.catch_warnings():
                # What PIL warns of in a damaged file, it raises too, or has mended.
                warnings.simplefilter("ignore")
                pixels = _to_rgb(image)
    # Damaged files raise nearly anything from inside a decoder: OSError, SyntaxError, ValueError,
    # EOFError, struct.error, zlib.error, IndexError, MemoryError.
    except Exception as error:
        raise BrokenPhoto(name, _reason(error)) from error
    return _upright(pixels, orientation)


def _read(path: str | Path) -> bytes:
    _check_file(path)
    with _naming(path):
        return Path(path).read_bytes()


def _check_file(path: str | Path) -> None:
    """Refuses (BrokenPhoto) what should not even be opened."""
    with _naming(path):
        known = os.stat(path)
    if not stat.S_ISREG(known.st_mode) and not stat.S_ISDIR(known.st_mode):
        raise BrokenPhoto(path, "a device or a pipe, which may never end")
    if known.st_size > MAX_BYTES:
        raise BrokenPhoto(path, f"{known.st_size:,} bytes, more than the {MAX_BYTES:,} allowed")
    if known.st_size == 0 and stat.S_ISREG(known.st_mode):
        raise BrokenPhoto(path, "the file is empty")


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """What the operating system refuses is a BrokenPhoto."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if os.path.islink(path) and not os.path.exists(path):
            raise BrokenPhoto(path, "a link to a file that is not there") from error
        raise BrokenPhoto(path, (getattr(error, "strerror", "") or str(error)).lower()) from error


def _open(file: BinaryIO, name: str | Path, max_pixels: int) -> tuple[Image.Image, int]:
    """The photo with only its header read, and its EXIF orientation (1 to 8)."""
    try:
        with warnings.catch_warnings():
            # PIL warns about large photos below its limit; the check below is the one that counts.
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=FORMATS)
            orientation = _orientation(image, file)
    except Image.DecompressionBombError as error:
        raise BrokenPhoto(name, f"too large to decode: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise BrokenPhoto(name, f"not a photo ({', '.join(FORMATS)} are read)") from error
    except Exception as error:  # as in decode_image
        raise BrokenPhoto(name, _reason(error)) from error
    width, height = image.size
    if width < 1 or height < 1:
        raise BrokenPhoto(name, f"{width} x {height} pixels")
    if width * height > max_pixels:
        raise BrokenPhoto(
            name, f"{width} x {height} pixels by its header, more than the {max_pixels:,} allowed"
        )
    return image, orientation


def _orientation(image: Image.Image, file: BinaryIO) -> int:
    try:
        # PIL decodes a whole PNG to see whether EXIF comes behind the pixels, which is rare.
        before = image.format == "PNG" and not _metadata_behind_pixels(file)
        exif = Image.Image.getexif(image) if before else image.getexif()
        value = exif.get(_ORIENTATION, 1)
    # EXIF is written by every kind of program; a photo with a damaged block is still a photo.
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _metadata_behind_pixels(file: BinaryIO) -> bool:
    """Whether chunks that may hold EXIF or XMP follow the pixels of a PNG; only heads are read."""
    place, pixels = file.tell(), False
    file.seek(8)
    try:
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            pixels |= kind == b"IDAT"
            if pixels and kind in _PNG_METADATA:
                return True
            file.seek(length + 4, os.SEEK_CUR)  # 4: the checksum
        return False
    finally:
        file.seek(place)


def _decode_jpeg(data: bytes, image: Image.Image) -> Pixels | None:
    """A JPEG by a decoder that hides no warning; None where only PIL can tell what is right.

    Damage is an error also where the file's end mark was put back; PIL would take that. Other
    warnings (a few bytes too many between two parts, say) leave the pixels whole. EXIF is not
    looked at: the caller turns the photo.
    """
    if image.format not in ("JPEG", "MPO"):
        return None
    colours = "CMYK" if image.mode == "CMYK" else "RGB"
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, colours)
    except ValueError as error:
        if any(sign in str(error).lower() for sign in _DAMAGE):
            raise
        return None
    # Which way round inks are stored is Adobe's riddle, and PIL knows the answer.
    return None if colours == "CMYK" else pixels


def _to_rgb(image: Image.Image) -> Pixels:
    """Any mode of PIL -> uint8 (H, W, 3) RGB; decodes, so it raises what PIL raises."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # PIL's own conversion clips at 255 and leaves a white photo.
        grey = np.asarray(image).astype(np.float32) / 257
        return np.repeat(np.rint(grey).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no stated white; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (GREY, GREY, GREY, 255))
        image = Image.alpha_composite(ground, image)
    return np.array(image.convert("RGB"))


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undoes EXIF's orientation: 2 to 4 mirror or turn, 5 to 8 also exchange the axes."""
    if orientation > 4:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _reason(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())
