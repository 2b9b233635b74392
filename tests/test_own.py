"""experiment=own: four lines to fill, one sentence where they are not, and runs on own files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detector.losses import PARTS
from tools.config import compose_config
from tools.config_parts import check_parts
from tools.run_folder import resumed_config
from tools.training_run import train
from wordtree import UserError

FOUR = (
    "data.train.boxes.annotations",
    "data.train.boxes.images",
    "data.train.boxes.label_map",
    "data.train.labels.folder",
)
TINY = [
    "experiment=own",
    "network=narrow",
    "+network.backbone_options={widths: [8, 8, 16, 16, 16], blocks: [0, 0, 0, 0, 0]}",
    "network.neck_width=16",
    "network.head.class_tower=16",
    "network.head.box_tower=8",
    *("image_size=64", "batch_size=4", "steps=2", "log_every=1", "threads=1", "workers=0"),
]
DOG, CAT = "n02084071", "n02121808"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's data: six photos with boxes (COCO, VOC and YOLO), four with labels (folder, CSV)."""
    rng = np.random.default_rng(0)
    for name in ("images", f"labelled/{DOG}", f"labelled/{CAT}", "xml", "labels"):
        (tmp_path / name).mkdir(parents=True)
    images, annotations = [], []
    for number in range(6):
        name = f"{number}.jpg"
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(
            tmp_path / "images" / name
        )
        images.append({"id": number, "file_name": name, "width": 64, "height": 48})
        box = [8, 6, 40, 30]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box})
        (tmp_path / f"xml/{number}.xml").write_text(
            f"<annotation><filename>{name}</filename><object><name>dog</name><bndbox><xmin>9</xmin>"
            "<ymin>7</ymin><xmax>48</xmax><ymax>36</ymax></bndbox></object></annotation>"
        )
        (tmp_path / f"labels/{number}.txt").write_text("0 .4375 .4375 .625 .625\n")
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    (tmp_path / "boxes.json").write_text(json.dumps(whole))
    (tmp_path / "map.yaml").write_text(f"dataset: own\nmap:\n  dog: {DOG}\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [dog]\n")
    rows = ["file,label"]
    for wnid in (DOG, CAT):
        for number in range(2):
            pixels = rng.integers(0, 255, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"labelled/{wnid}/{number}.png")
            rows.append(f"{wnid}/{number}.png,{wnid}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path


def filled(own: Path) -> list[str]:
    values = ("boxes.json", "images", str(own / "map.yaml"), "labelled")
    return [f"data_root={own}", *(f"{k}={v}" for k, v in zip(FOUR, values, strict=True))]


def losses(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["total"]]


def test_what_is_not_filled_in_is_named_in_one_sentence(own: Path) -> None:
    with pytest.raises(UserError) as caught:
        check_parts(compose_config(["experiment=own"]))
    message = str(caught.value)
    assert message.startswith(", ".join(FOUR) + " are not filled in yet; give ")
    assert "conf/data/own.yaml" in message
    with pytest.raises(UserError, match=r"^data\.train\.labels\.folder is not filled in yet"):
        check_parts(compose_config(["experiment=own", *filled(own)[:-1]]))


def test_the_parts_of_a_filled_config_are_checked_and_none_is_missing(own: Path) -> None:
    check_parts(compose_config([*TINY, *filled(own)]))
    check_parts(compose_config([*TINY, *filled(own)[:-1], "~data.train.labels"]))
    check_parts(compose_config([*TINY, *filled(own), "data.train.boxes.label_map=null"]))


def test_without_validation_photos_nothing_can_be_measured(own: Path) -> None:
    with pytest.raises(UserError, match=r"data\.validation=null leaves nothing .*evaluate_every=0"):
        check_parts(compose_config([*TINY, *filled(own), "evaluate_every=null"]))


def test_four_lines_train_and_the_log_says_that_nothing_is_measured(
    own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (own / f"labelled/{DOG}/notes.txt").write_text("x")
    folder = own / "run"
    assert train(compose_config([*TINY, *filled(own), f"run_dir={folder}"]), command="test") == 0
    said = capfd.readouterr().err
    assert "no validation photos: nothing will be measured" in said
    assert f"labels: 1 files that are no photos ({DOG}/notes.txt)" in said
    rows = losses(folder)
    assert len(rows) == 2
    for part in ("total", *PARTS):
        assert all(np.isfinite(float(row[part])) for row in rows)
        assert any(float(row[part]) > 0 for row in rows), part
    report = json.loads((folder / "report.json").read_text())
    assert report["ap50"]["all"] is None
    assert (folder / "gradcam0.jpg").is_file()


def test_a_run_does_not_go_on_with_other_photos_than_it_began_with(own: Path) -> None:
    folder, spare = own / "run", own / f"labelled/{CAT}/spare.png"
    assert train(compose_config([*TINY, *filled(own), f"run_dir={folder}"]), command="test") == 0
    spare.write_bytes((own / f"labelled/{CAT}/0.png").read_bytes())
    longer = resumed_config(folder, {"steps": 3, "extend": True})
    written = (folder / "config.yaml").read_bytes()
    with pytest.raises(UserError, match=rf"^labels had 4 photos .* 5 now.*init={folder}$"):
        train(longer, command="test")
    assert (folder / "config.yaml").read_bytes() == written
    spare.rename(spare.with_suffix(".txt"))
    away = own / f"labelled/{CAT}/0.png"
    away.rename(own / "0.png")
    with pytest.raises(UserError, match=r"^labels had 4 photos .* 3 now \(.*spare\.txt"):
        train(longer, command="test")
    (own / "0.png").rename(away)
    assert train(longer, command="test") == 0
    assert len(losses(folder)) == 3


def test_validation_photos_are_measured_and_other_formats_train(own: Path) -> None:
    others: dict[str, Any] = {
        "voc": {
            "type": "voc",
            "folder": str(own / "xml"),
            "images": str(own / "images"),
            "label_map": str(own / "map.yaml"),
        },
        "yolo": {"type": "yolo", "yaml": "data.yaml", "label_map": str(own / "map.yaml")},
        "table": {"type": "table", "table": "labels.csv", "images": "labelled"},
    }
    config = compose_config([*TINY, *filled(own), f"run_dir={own / 'run'}", "steps=1"])
    config["data"]["train"] = others
    config["data"]["validation"] = others["yolo"]
    config["evaluate_every"] = None
    check_parts(config)
    assert train(config, command="test") == 0
    report = json.loads((own / "run/report.json").read_text())
    assert report["evaluated"] == [DOG]
    assert report["ap50"]["all"] is not None
