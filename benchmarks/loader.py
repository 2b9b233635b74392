"""Decode and augment: our loader's images a second over Ultralytics' on the same JPEG files.

  python benchmarks/loader.py --peer-python PEER/bin/python
  python benchmarks/loader.py --peer-python PEER/bin/python --photos FOLDER

PEER is an environment of its own with `pip install ultralytics` in it: that package is under the
AGPL, so nothing of this project imports it. The photos are drawn (500 x 375, smooth ground, discs,
noise, quality 90) or copied from a folder; each gets three boxes. Both sides give training batches
of 16 at 416 x 416 with their default augmentation, decoding included, in child processes that are
asked for one round each in turn, on one core, with one OpenCV and one torch thread. Seconds are
the process's own (processor time), so that whoever else uses the core does not count. Printed are
the medians over the rounds, and the ratio within a round: its median and middle half. Exit code 1
where single photos are below the bar (performance.md).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from data.images import BrokenPhoto, read_size
from data.loader import Loader, Stream
from data.mixture import Grid, Mixture, Share
from data.sources.coco import CocoSource
from data.transforms import TrainTransform
from wordtree import WordTree

PROJECT = Path(__file__).resolve().parents[1]
BAR = 1.4
SIZE, BATCH = 416, 16
WARM_UP = 2
KEYS = ["disc", "square", "other"]
# Fresh pages are dear on a virtual machine, and dearer for whoever asks for more of them.
STEADY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 28),
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
SIDES = {
    "ours, single photos": ["ours", "1"],
    "ours, 2 x 2 mosaics": ["ours", "2"],
    "Ultralytics, mosaic off": ["peer", "0.0"],
    "Ultralytics, mosaic on": ["peer", "1.0"],
}
# What runs in the peer's environment: its own training data set, asked for one round a line.
PEER = """
import sys, time
import cv2, numpy as np, torch
from ultralytics.cfg import get_cfg
from ultralytics.data.dataset import YOLODataset

folder, mosaic, size, batch = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
cv2.setNumThreads(1)
torch.set_num_threads(1)
names = dict(enumerate(["disc", "square", "other"]))
photos = YOLODataset(
    img_path=folder + "/images", imgsz=size, batch_size=batch, augment=True, cache=False,
    hyp=get_cfg(overrides={"mosaic": mosaic, "imgsz": size}),
    data={"names": names, "nc": 3, "channels": 3}, task="detect",
)
print("ready", flush=True)
for line in sys.stdin:
    order = np.random.default_rng(int(line)).permutation(len(photos)).tolist()
    began = time.process_time()
    for at in range(0, len(order) - batch + 1, batch):
        made = photos.collate_fn([photos[i] for i in order[at : at + batch]])
        assert made["img"].shape == (batch, 3, size, size)
    print(time.process_time() - began, flush=True)
"""


def draw_photo(seed: int) -> np.ndarray:
    """A smooth ground, twelve discs and noise, uint8 (375, 500, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, 3), np.uint8)
    image = cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        centre = int(rng.integers(500)), int(rng.integers(375))
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        cv2.circle(image, centre, int(rng.integers(10, 80)), colour, -1, cv2.LINE_AA)
    return np.clip(image + rng.normal(0, 9, image.shape), 0, 255).astype(np.uint8)


