"""report.json, report.md and pr_curve.png."""

from __future__ import annotations

import json
import math
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from detector.evaluation import report as report_module
from detector.evaluation.ap import RECALLS, AveragePrecision
from detector.evaluation.hierarchy import BackOff
from detector.evaluation.plots import plot_pr_curve
from detector.evaluation.report import (
    report_dict,
    versions,
    write_report_json,
    write_report_md,
)
from detector.evaluation.revision import revision
from wordtree import WordTree


def chain_of(count, name="name {}"):
    return WordTree(
        [f"k{i}" for i in range(count)], [-1] * count, [name.format(i) for i in range(count)]
    )


def figures(count=4, boxed=2):
    steps = np.arange(1, count + 1) / count
    return AveragePrecision(
        nodes=np.arange(count),
        truths=np.full(count, 3),
        boxed=np.arange(count) < boxed,
        ap=steps / 2,
        ap50=steps,
        plain_ap=steps / 4,
        plain_ap50=steps / 8,
        precision=steps[:, None] * (1 - RECALLS),
        photos=9,
        detections=77,
        left_out={"node without a truth": 5, "score below 0.001": 0},
    )


LABELS = BackOff(
    detections=10,
    truths=12,
    matched=8,
    correct=6,
    exact=4,
    depth_sum=20,
    depth_sum_correct=12,
    depth_sum_truth=24,
)
RUN = {
    "images_per_second": 41.5,
    "seconds": 100.0,
    "steps": 1200,
    "parameters": 1_000_000,
    "seeds": {"train": 0, "evaluation": 1},
    "package_versions": {"torch": "2"},
}


def write_md(path, tree, ap, **changes):
    report = report_dict(tree=tree, ap=ap, back_off=LABELS if ap else None, **RUN)
    options = {
        "title": "emoji",
        "command": "python train.py experiment=emoji",
        "settings": {"steps": 1200},
    }
    write_report_md(
        path, report, tree=tree, ap=ap, back_off=LABELS if ap else None, **{**options, **changes}
    )
    return path.read_text()


def test_report_json_has_exactly_the_keys_of_the_contract(tmp_path):
    tree = chain_of(4)
    report = report_dict(tree=tree, ap=figures(), back_off=LABELS, **RUN)
    write_report_json(tmp_path / "report.json", report)
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "ap50": {"all": 0.625, "boxed": 0.375, "label_only": 0.875},
        "ap": {"all": 0.3125, "boxed": 0.1875, "label_only": 0.4375},
        "plain": {"all": 0.078125, "boxed": 0.046875, "label_only": 0.109375},
        "depth": {"mean": 2.5},
        "backoff": {"correct": 0.75},
        "evaluated": ["k0", "k1", "k2", "k3"],
        "images_per_second": 41.5,
        "seconds": 100.0,
        "steps": 1200,
        "parameters": 1_000_000,
        "tree_hash": tree.hash,
        "seeds": {"train": 0, "evaluation": 1},
        "versions": {"torch": "2"},
    }


def test_an_absent_half_is_null_in_report_json():
    report = report_dict(tree=chain_of(4), ap=figures(boxed=4), back_off=LABELS, **RUN)
    for key in ("ap50", "ap", "plain"):
        assert report[key]["label_only"] is None
        assert report[key]["boxed"] == report[key]["all"]


