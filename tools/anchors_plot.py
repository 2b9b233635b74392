"""The picture of wordtree-anchors: average IoU over the number of priors, and the boxes' shapes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordtree import UserError

_DOTS = 5_000  # boxes in the scatter; more only make a black cloud


def write_plot(
    path: Path,
    sizes: NDArray[np.float64],
    rows: Sequence[dict[str, Any]],
    beside: Sequence[dict[str, Any]],
    chosen: dict[str, Any],
    *,
    image_size: int,
) -> None:
    """Left: average IoU of `rows` over k, as in YOLOv2's figure 2, and of `beside`. Right: sizes
    (n, 2) in pixels of the input, with the priors of `chosen`, one of the rows."""
    from matplotlib.figure import Figure  # half a second; no window system is asked for

    figure = Figure(figsize=(12, 5.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([r["k"] for r in rows], [r["average_iou"] for r in rows], "o-", label="k-means")
    for row, marker in zip(beside, "sD^vP*X", strict=False):
        left.plot(row["k"], row["average_iou"], marker, label=row["name"], markersize=8)
    left.set_xlabel("priors")
    left.set_ylabel("average IoU with the best prior")
    left.set_xticks(range(1, max(r["k"] for r in [*rows, *beside]) + 1))
    left.set_ylim(0, 1)
    left.grid(alpha=0.3)
    left.legend(fontsize=9, loc="lower right")

    shown = sizes
    if len(sizes) > _DOTS:
        shown = sizes[np.random.default_rng(0).choice(len(sizes), _DOTS, replace=False)]
    right.scatter(shown[:, 0], shown[:, 1], s=5, alpha=0.25, linewidths=0, label="boxes")
    for number, (width, height) in enumerate(chosen["anchors"]):
        label = f"{chosen['k']} priors" if number == 0 else None
        right.plot(width, height, "P", color="tab:red", markeredgecolor="white", ms=12, label=label)
        right.annotate(
            f"{width:g} x {height:g}",
            (width, height),
            xytext=(7, 6),
            textcoords="offset points",
            fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
        )
    for axis, what in ((right.xaxis, "width"), (right.yaxis, "height")):
        axis.set_label_text(f"{what}, pixels of an input of {image_size}")
    right.set_xscale("log", base=2)
    right.set_yscale("log", base=2)
    for axis in (right.xaxis, right.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    right.grid(alpha=0.3)
    right.set_aspect("equal", adjustable="datalim")
    right.legend(fontsize=9, loc="lower right")

    temporary = path.with_name(f".{path.name}")
    try:
        figure.savefig(temporary, format="png")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}; give another --out"
        ) from error