def make_photos(folder: Path, photos: Path | None, count: int) -> int:
    """`folder/images`, `labels` (the peer's) and `boxes.json` (ours); how many photos stand there.

    Photos are copied: Ultralytics rewrites a JPEG that it finds damaged, in place.
    """
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    if photos is None:
        for number in range(count):
            path, quality = folder / f"images/{number:05d}.jpg", [cv2.IMWRITE_JPEG_QUALITY, 90]
            cv2.imwrite(str(path), draw_photo(number), quality)
    else:
        found = (p for p in sorted(photos.rglob("*")) if p.suffix.lower() in (".jpg", ".jpeg"))
        for number, path in enumerate(found):
            shutil.copyfile(path, folder / f"images/{number:05d}.jpg")
            if number + 1 == count:
                break
    images, boxes = [], []
    rng = np.random.default_rng(0)
    for path in sorted((folder / "images").iterdir()):
        try:
            height, width = read_size(path)
        except BrokenPhoto:
            path.unlink()
            continue
        images.append({"id": len(images), "file_name": path.name, "height": height, "width": width})
        lines = []
        for _ in range(3):
            side, low = rng.uniform(0.1, 0.4, 2), rng.uniform(0, 0.6, 2)
            kind = int(rng.integers(3))
            x, y = low + side / 2
            lines.append(f"{kind} {x:.6f} {y:.6f} {side[0]:.6f} {side[1]:.6f}")
            bbox = [low[0] * width, low[1] * height, side[0] * width, side[1] * height]
            known = {"id": len(boxes), "image_id": images[-1]["id"], "category_id": kind}
            boxes.append({**known, "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0})
        (folder / f"labels/{path.stem}.txt").write_text("\n".join(lines) + "\n")
    categories = [{"id": kind, "name": name} for kind, name in enumerate(KEYS)]
    coco = {"images": images, "annotations": boxes, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(coco))
    return len(images)


def serve(folder: Path, side: int) -> None:
    """Our side: a line asks for one round, its seconds are the answer."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    tree = WordTree(KEYS, [-1] * len(KEYS))
    source = CocoSource(folder / "boxes.json", folder / "images", tree=tree)
    rounds = len(source) // BATCH
    print("ready", flush=True)
    for line in sys.stdin:
        mixture = Mixture([Share(source)], grids=[Grid(side, side)], seed=int(line), deck=BATCH)
        stream = Stream(mixture, TrainTransform(), size=(SIZE, SIZE), stride=32)
        batches = iter(Loader(stream, batch_size=BATCH))
        began = time.process_time()
        for _ in range(rounds):
            assert next(batches).images.shape == (BATCH, 3, SIZE, SIZE)
        print(time.process_time() - began, flush=True)


class Side:
    """A child process that does a round when it is asked."""

    def __init__(self, folder: Path, kind: str, option: str, peer: Path) -> None:
        environment = {**os.environ, **STEADY}
        if kind == "ours":
            command = [sys.executable, str(Path(__file__)), "--serve", str(folder), option]
            environment["PYTHONPATH"] = str(PROJECT)
        else:
            command = [str(peer), "-c", PEER, str(folder), option, str(SIZE), str(BATCH)]
            environment.pop("PYTHONPATH", None)
            environment |= {"YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "true"}
        core = {min(os.sched_getaffinity(0))}
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, core),
        )
        while self._line() != "ready":
            pass

    def round(self, seed: int) -> float:
        """The processor's seconds of one round."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seed}\n")
        self.process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a child process ended with code {self.process.wait()}")
        return line.strip()


def spread(values: np.ndarray) -> str:
    """Median and middle half."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def measure(folder: Path, photos: int, peer: Path, rounds: int) -> bool:
    """All sides, round by round in shuffled order; whether the bar is held."""
    sides = {name: Side(folder, *arguments, peer) for name, arguments in SIDES.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    rng = np.random.default_rng(0)
    for number in range(-WARM_UP, rounds):
        for name in rng.permutation(list(sides)):
            took = sides[name].round(number + WARM_UP)
            if number >= 0:
                seconds[name].append(took)
    for side in sides.values():
        side.close()
    inputs = photos // BATCH * BATCH
    for name, taken in seconds.items():
        print(f"{name}: {inputs / np.median(taken):.0f} inputs a second")
    times = {name: np.array(taken) for name, taken in seconds.items()}
    single, mosaics, off, on = (times[name] for name in SIDES)
    print(f"single photos over Ultralytics, mosaic off: {spread(off / single)} (bar {BAR})")
    print(f"single photos over Ultralytics, mosaic on: {spread(on / single)}")
    # Theirs decodes one new photo a mosaic and takes three from memory; ours decodes all four.
    print(f"2 x 2 mosaics over Ultralytics' mosaics, inputs: {spread(on / mosaics)}")
    return bool(np.median(off / single) >= BAR)


def main() -> int:
    """Makes the photos and measures."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--peer-python", type=Path, help="python of the peer's environment")
    options.add_argument("--photos", type=Path, help="JPEG files of one's own")
    options.add_argument("--count", type=int, default=320, help="photos a round (320)")
    options.add_argument("--rounds", type=int, default=11, help="after two to warm up (11)")
    options.add_argument("--serve", nargs=2, metavar=("FOLDER", "SIDE"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        serve(Path(given.serve[0]), int(given.serve[1]))
        return 0
    if given.peer_python is None:
        options.error("--peer-python is needed: an environment with `pip install ultralytics`")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = make_photos(folder, given.photos, given.count)
        size = sum(path.stat().st_size for path in (folder / "images").iterdir()) / count / 1000
        print(f"{count} photos of {size:.0f} kB, {given.rounds} rounds", flush=True)
        good = measure(folder, count, given.peer_python, given.rounds)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