def test_a_run_without_evaluation_has_the_same_keys_and_nulls():
    tree = chain_of(4)
    bare = report_dict(tree=tree, ap=None, back_off=None, **RUN)
    assert list(bare) == list(report_dict(tree=tree, ap=figures(), back_off=LABELS, **RUN))
    assert bare["ap50"] == {"all": None, "boxed": None, "label_only": None}
    assert (bare["depth"], bare["backoff"]) == ({"mean": None}, {"correct": None})
    assert bare["evaluated"] == []


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.json"
    write_report_json(path, {"seconds": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        write_report_json(path, {"seconds": math.nan})
    assert json.loads(path.read_text()) == {"seconds": 1.0}
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_versions_name_what_is_installed():
    found = versions()
    assert found["numpy"] == np.__version__
    assert "python" in found
    assert all(found.values())


def test_report_md_shows_the_headline_and_the_meaning(tmp_path):
    text = write_md(tmp_path / "report.md", chain_of(4), figures())
    assert "| AP50 | 0.625 | 0.375 | 0.875 |" in text
    assert "| AP | 0.312 | 0.188 | 0.438 |" in text
    assert "a truth counts for its node and for the node's ancestors" in text
    assert "9 photos" in text
    assert "left out: 5 node without a truth" in text
    assert "score below" not in text
    assert "75.0 %" in text
    assert "    python train.py experiment=emoji" in text
    assert "| steps | 1200 |" in text


def test_report_md_lists_the_ten_best_and_the_ten_worst_nodes(tmp_path):
    text = write_md(tmp_path / "report.md", chain_of(30), figures(30))
    best, worst = text.split("## The best 10 nodes")[1].split("## The worst 10 nodes")
    listed = [line.split(" | ")[1] for line in best.splitlines() if line.startswith("| name")]
    assert listed == [f"k{i}" for i in range(29, 19, -1)]
    worst = worst.split("##")[0]
    listed = [line.split(" | ")[1] for line in worst.splitlines() if line.startswith("| name")]
    assert listed == [f"k{i}" for i in range(10)]


def test_report_md_lists_each_of_few_nodes_once(tmp_path):
    text = write_md(tmp_path / "report.md", chain_of(4), figures())
    assert [text.count(f"| k{i} |") for i in range(4)] == [1, 1, 1, 1]


def test_report_md_links_the_pictures_that_exist_in_order(tmp_path):
    for name in ("val_batch10.jpg", "val_batch2.jpg", "pr_curve.png", "gradcam0.jpg", "x.jpg"):
        (tmp_path / name).write_bytes(b"")
    text = write_md(tmp_path / "report.md", chain_of(4), figures())
    linked = [line for line in text.splitlines() if line.startswith("![")]
    assert linked == [
        f"![{name}]({name})"
        for name in ("val_batch2.jpg", "val_batch10.jpg", "pr_curve.png", "gradcam0.jpg")
    ]


def test_report_md_without_pictures_or_evaluation_says_so(tmp_path):
    text = write_md(tmp_path / "report.md", chain_of(4), None)
    assert "Nothing was evaluated." in text
    assert "## Pictures" not in text


def test_report_md_counts_broken_photos_beyond_ten(tmp_path):
    broken = [(f"p{i}.jpg", "cut off") for i in range(13)]
    text = write_md(tmp_path / "report.md", chain_of(4), figures(), broken=broken)
    assert "13 skipped, the first 10 of them:" in text
    assert "| p9.jpg | cut off |" in text
    assert "p10.jpg" not in text
    assert "3 more are not named here; those met in training are in" in text


def test_names_are_shown_as_text_on_one_line_of_a_table(tmp_path):
    tree = chain_of(4, name="<script>|`{}`\n**&**")
    text = write_md(tmp_path / "report.md", tree, figures())
    assert "| &lt;script&gt;\\|\\`0\\` \\*\\*&amp;\\*\\* | k0 |" in text
    assert "<script>" not in text


def test_pr_curve_is_a_picture_and_the_same_each_time(tmp_path):
    plot_pr_curve(tmp_path / "a.png", figures())
    plot_pr_curve(tmp_path / "b.png", figures())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (pixels == colour).all(1).sum() > 200, "the curve of each half"


@pytest.mark.parametrize(("count", "boxed"), [(4, 4), (4, 0), (0, 0)])
def test_pr_curve_of_halves_without_nodes_is_drawn_without_them(tmp_path, count, boxed):
    plot_pr_curve(tmp_path / "pr_curve.png", figures(count, boxed))
    pixels = np.asarray(Image.open(tmp_path / "pr_curve.png").convert("RGB")).reshape(-1, 3)
    shown = [(pixels == c).all(1).any() for c in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00))]
    assert shown == [boxed > 0, count > boxed]


def test_report_md_says_what_the_run_was_made_of(tmp_path):
    sources = [
        {"name": "boxes", "kind": "boxed", "photos": 1234, "type": "coco", "images": "a|b/val"},
        {"name": "labels", "kind": "label_only", "photos": 5, "type": "image_folder"},
    ]
    text = write_md(
        tmp_path / "report.md",
        chain_of(4),
        None,
        sources=sources,
        mixture="boxes: 1 an input\n# no heading",
    )
    assert "| boxes | boxed | 1,234 | type coco, images a\\|b/val |" in text
    assert "| labels | label\\_only | 5 | type image\\_folder |" in text
    assert "    boxes: 1 an input\n    # no heading\n" in text
    assert "| seeds | train 0, evaluation 1 |" in text
    assert "| git revision | not a git checkout |" in text


def test_the_revision_stands_among_the_versions_and_in_report_md(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "revision", lambda: "0123456789ab-dirty")
    assert versions()["revision"] == "0123456789ab-dirty"
    monkeypatch.setitem(RUN, "package_versions", versions())
    text = write_md(tmp_path / "report.md", chain_of(4), None)
    assert "| git revision | 0123456789ab-dirty |" in text
    monkeypatch.setattr(report_module, "revision", lambda: None)
    assert "revision" not in versions()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_revision_is_the_checkouts_own(tmp_path, monkeypatch):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *who, "-C", tmp_path, *words], check=True, capture_output=True, text=True
        )
        revision.cache_clear()
        return done.stdout.strip()

    assert revision(tmp_path) is None
    git("init", "-q")
    assert revision(tmp_path) is None, "nothing is committed"
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "inside").mkdir()
    git("add", ".")
    git("commit", "-q", "-m", "a")
    commit = git("rev-parse", "HEAD")[:12]
    assert revision(tmp_path) == commit
    assert revision(tmp_path / "inside") is None, "installed inside of another checkout"
    (tmp_path / "new.py").write_text("1")
    revision.cache_clear()
    assert revision(tmp_path) == commit, "a file that git does not know is no change"
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    (tmp_path / "a.py").write_text("2")
    revision.cache_clear()
    assert revision(tmp_path) == commit + "-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    revision.cache_clear()
    assert revision(tmp_path) is None, "no git"
    revision.cache_clear()
