"""Image folders that are hurt: strange classes, no photos, other files, names of every kind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image

from benchmarks.faults.refusal import refusal

DOG, CAT = "n02084071", "n02121808"
NAMES = ("a b.jpg", 'it\'s "quoted".jpg', "照片.jpg", "x" * 246 + ".jpg", "a.jpg", "A.JPG", "é.jpg",
         "-rf.jpg", "new\nline.jpg", "<b>&amp;.jpg", "$(true).jpg", "a.tar.jpg", " .jpg",
         os.fsdecode(b"bad\xff.jpg"))  # fmt: skip


def _photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), "teal").save(path)


def _text(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no photo")


def _none(folder: Path) -> None:
    del folder


# What must be refused: how the folder is made, and a word of the sentence that must come.
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing in it": (_none, "holds no photo"),
    "one empty class": (lambda f: (f / DOG).mkdir(), "holds no photo"),
    "no photo at all": (lambda f: _text(f / DOG / "a.txt"), "files that are no photos"),
    "photos without classes": (lambda f: _photo(f / "a.jpg"), "outside of a class folder"),
    "a class that is no wnid": (lambda f: _photo(f / "dogs/a.jpg"), "'dogs'"),
    "a class in capitals": (lambda f: _photo(f / DOG.upper() / "a.jpg"), f"nearest: '{DOG}'"),
    "a class of another tree": (lambda f: _photo(f / "n00000001/a.jpg"), "'n00000001'"),
}
# What must be counted and left out, and how it is called.
COUNTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "an empty class": (lambda f: (f / CAT).mkdir(), "class folders without a photo"),
    "other files": (lambda f: _text(f / DOG / "a.txt"), "files that are no photos"),
    "a file beside the classes": (lambda f: _text(f / "a.csv"), "files outside of a class folder"),
    "a link in a circle": (
        lambda f: (f / DOG / "up").symlink_to(f),
        "links to folders inside a class (not followed)",
    ),
}


def run(*, seconds: int) -> str:
    """The row; its length is fixed."""
    from data.images import BrokenPhoto
    from data.sources.image_folder import ImageFolderSource
    from wordtree import WordTree

    del seconds
    tree = WordTree(["n00015388", CAT, DOG], [-1, 0, 0])
    with tempfile.TemporaryDirectory() as place:
        folders = (Path(place) / str(number) for number in range(1000))
        for fault, (make, words) in REFUSED.items():
            folder = next(folders)
            folder.mkdir()
            make(folder)
            opened = partial(ImageFolderSource, folder, kind="label_only", tree=tree)
            said = refusal(opened, fault=fault)
            assert words in said, f"{fault}: {said}"
            assert str(folder) in said, f"{fault}: {said}"
        for fault, (make, words) in COUNTED.items():
            folder = next(folders)
            _photo(folder / DOG / "good.jpg")
            make(folder)
            source = ImageFolderSource(folder, kind="label_only", tree=tree)
            assert len(source) == 1, f"{fault}: {len(source)} photos"
            assert source.problems.counts == {words: 1}, f"{fault}: {source.problems}"

        folder = next(folders)
        for name in NAMES:
            _photo(folder / DOG / name)
        _text(folder / DOG / "text.jpg")
        (folder / DOG / "dangling.jpg").symlink_to("nowhere")
        source = ImageFolderSource(folder, kind="label_only", tree=tree)
        read, broken = set(), 0
        for index in range(len(source)):
            try:
                assert source.read(index).labels.tolist() == [2]
                read.add(os.path.basename(source.path(index)))
            except BrokenPhoto:
                broken += 1
        assert read == set(NAMES), f"not read: {set(NAMES) ^ read}"
        assert broken == 2, f"{broken} photos are broken, where 2 were made so"
    return (
        f"{len(REFUSED)} folders refused, {len(COUNTED)} faults counted and left out, photos of "
        f"{len(NAMES)} strange names read, {broken} that are none skipped"
    )


if __name__ == "__main__":
    print(run(seconds=0))
