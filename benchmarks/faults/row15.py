"""COCO files that are hurt, cut or two GB large.

The large file lies in a temporary folder while it is read, by a process of its own whose memory is
measured. The suite reads a small one in the same way (tests/data/test_coco.py).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.faults.refusal import refusal

SIZE = 2_000_000_000
IMAGES, ON_DISK = 400_000, 1_000
# What reading may add to the process. The file's text alone would add 2 GB, its dicts some 20.
MOST_MB = 700

READ = """
import resource, sys
from data.sources.coco import CocoSource
from wordtree import WordTree

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

before = peak()
source = CocoSource(sys.argv[1], sys.argv[2], tree=WordTree(["a", "b"], [-1, -1]))
boxes = sum(len(source.truth(index)[0]) for index in range(len(source)))
print(before, peak(), len(source), boxes, source.problems.counts["images not on disk"])
"""


def write_large(path: Path, size: int = SIZE) -> int:
    """Writes a COCO file of at least so many bytes and returns its annotations: polygons, as in
    COCO's own files, and after them the images."""
    polygon = ",".join(f"{number * 1.37:.2f}" for number in range(80))
    count = 0
    with path.open("w") as file:
        file.write('{"info":{"year":2017},"categories":[{"id":1,"name":"a"},{"id":7,"name":"b"}],')
        file.write('"annotations":[')
        while file.tell() < size - IMAGES * 70:
            for _ in range(10_000):
                file.write(
                    f'{"," if count else ""}{{"id":{count},"image_id":{count % IMAGES},'
                    f'"category_id":{7 if count % 3 else 1},"bbox":[{count % 300},{count % 200},'
                    f'20.5,30],"area":615,"iscrowd":0,"segmentation":[[{polygon}]]}}'
                )
                count += 1
        file.write('],"images":[')
        for number in range(IMAGES):
            file.write(
                f'{"," if number else ""}{{"id":{number},"file_name":"{number:012}.jpg",'
                '"width":640,"height":480}'
            )
        file.write("]}")
    return count


def read_large(folder: Path) -> str:
    """Writes the file, reads it in a process of its own, and says what that took."""
    file, photos = folder / "large.json", folder / "photos"
    photos.mkdir()
    annotations = write_large(file)
    for number in range(ON_DISK):
        (photos / f"{number:012}.jpg").touch()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", READ, str(file), str(photos)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    before, peak, kept, boxes, absent = map(int, done.stdout.split())
    assert (kept, absent) == (ON_DISK, IMAGES - ON_DISK), done.stdout
    expected = sum(len(range(number, annotations, IMAGES)) for number in range(ON_DISK))
    assert boxes == expected, f"{boxes} boxes, where the file has {expected}"
    assert peak - before < MOST_MB, f"reading took {peak - before} MB more, above {MOST_MB}"
    return (
        f"{file.stat().st_size / 1e9:.2f} GB with {annotations:,} annotations read in "
        f"{time.monotonic() - began:.0f} s, peak {peak:,} MB of which {before:,} were there before"
    )


def _whole() -> dict:
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20]}],
        "categories": [{"id": 1, "name": "a"}],
    }


def hurt_files() -> dict[str, str]:
    """Files that must be refused, by what is wrong with them."""
    whole = json.dumps(_whole())
    found = {
        "empty": "",
        "not JSON": "photos and boxes",
        "a list": "[1, 2]",
        "a list for a text": whole.replace('"images"', '"images": 1, "image"'),
        "no images": json.dumps({**_whole(), "images": []}),
        "no such image on disk": whole.replace("a.jpg", "b.jpg"),
        "image id twice": json.dumps({**_whole(), "images": _whole()["images"] * 2}),
        "category id twice": json.dumps({**_whole(), "categories": _whole()["categories"] * 2}),
        "category without a node": whole.replace('"name": "a"', '"name": "zebra"'),
        "fractions": whole.replace("[5, 5, 20, 20]", "[0.1, 0.1, 0.5, 0.5]"),
        "no box that can be used": whole.replace("[5, 5, 20, 20]", "[NaN, 5, 20, 20]"),
    }
    for key in ("images", "annotations", "categories"):
        found[f"no {key}"] = json.dumps({k: v for k, v in _whole().items() if k != key})
    for cut in range(1, len(whole)):
        found[f"cut after {cut} characters"] = whole[:cut]
    return found


def refuse_hurt(folder: Path) -> str:
    """Reads every hurt file: each must end in one sentence that names it."""
    from data.sources.coco import CocoSource
    from wordtree import WordTree

    tree, photos = WordTree(["a", "b"], [-1, -1]), folder / "few"
    photos.mkdir()
    (photos / "a.jpg").touch()
    file = folder / "hurt.json"
    file.write_text(json.dumps(_whole()))
    assert len(CocoSource(file, photos, tree=tree)) == 1, "the whole file is refused"
    for fault, text in hurt_files().items():
        file.write_text(text)
        said = refusal(partial(CocoSource, file, photos, tree=tree), fault=fault)
        assert "hurt.json" in said, f"{fault}: {said}"
    return f"{len(hurt_files())} hurt files refused by name"


def run(*, seconds: int) -> str:
    """The row; its length is fixed."""
    del seconds
    with tempfile.TemporaryDirectory() as folder:
        counted = refuse_hurt(Path(folder))
        if shutil.disk_usage(folder).free < 2 * SIZE:
            return f"skipped: {counted}; the large file needs {2 * SIZE / 1e9:.0f} GB in {folder}"
        return f"{counted}; {read_large(Path(folder))}"


if __name__ == "__main__":
    print(run(seconds=0))
