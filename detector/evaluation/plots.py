"""pr_curve.png: mean precision over recall, of nodes that had boxes and of those that had none."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detector.evaluation.ap import RECALLS, AveragePrecision
from detector.evaluation.files import write_whole

CURVES = {  # Okabe and Ito's blue and vermillion, told apart by the colour-blind
    "boxed": ("nodes with boxes in training", "#0072b2"),
    "label_only": ("nodes that never had a box", "#d55e00"),
}


def plot_pr_curve(path: str | Path, result: AveragePrecision) -> None:
    """Draws the mean over each half's nodes of the precision at IoU .5, at COCO's 101 recalls.

    The area below a curve is that half's AP50; the legend says AP50 and AP. A half without nodes
    has no curve.
    """
    figure = Figure(figsize=(6.4, 4.8), dpi=120, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    ap50, ap = result.means("ap50"), result.means("ap")
    for half, (text, colour) in CURVES.items():
        nodes = result.half(half)
        if nodes.any():
            label = f"{int(nodes.sum())} {text}: AP50 {ap50[half]:.3f}, AP {ap[half]:.3f}"
            curve = result.precision[nodes].mean(0)
            axes.plot(RECALLS, curve, color=colour, linewidth=2, label=label)
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.02),
        xlabel="recall",
        ylabel="precision, mean over nodes",
        title=f"Precision and recall at IoU 0.5 on {result.photos} photos",
    )
    axes.grid(color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(result.nodes):
        # Below the axes, where no curve can pass.
        figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    else:
        axes.text(0.5, 0.5, "no truth to compare with", ha="center", color="#777777")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    write_whole(path, picture.getvalue())
