"""Logits to probabilities over a tree of labels, and probabilities to a decision.

Everything here is in log space and in float32, under autocast too: products of fifteen
conditionals underflow in half precision.
"""

from wordtree.probability.classifiers import CLASSIFIERS, Classifier, Columns, make_classifier
from wordtree.probability.decision import back_off, most_informative
from wordtree.probability.information import expected_information, information
from wordtree.probability.paths import path_sums
from wordtree.probability.readings import (
    leaf_probability,
    node_probability,
    terminal_probability,
)
from wordtree.probability.softmax import sibling_log_softmax, sibling_path_loss
from wordtree.probability.tables import TreeTables

__all__ = [
    "CLASSIFIERS",
    "Classifier",
    "Columns",
    "TreeTables",
    "back_off",
    "expected_information",
    "information",
    "leaf_probability",
    "make_classifier",
    "most_informative",
    "node_probability",
    "path_sums",
    "sibling_log_softmax",
    "sibling_path_loss",
    "terminal_probability",
]
