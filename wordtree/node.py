"""One node of a tree, as a person asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wordtree.tree import WordTree


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a tree, light: an index and the tree it belongs to."""

    tree: WordTree
    index: int

    @property
    def key(self) -> str:
        """The node's key, unique in its tree."""
        return self.tree.keys[self.index]

    @property
    def name(self) -> str:
        """The node's name, for people; other nodes may have it too."""
        return self.tree.names[self.index]

    @property
    def labelled(self) -> bool:
        """Whether some data set's label points to this node."""
        return bool(self.tree.labelled[self.index])

    @property
    def depth(self) -> int:
        """0 at the top."""
        return int(self.tree.depth[self.index])

    @property
    def parent(self) -> Node | None:
        """The node above, None at the top."""
        above = int(self.tree.parent[self.index])
        return Node(self.tree, above) if above >= 0 else None

    @property
    def path(self) -> tuple[Node, ...]:
        """The nodes from the top down to this one, both included."""
        return tuple(Node(self.tree, at) for at in self.tree.path(self.index).tolist())

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes directly below."""
        return tuple(Node(self.tree, at) for at in self.tree.children(self.index).tolist())

    def __repr__(self) -> str:
        return self.key if self.key == self.name else f"{self.key} ({self.name})"
