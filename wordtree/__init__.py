"""Labels and their tree. Importing this loads neither torch nor nltk nor networkx."""

from typing import TYPE_CHECKING

from wordtree.errors import UserError
from wordtree.tree import WordTree

if TYPE_CHECKING:
    from wordtree.builder import BuildReport, build
    from wordtree.labels import LabelMap

__all__ = ["BuildReport", "LabelMap", "UserError", "WordTree", "build"]


def __getattr__(name: str) -> object:
    # Users of the tree alone do not pay for the builder and PyYAML.
    if name in ("build", "BuildReport"):
        from wordtree import builder

        return getattr(builder, name)
    if name == "LabelMap":
        from wordtree.labels import LabelMap

        return LabelMap
    raise AttributeError(f"module 'wordtree' has no attribute {name!r}")
