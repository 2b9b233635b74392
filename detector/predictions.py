"""What a forward pass gives: objectness and a box for every row, class logits on demand.

A row is one anchor at one cell of one image. Rows are numbered in the order (B, A, H, W), so that
`objectness.view(B, -1)` holds an image's rows without a copy. At 9,418 nodes the class logits are
99.9 % of what a dense head computes and nobody reads most of them; so they are computed only for
the rows, and the nodes, that somebody asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from wordtree.probability.classifiers import Classifier

# Rows x columns of one block of `pair_log_probability`: 16 MB of float32.
BLOCK = 4_000_000


@dataclass(frozen=True)
class Predictions:
    """The network's answer for a batch.

    objectness: (R,) logits of P(physical object).
    boxes: (R, 4) xyxy in pixels of the network's input, with gradient; offsets: (R, 4) the raw
        t_x t_y t_w t_h that they were decoded from (YOLOv2, section 2).
    anchors: (A, 2) widths and heights in pixels of the input; stride: pixels a cell;
    centre_range: cells of width in which a box's centre may lie; shape: (B, A, H, W).
    class_features: (B, C, H, W), what the class weights read; class_weight and class_bias: one
        (N, C) and (N,) an anchor, or a single pair that all anchors share.
    classifier: turns class logits into probabilities.
    """

    objectness: Tensor
    boxes: Tensor
    offsets: Tensor
    anchors: Tensor
    stride: int
    centre_range: float
    shape: tuple[int, int, int, int]
    class_features: Tensor
    class_weight: Sequence[Tensor]
    class_bias: Sequence[Tensor]
    classifier: Classifier

    def __len__(self) -> int:
        return len(self.objectness)

    def locate(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rows (R,) -> their image, anchor, y and x, each int64 (R,)."""
        _, anchors, height, width = self.shape
        x = rows % width
        y = rows // width % height
        anchor = rows // (width * height) % anchors
        return rows // (width * height * anchors), anchor, y, x

    def row(self, image: Tensor, anchor: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """The inverse of `locate`."""
        _, anchors, height, width = self.shape
        return ((image * anchors + anchor) * height + y) * width + x

    def class_logits(self, rows: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Raw class logits (len(rows), len(nodes)) of the given rows, in the tree's order.

        One matrix product for every set of weights (performance: gathering rows of weights for
        each row costs far more than sorting rows by anchor). With `nodes`, only these columns.
        """
        image, anchor, y, x = self.locate(rows)
        _, _, height, width = self.shape
        cells = self.class_features.permute(0, 2, 3, 1).flatten(0, 2)
        features = cells[(image * height + y) * width + x]

        def logits(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            if nodes is None:
                return F.linear(features, weight, bias)
            return F.linear(features, weight[nodes], bias[nodes])

        if len(self.class_weight) == 1:
            return logits(features, self.class_weight[0], self.class_bias[0])
        order = torch.argsort(anchor, stable=True)
        counts = torch.bincount(anchor, minlength=self.shape[1]).tolist()
        parts = [
            logits(part, weight, bias)
            for part, weight, bias in zip(
                features[order].split(counts), self.class_weight, self.class_bias, strict=True
            )
        ]
        return torch.cat(parts)[torch.argsort(order)]

    def pair_log_probability(self, rows: Tensor, nodes: Tensor) -> Tensor:
        """log P(node | object) of each pair (rows[i], nodes[i]), float32 (len(rows),).

        Pairs are taken node by node in blocks, each with the columns of its own nodes' paths, so
        that the product of all rows and all paths is never formed.
        """
        if len(rows) == 0:
            return self.objectness.new_zeros(0, dtype=torch.float32)
        order = torch.argsort(nodes, stable=True)
        found = []
        for block in self._blocks(nodes[order]):
            members = order[block]
            columns = self.classifier.columns(nodes[members])
            logits = self.class_logits(rows[members], columns.nodes)
            found.append(-self.classifier.loss(logits, columns, nodes[members]))
        return torch.cat(found)[torch.argsort(order)]

    def _blocks(self, nodes: Tensor) -> list[slice]:
        """Slices of the sorted `nodes`: all of it where that is small, else cut between nodes."""
        columns = len(self.classifier.columns(nodes).nodes)
        if len(nodes) * columns <= BLOCK:
            return [slice(0, len(nodes))]
        _, counts = torch.unique_consecutive(nodes, return_counts=True)
        ends = torch.cumsum(counts, 0).tolist()
        return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
