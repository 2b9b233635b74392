"""Resume with another number of workers.

Runs with everything on that could depend on who makes a batch (mosaics of several grids, several
input sizes, two forwards a step, an averaged copy of the weights, photos that are broken) are
stopped at random moments and resumed with another number of loader processes each time; losses and
weights are those of a run that was never stopped. Once on drawn photos, once on photos from files.
"""

from __future__ import annotations

import json
import random
import signal
import tempfile
import time
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from benchmarks.faults.tiny_run import NETWORK, Job, assert_same_end, losses

STEPS = 60
STOPS = 8  # a run
WORKERS = (2, 0, 3, 1, 4)

ALL_ON = (
    *NETWORK,
    "image_size=64",
    "batch_size=4",
    "accumulate=2",
    "multiscale={sizes: [64, 96, 128], every: 2}",
    "ema=0.9",
    "log_every=1",
    "threads=1",
    "precision=float32",
    "evaluate_every=0",
    "max_broken=100000",
)
DRAWN = (
    "experiment=emoji",
    *ALL_ON,
    "data.validation.length=6",
    "mixture.jitter=0.6",
    "mixture.grids=[{rows: 1, columns: 1, kinds: [boxed], source: scenes}, "
    "{rows: 2, columns: 2, source: tiles}, {rows: 1, columns: 2, kinds: [boxed]}]",
)
PHOTOS = (
    "experiment=photos",
    *ALL_ON,
    "mixture.ratio=1.0",
    "mixture.grids=[{rows: 1, columns: 1}, {rows: 2, columns: 2, kinds: [boxed]}, "
    "{rows: 2, columns: 2, weight: 2}]",
    "data.train.boxes.annotations=boxes.json",
    "data.train.boxes.images=boxes",
    "data.train.labels.folder=labels",
    "data.validation.annotations=boxes.json",
    "data.validation.images=boxes",
)


def make_photos(folder: Path) -> None:
    """Boxed photos (`boxes`, `boxes.json`) and label-only ones (`labels`), some cut off."""
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for number in range(12):
        name, height, width = f"{number}.jpg", 80 + 8 * (number % 3), 96
        _write(folder / "boxes" / name, rng, height, width, cut=number == 5)
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for _ in range(3):
            left, top, *side = rng.integers(8, 40, 4).tolist()
            known = {"id": len(boxes), "image_id": number, "category_id": len(boxes) % 2}
            boxes.append({**known, "bbox": [left, top, *side], "area": 1, "iscrowd": 0})
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "bicycle"}]
    coco = {"images": images, "annotations": boxes, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(coco))
    for wnid in ("n02123045", "n02504458"):
        for number in range(5):
            _write(folder / "labels" / wnid / f"{number}.jpg", rng, 90, 70, cut=number == 3)


def _write(path: Path, rng: np.random.Generator, height: int, width: int, *, cut: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = rng.integers(0, 256, (5, 6, 3), np.uint8)
    data = cv2.imencode(".jpg", cv2.resize(coarse, (width, height)))[1].tobytes()
    path.write_bytes(data[: len(data) // 2] if cut else data)


def run(*, seconds: int) -> str:
    """Eight stops in each of the two runs; `seconds` does not matter."""
    del seconds
    stops = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_photos(folder)
        for kind, given in (("drawn", DRAWN), ("photos", (*PHOTOS, f"data_root={folder}"))):
            given = [*given, f"steps={STEPS}"]
            whole, hurt = folder / f"{kind}-whole", folder / f"{kind}-stopped"
            job = Job([*given, "workers=0", f"run_dir={whole}"], folder / "log")
            assert job.end(300) == 0, job.said()
            stops += _stop_and_go(given, hurt)
            assert_same_end(hurt, whole)
            assert len(losses(hurt)) == STEPS
            assert _broken(hurt) == _broken(whole), "the lists of broken photos differ"
    return (
        f"{stops} stops in 2 runs of {STEPS} steps, resumed with {', '.join(map(str, WORKERS))} "
        "workers in turn, mosaics, three input sizes, accumulation and averaging on: all losses "
        "and weights those of runs never stopped, to the bit"
    )


def _stop_and_go(given: list[str], folder: Path) -> int:
    rng, stops = random.Random(0), 0
    workers = cycle(WORKERS)
    arguments = [*given, f"run_dir={folder}"]
    while True:
        job = Job([*arguments, f"workers={next(workers)}"], folder.with_suffix(".log"))
        if stops < STOPS:
            job.wait_until(lambda job=job: not job.running or "\nstep " in job.said(), "first step")
            time.sleep(rng.uniform(0, 0.2))
            job.send(signal.SIGTERM)
        code = job.end(300)
        if code == 0:
            return stops
        assert code == 128 + signal.SIGTERM, job.said()
        stops += 1
        arguments = [f"resume={folder}"]


def _broken(folder: Path) -> list[list[str]]:
    return json.loads((folder / "weights/last/state.json").read_text())["broken"]
