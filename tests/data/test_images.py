"""The reader of photos: right, or refused with a reason."""

import io
import os
import pickle
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from data import images
from data.images import GREY, BrokenPhoto, decode_image, read_image, read_size


def smooth(height: int = 48, width: int = 64) -> np.ndarray:
    """A picture without symmetry that JPEG keeps nearly as it is."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * y / height, 255 * x / width, 60 + 0 * x], -1).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    whole = name + body
    return struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))


def jpeg(**options: object) -> bytes:
    return encoded(Image.fromarray(smooth()), "JPEG", quality=95, **options)


def test_a_jpeg_reads_as_pil_reads_it() -> None:
    for progressive in (False, True):
        data = jpeg(progressive=progressive)
        expected = np.asarray(Image.open(io.BytesIO(data)))
        assert np.array_equal(decode_image(data, "a.jpg"), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_every_exif_orientation_is_undone(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind == "JPEG" else {}
    data = encoded(Image.fromarray(smooth()), kind, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(decode_image(data, "a"), expected)


def test_the_size_from_the_header_is_that_of_the_upright_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(jpeg(exif=exif))
    assert read_size(tmp_path / "a.jpg") == (64, 48)
    assert read_image(tmp_path / "a.jpg").shape == (64, 48, 3)


def test_damaged_exif_leaves_the_photo_as_it_is() -> None:
    data = jpeg(exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\x12\x01" * 9)
    assert decode_image(data, "a.jpg").shape == (48, 64, 3)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_jpeg_that_is_cut_off_is_broken(share: float, progressive: bool) -> None:
    data = jpeg(progressive=progressive)
    with pytest.raises(BrokenPhoto, match=r"a\.jpg"):
        decode_image(data[: int(len(data) * share)], "a.jpg")


def test_a_cut_jpeg_with_a_whole_thumbnail_in_its_header_is_broken() -> None:
    thumbnail = jpeg()
    data = jpeg()
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    assert decode_image(whole, "a.jpg").shape == (48, 64, 3)
    with pytest.raises(BrokenPhoto):
        decode_image(whole[:-200], "a.jpg")


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("share", [0.05, 0.4, 0.8])
def test_other_formats_that_are_cut_off_are_broken(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    assert decode_image(data, "a").shape == (40, 50, 3)
    with pytest.raises(BrokenPhoto):
        decode_image(data[: int(len(data) * share)], "a")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 900), st.sampled_from(["JPEG", "PNG", "GIF", "WEBP"]))
def test_damaged_bytes_give_a_photo_or_broken_photo(junk: bytes, at: int, kind: str) -> None:
    data = encoded(Image.fromarray(smooth()), kind)
    at %= len(data)
    damaged = data[:at] + junk + data[at + len(junk) :]
    try:
        photo = decode_image(damaged, "a", max_pixels=1_000_000)
    except BrokenPhoto:
        return
    assert photo.dtype == np.uint8
    assert photo.ndim == 3
    assert photo.shape[2] == 3


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_16_bit_photos_are_scaled_not_saturated(ending: str) -> None:
    ramp = np.linspace(0, 65535, 2048).astype(np.uint16).reshape(16, 128)
    for pixels in (ramp, np.stack([ramp] * 3, -1)):
        data = cv2.imencode(ending, pixels)[1].tobytes()
        read = decode_image(data, "a")
        assert np.abs(read.astype(float) - ramp[..., None] / 257).max() <= 1


def test_pixels_without_a_stated_white_are_refused() -> None:
    data = encoded(Image.fromarray(np.full((4, 4), 3.5, np.float32)), "TIFF")
    with pytest.raises(BrokenPhoto, match="8 or 16 bits"):
        decode_image(data, "a.tiff")


def test_grey_palette_two_level_and_cmyk_become_rgb() -> None:
    photo = Image.fromarray(smooth())
    for mode, kind in (("L", "JPEG"), ("L", "PNG"), ("1", "PNG"), ("P", "GIF"), ("CMYK", "JPEG")):
        image = photo.convert(mode)
        data = encoded(image, kind)
        read = decode_image(data, "a").astype(int)
        assert read.shape == (48, 64, 3)
        assert np.abs(read - np.asarray(image.convert("RGB"))).mean() < 6, mode


def test_transparency_is_laid_over_grey() -> None:
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, :3] = (10, 200, 30, 255)
    pixels[:, 3:, 3] = 0
    pixels[0, 5] = (255, 255, 255, 128)
    read = decode_image(encoded(Image.fromarray(pixels), "PNG"), "a.png")
    assert (read[:, :3] == (10, 200, 30)).all()
    assert (read[1:, 3:] == GREY).all()
    assert abs(int(read[0, 5, 0]) - (255 + GREY) / 2) <= 1
    palette = Image.fromarray(smooth()).convert("P")
    palette.info["transparency"] = int(np.asarray(palette)[0, 0])
    assert (
        decode_image(encoded(palette, "PNG", transparency=int(np.asarray(palette)[0, 0])), "a")[
            0, 0
        ]
        == GREY
    ).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "lime")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    assert np.abs(decode_image(data, "a").astype(int) - (255, 0, 0)).max() <= 2


def test_a_stereo_photo_gives_its_first_picture() -> None:
    first, second = Image.fromarray(smooth()), Image.new("RGB", (64, 48), "blue")
    data = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert np.abs(decode_image(data, "a.jpg").astype(int) - smooth()).max() < 12


@pytest.mark.parametrize("size", [(1, 1), (20_000, 3), (3, 20_000)])
def test_extreme_shapes_are_read(size: tuple[int, int]) -> None:
    data = encoded(Image.new("RGB", size[::-1], "teal"), "JPEG")
    assert decode_image(data, "a.jpg").shape == (*size, 3)


def test_a_decompression_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("a pixel was decoded")

    monkeypatch.setattr(images, "_to_rgb", forbidden)
    monkeypatch.setattr(images, "_decode_jpeg", forbidden)
    for side in (14_000, 50_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
        bomb += png_chunk(b"IDAT", zlib.compress(b""))
        with pytest.raises(BrokenPhoto, match=r"too large|allowed"):
            decode_image(bomb + png_chunk(b"IEND", b""), "bomb.png")
    with pytest.raises(BrokenPhoto, match="64 x 48 pixels by its header"):
        decode_image(jpeg(), "a.jpg", max_pixels=3000)


def test_files_that_are_no_photos_say_why(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a photo " * 50)
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    reasons = {
        "empty": "empty",
        "text": "not a photo",
        "folder": "directory",
        "dangling": "a link to a file that is not there",
        "missing": "no such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(BrokenPhoto, match=reason) as caught:
            read_image(tmp_path / f"{name}.jpg")
        assert caught.value.path == str(tmp_path / f"{name}.jpg")


@pytest.fixture
def common_user() -> Iterator[None]:
    """Root may read everything, so it is another user for the length of a test."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_unreadable_file_or_folder_says_so(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for folder, mode in (("a", 0o755), ("b", 0)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(jpeg())
        (tmp_path / folder / "a.jpg").chmod(0)
        (tmp_path / folder).chmod(mode)
    request.getfixturevalue("common_user")
    for folder in ("a", "b"):
        with pytest.raises(BrokenPhoto, match="permission"):
            read_image(tmp_path / folder / "a.jpg")


