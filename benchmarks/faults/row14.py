"""Boxes that are hurt: not finite, swapped, outside, without area, in fractions or in pixels.

Boxes of every fault are written as COCO, VOC, YOLO and CSV and read back; what comes out must be
what the rules of data/boxes.py say, computed here box by box in plain Python.
"""

from __future__ import annotations

import json
import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.faults.refusal import refusal

WIDTH, HEIGHT = 200, 100
EACH = 500
Box = tuple[float, float, float, float]


def hurt_boxes(rng: random.Random) -> dict[str, Callable[[], Box]]:
    """A maker of xyxy boxes for each fault, none so near to a rule that rounding decides."""

    def inside(low: float = 3.0) -> Box:
        x, y = rng.uniform(0, WIDTH - 60), rng.uniform(0, HEIGHT - 50)
        return x, y, x + rng.uniform(low, 60), y + rng.uniform(low, 50)

    def broken(value: float) -> Box:
        box = list(inside())
        box[rng.randrange(4)] = value
        return box[0], box[1], box[2], box[3]

    def swapped() -> Box:
        x1, y1, x2, y2 = inside()
        return rng.choice([(x2, y1, x1, y2), (x1, y2, x2, y1), (x2, y2, x1, y1)])

    def moved(x: float, y: float) -> Box:
        x1, y1, x2, y2 = inside()
        return x1 + x, y1 + y, x2 + x, y2 + y

    def corner() -> Box:
        # a tenth of 2 % of it lies inside
        return -90.0, -40.0, rng.uniform(1.5, 5), rng.uniform(1.5, 5)

    def flat(side: float) -> Box:
        x1, y1, _, y2 = inside()
        return x1, y1, x1 + side, y2

    return {
        "good": inside,
        "NaN": lambda: broken(math.nan),
        "infinite": lambda: broken(math.inf),
        "1e9": lambda: (0.0, 0.0, 1e9, 1e9),
        "1e300": lambda: broken(1e300),
        "swapped": swapped,
        "wholly outside": lambda: moved(rng.choice([-1, 1]) * 400.0, 0.0),
        "mostly outside": corner,
        "negative": lambda: (-20.0, rng.uniform(0, 20), rng.uniform(30, 90), rng.uniform(30, 90)),
        "past the edge": lambda: (150.0, 10.0, rng.uniform(210, 250), rng.uniform(30, 90)),
        "no area": lambda: flat(0.0),
        "under a pixel": lambda: flat(rng.uniform(0.01, 0.9)),
    }


def by_the_rules(box: Box) -> tuple[Box | None, str]:
    """What must become of a box, and the rule that says so; nothing for a good one."""
    if not all(math.isfinite(value) for value in box):
        return None, "not finite: dropped"
    x1, x2, y1, y2 = *sorted((box[0], box[2])), *sorted((box[1], box[3]))
    cut = max(x1, 0.0), max(y1, 0.0), min(x2, float(WIDTH)), min(y2, float(HEIGHT))
    width, height = max(cut[2] - cut[0], 0.0), max(cut[3] - cut[1], 0.0)
    if width * height < 0.1 * (x2 - x1) * (y2 - y1):
        return None, "mostly or wholly outside the photo: dropped"
    if min(width, height) < 1:
        return None, "under one pixel: dropped"
    if cut != (x1, y1, x2, y2):
        return cut, "partly outside the photo: clipped"
    return cut, "" if (x1, y1) == box[:2] else "swapped corners: set right"


def write_coco(folder: Path, boxes: list[Box]) -> dict[str, Any]:
    annotations = [
        {"id": at, "image_id": 1, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for at, (x1, y1, x2, y2) in enumerate(boxes)
    ]
    image = {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}
    whole = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
    (folder / "boxes.json").write_text(json.dumps(whole))
    return {"type": "coco", "annotations": "boxes.json", "images": "."}


def write_voc(folder: Path, boxes: list[Box]) -> dict[str, Any]:
    entries = []
    for x1, y1, x2, y2 in boxes:
        # The first corner's pixel counts from 1, whichever of the two is called the first.
        xmin, xmax = (x1 + 1, x2) if not x1 > x2 else (x1, x2 + 1)
        ymin, ymax = (y1 + 1, y2) if not y1 > y2 else (y1, y2 + 1)
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (xmin, ymin, xmax, ymax), strict=True)
        inner = "".join(f"<{name}>{value!r}</{name}>" for name, value in corners)
        entries.append(f"<object><name>a</name><bndbox>{inner}</bndbox></object>")
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    text = f"<annotation><filename>a.png</filename>{size}{''.join(entries)}</annotation>"
    (folder / "a.xml").write_text(text)
    return {"type": "voc", "folder": "."}


