"""The choice of one path to the root for each label, without ever listing paths.

A graph of k stacked diamonds has 2^k paths. So the best path of a label is found parents first:
the best path of a node is the best of its parents' best paths, one step longer. Each node keeps
only which parent that is; two paths are compared by walking both up to where they part.
"""

from __future__ import annotations

from collections.abc import Iterable

from wordtree.graph import LabelGraph


def ancestors_first(graph: LabelGraph, starts: Iterable[int], root: int) -> list[int]:
    """The starts and all above them, parents before children; the walk up ends at `root`."""
    order: list[int] = []
    done: set[int] = set()
    for start in starts:
        stack = [start]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            above = () if node == root else graph.parents[node]
            pending = [parent for parent in above if parent not in done]
            if pending:
                stack.extend(pending)
            else:
                done.add(node)
                order.append(node)
                stack.pop()
    return order


def count_paths(graph: LabelGraph, labels: Iterable[int], root: int) -> dict[int, int]:
    """Paths to the root from each label and each node above it: 0, 1, or 2 for several."""
    counts: dict[int, int] = {}
    for node in ancestors_first(graph, labels, root):
        paths = 1 if node == root else sum(counts[parent] for parent in graph.parents[node])
        counts[node] = min(paths, 2)
    return counts


class GrowingTree:
    """A tree under construction inside a graph: `parent[node]` for every node taken so far."""

    def __init__(self, graph: LabelGraph, root: int, *, rule: str, ties: str) -> None:
        self.graph = graph
        self.root = root
        self.rule = rule
        self.ties = ties
        self.parent: dict[int, int] = {root: -1}
        self._depth: dict[int, int] = {root: 0}
        self.counts: dict[int, int] = {}

    def set_parents(self, parent: dict[int, int]) -> None:
        """Goes on from another tree, which contains the root."""
        self.parent = parent
        self._depth = {self.root: 0}
        for start in parent:
            above = []
            node = start
            while node not in self._depth:
                above.append(node)
                node = parent[node]
            for node in reversed(above):
                self._depth[node] = self._depth[parent[node]] + 1

    def add(self, labels: Iterable[int]) -> list[int]:
        """Takes in the labels with the best path of each; returns those without any path.

        Labels with one path come first. Under `min_growth` the others are taken in rounds: those
        that add one step, again until a round finds none, then those that add two, and so on;
        within a round by key.
        """
        asked = sorted(set(labels), key=self.graph.keys.__getitem__)
        self.counts = count_paths(self.graph, asked, self.root)
        several = []
        for label in asked:
            if self.counts[label] == 1:
                self._insert(label, self._best(label)[1])
            elif self.counts[label] > 1:
                several.append(label)
        limit = 1
        while several:
            added = False
            rest = []
            least = 0
            for label in several:
                if label in self.parent:  # came in with another label's path
                    continue
                growth, chosen = self._best(label)
                if growth <= limit or self.rule != "min_growth":
                    self._insert(label, chosen)
                    added = True
                else:
                    rest.append(label)
                    least = min(least, growth) if least else growth
            several = rest
            # Rounds with a limit below the least growth would find nothing either.
            limit = limit if added else least
        return [label for label in asked if self.counts[label] == 0]

    def _insert(self, label: int, chosen: dict[int, int]) -> None:
        new = []
        node = label
        while node not in self.parent:
            new.append(node)
            node = chosen[node]
        for node in reversed(new):
            self.parent[node] = chosen[node]
            self._depth[node] = self._depth[chosen[node]] + 1

    def _best(self, label: int) -> tuple[int, dict[int, int]]:
        """Growth of the label's best path, and the parent chosen for each node not yet taken.

        Growth is the number of steps the tree lacks. A node that is taken has growth 0 and its
        path in the tree: a path that leaves it by another parent would lack at least one step.
        """
        chosen: dict[int, int] = {}
        growth: dict[int, int] = {}
        depth: dict[int, int] = {}
        stack = [label]
        while stack:
            node = stack[-1]
            if node in growth:
                stack.pop()
                continue
            if node in self.parent:
                growth[node], depth[node] = 0, self._depth[node]
                continue
            above = [parent for parent in self.graph.parents[node] if self.counts[parent]]
            pending = [parent for parent in above if parent not in growth]
            if pending:
                stack.extend(pending)
                continue
            best = above[0]
            for other in above[1:]:
                if self._better(other, best, node, growth, depth, chosen):
                    best = other
            chosen[node] = best
            growth[node], depth[node] = growth[best] + 1, depth[best] + 1
        return growth[label], chosen

    def _better(
        self,
        one: int,
        other: int,
        child: int,
        growth: dict[int, int],
        depth: dict[int, int],
        chosen: dict[int, int],
    ) -> bool:
        """Whether `one` is a better parent of `child` than `other`, an earlier one."""
        if self.rule == "first":
            return False
        if self.rule == "min_growth" and growth[one] != growth[other]:
            return growth[one] < growth[other]
        if "shortest" in (self.rule, self.ties) and depth[one] != depth[other]:
            return depth[one] < depth[other]
        if self.ties == "wordnet_order":
            return False
        # Name paths, root first: what counts are the first two names that differ. Where one
        # parent stands on the other's path, its next name is the child's.
        below_one = below_other = child
        depth_one, depth_other = depth[one], depth[other]
        while one != other:
            deeper = depth_one - depth_other
            if deeper >= 0:
                below_one, one = one, chosen[one] if one in chosen else self.parent[one]
                depth_one -= 1
            if deeper <= 0:
                below_other, other = other, chosen[other] if other in chosen else self.parent[other]
                depth_other -= 1
        names = self.graph.sort_names
        return names[below_one] < names[below_other]