def test_pipes_devices_huge_files_and_names_with_a_nul_are_refused_and_do_not_hang(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)  # no byte of it is on the disk
    (tmp_path / "zeros.jpg").symlink_to("/dev/zero")
    reasons = {"pipe": "a pipe", "zeros": "a device", "huge": "bytes, more than", "n\0ul": "null"}
    for name, reason in reasons.items():
        with pytest.raises(BrokenPhoto, match=reason):
            read_image(tmp_path / f"{name}.jpg")


def photos_of_every_kind() -> dict[str, tuple[bytes, bool]]:
    """What a folder of photos may hold: the bytes, and whether they are a photo."""
    photo = Image.fromarray(smooth())
    turned = Image.Exif()
    turned[0x0112] = 6
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue")]
    many = {"save_all": True, "append_images": frames[1:]}
    deep = cv2.imencode(".png", np.full((5, 6), 40_000, np.uint16))[1].tobytes()
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"")
    return {
        "plain": (jpeg(), True),
        "empty": (b"", False),
        "cut": (jpeg()[:-300], False),
        "cut, end mark put back": (jpeg()[:-300] + b"\xff\xd9", False),
        "cut, of inks": (encoded(photo.convert("CMYK"), "JPEG")[:-300] + b"\xff\xd9", False),
        "cut, stereo": (encoded(photo, "MPO", save_all=True)[:-300] + b"\xff\xd9", False),
        "text": (b"not a photo " * 50, False),
        "1 x 1": (encoded(Image.new("RGB", (1, 1)), "JPEG"), True),
        "20,000 x 3": (encoded(Image.new("RGB", (3, 20_000)), "JPEG"), True),
        "of inks": (encoded(photo.convert("CMYK"), "JPEG"), True),
        "grey": (encoded(photo.convert("L"), "JPEG"), True),
        "16 bits": (deep, True),
        "palette": (encoded(photo.convert("P"), "PNG"), True),
        "transparent": (encoded(photo.convert("RGBA"), "PNG"), True),
        "turned": (jpeg(exif=turned), True),
        "animated gif": (encoded(frames[0], "GIF", **many), True),
        "animated webp": (encoded(frames[0], "WEBP", **many), True),
        "bomb": (bomb + png_chunk(b"IEND", b""), False),
    }