def write_yolo(folder: Path, boxes: list[Box]) -> dict[str, Any]:
    lines = []
    for x1, y1, x2, y2 in boxes:
        middle = (x1 / 2 + x2 / 2) / WIDTH, (y1 / 2 + y2 / 2) / HEIGHT
        numbers = (*middle, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
        lines.append(" ".join(["0", *map(repr, numbers)]))
    (folder / "a.txt").write_text("\n".join(lines))
    (folder / "data.yaml").write_text("train: .\nnames: [a]\n")
    return {"type": "yolo", "yaml": "data.yaml"}


def write_table(folder: Path, boxes: list[Box]) -> dict[str, Any]:
    rows = ["file,label,x1,y1,x2,y2", *(",".join(["a.png", "a", *map(repr, b)]) for b in boxes)]
    (folder / "boxes.csv").write_text("\n".join(rows))
    return {"type": "table", "table": "boxes.csv", "images": "."}


def read_back(folder: Path, write: Callable[[Path, list[Box]], dict[str, Any]], boxes: list[Box],
              *, sized: bool) -> Counter[str]:  # fmt: skip
    """Writes boxes and reads them; checks what comes out and what was counted, by the rules.

    sized: the format states the photo's size, so that all is counted before a photo is read.
    """
    from data.sources.catalogue import open_sources
    from wordtree import WordTree

    options = write(folder, boxes)
    source: Any = open_sources({"it": options}, WordTree(["a"], [-1]), root=folder)["it"]
    expected = [(box, *by_the_rules(box)) for box in boxes]
    counted = Counter(rule for _, _, rule in expected if rule)
    found = source.read(0).boxes.tolist()
    kept = [(given, box) for given, box, _ in expected if box is not None]
    name = options["type"]
    assert len(found) == len(kept), f"{name}: {len(found)} boxes, by the rules {len(kept)}"
    for (given, box), other in zip(kept, found, strict=True):
        near = all(abs(a - b) < 0.01 for a, b in zip(box, other, strict=True))
        assert near, f"{name}: {given} became {other}, by the rules {box}"
    if sized:
        said = {kind.removeprefix("boxes "): n for kind, n in source.problems.counts.items()}
        assert said == counted, f"{name} counted {said}, by the rules {dict(counted)}"
    return counted


def refuse_units(folder: Path) -> int:
    """Fractions where a format has pixels, and the other way round, are refused by name."""
    from data.sources.catalogue import open_sources
    from wordtree import WordTree

    pixels: list[Box] = [(10, 10, 50, 50), (20, 20, 90, 90)]
    fractions: list[Box] = [(0.1, 0.1, 0.5, 0.4), (0.25, 0.2, 0.5, 0.45)]
    cases: list[tuple[Callable[[Path, list[Box]], dict[str, Any]], list[Box]]] = [
        (write_coco, fractions),
        (write_table, fractions),
        (write_voc, [(x1 - 1, y1 - 1, x2, y2) for x1, y1, x2, y2 in fractions]),
        (write_yolo, [(x1 * WIDTH, y1 * HEIGHT, x2 * WIDTH, y2 * HEIGHT)
                      for x1, y1, x2, y2 in pixels]),
    ]  # fmt: skip
    for write, boxes in cases:
        options = write(folder, boxes)
        said = refusal(
            partial(open_sources, {"it": options}, WordTree(["a"], [-1]), root=folder),
            fault=f"{options['type']} in the wrong unit",
        )
        assert "fractions" in said, said
    return len(cases)


def run(*, seconds: int) -> str:
    """The row; its length is fixed."""
    del seconds
    rng = random.Random(0)
    makers = hurt_boxes(rng)
    boxes = [(kind, make()) for kind, make in makers.items() for _ in range(EACH)]
    rng.shuffle(boxes)
    tried = 0
    counted: Counter[str] = Counter()
    formats = ((write_coco, True), (write_voc, True), (write_yolo, False), (write_table, False))
    with tempfile.TemporaryDirectory() as place:
        for number, (write, sized) in enumerate(formats):
            folder = Path(place) / str(number)
            folder.mkdir()
            Image.new("RGB", (WIDTH, HEIGHT), "teal").save(folder / "a.png")
            # Corners that are both included cannot say less than a pixel.
            left_out = ("no area", "under a pixel") if write is write_voc else ()
            given = [box for kind, box in boxes if kind not in left_out]
            counted += read_back(folder, write, given, sized=sized)
            tried += len(given)
        units = refuse_units(folder)
    rules = ", ".join(f"{count} {rule}" for rule, count in sorted(counted.items()))
    return (
        f"{tried:,} boxes of {len(makers)} kinds in {len(formats)} formats, each "
        f"as the rules say ({rules}); {units} files in the wrong unit refused"
    )


if __name__ == "__main__":
    print(run(seconds=0))
