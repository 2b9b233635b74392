"""What is in a tree, what is wrong with its file, and how two trees differ."""

from wordtree.inspection.difference import Difference, difference
from wordtree.inspection.lint import lint
from wordtree.inspection.problem import Problem
from wordtree.inspection.remap import StandIn, remap
from wordtree.inspection.repair import Repaired, repair
from wordtree.inspection.statistics import Statistics, statistics

__all__ = [
    "Difference",
    "Problem",
    "Repaired",
    "StandIn",
    "Statistics",
    "difference",
    "lint",
    "remap",
    "repair",
    "statistics",
]