@pytest.mark.parametrize("kind", photos_of_every_kind())
def test_a_file_and_its_bytes_give_the_same_photo_or_are_both_broken(
    kind: str, tmp_path: Path
) -> None:
    data, whole = photos_of_every_kind()[kind]
    path = tmp_path / "a.jpg"  # whatever it is, its name says JPEG
    path.write_bytes(data)
    if whole:
        photo = read_image(path)
        assert photo.dtype == np.uint8
        assert photo.shape == (*read_size(path), 3)
        assert np.array_equal(photo, decode_image(data, path))
        return
    for reader in (lambda: read_image(path), lambda: decode_image(data, path)):
        with pytest.raises(BrokenPhoto, match=r"a\.jpg"):
            reader()


def test_stray_bytes_between_two_parts_leave_a_photo_whole() -> None:
    data = jpeg()
    at = data.index(b"\xff\xda")
    stray = data[:at] + b"\0\0\0" + data[at:]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(stray)
    assert np.array_equal(decode_image(stray, "a.jpg"), decode_image(data, "a.jpg"))


def test_broken_photo_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(BrokenPhoto("a.jpg", "cut off")))
    assert (error.path, error.reason, str(error)) == ("a.jpg", "cut off", "a.jpg: cut off")


def test_a_program_in_postscript_is_not_run() -> None:
    with pytest.raises(BrokenPhoto, match="not a photo"):
        decode_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "a.eps")


@pytest.mark.parametrize("behind", [False, True])
def test_the_size_of_a_png_is_read_without_its_pixels_unless_exif_follows_them(
    behind: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 48)).save(path, exif=turned)
    data = path.read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    if behind:
        last = data.index(b"IEND") - 4
        path.write_bytes(data[:start] + data[end:last] + data[start:end] + data[last:])
    assert read_image(path).shape[:2] == (64, 48)
    assert read_size(path) == (64, 48)
    path.write_bytes(data[:start] + data[end:])
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda _: pytest.fail("decoded"))
    assert read_size(path) == (48, 64)
