"""What each rule of the builder makes of darknet's and the paper's labels.

  python benchmarks/tree_rules.py            needs darknet's data files below $WORDTREE_DATA

Prints two tables of Markdown (docs/wordtree.md shows them) and, node by node, where the preset
darknet9k still differs from 9k.tree. Exits with 1 where a bar is missed: 1,369 nodes for paper1k;
all 9,418 nodes and at least 9,412 parents for darknet9k.
"""

from __future__ import annotations

import sys
from typing import Any

from darknet_lists import darknet_folder

from wordtree import WordTree, build
from wordtree.wordnet import NounGraph

PAPER = 1369
PARENTS = 9412

# Options, and the presets they stand in.
ILSVRC: list[tuple[str, dict[str, Any]]] = [
    ("`preset=paper1k` (ties `shortest`)", {"preset": "paper1k"}),
    ("ties `wordnet_order`", {"ties": "wordnet_order"}),
    ("defaults (ties `name_path`)", {}),
    ("`rule=shortest`", {"rule": "shortest"}),
    ("`rule=shortest`, ties `wordnet_order`", {"rule": "shortest", "ties": "wordnet_order"}),
    ("`rule=first`", {"rule": "first"}),
    ("`preset=darknet9k`", {"preset": "darknet9k"}),
    ("paper1k, walk to `entity.n.01`", {"preset": "paper1k", "walk": "entity.n.01"}),
    (
        "paper1k with darknet's edits, before the walk",
        {"preset": "paper1k", "edits": "darknet9k", "edits_applied": "before"},
    ),
    ("paper1k from `object.n.01`", {"preset": "paper1k", "root": "object.n.01"}),
    ("paper1k from `entity.n.01`", {"preset": "paper1k", "root": "entity.n.01"}),
    ("paper1k, `unary=keep`", {"preset": "paper1k", "unary": "keep"}),
]
NINE_K: list[tuple[str, dict[str, Any]]] = [
    ("`preset=darknet9k`", {"preset": "darknet9k"}),
    ("without the walk to `entity`", {"preset": "darknet9k", "walk": "root"}),
    ("edits before the walk", {"preset": "darknet9k", "edits_applied": "before"}),
    ("without promotion", {"preset": "darknet9k", "lone_leaf": "keep"}),
    ("ties `shortest`", {"preset": "darknet9k", "ties": "shortest"}),
    ("ties `wordnet_order`", {"preset": "darknet9k", "ties": "wordnet_order"}),
    ("`rule=shortest`", {"preset": "darknet9k", "rule": "shortest"}),
    ("`rule=first`", {"preset": "darknet9k", "rule": "first"}),
    ("promotion alone (no edits, walk to the root)", {"lone_leaf": "promote"}),
    ("defaults", {}),
]
# Inner nodes of 9k.tree which stand in ImageNet's list, but need not have been labels: where they
# are not, five of the six nodes below come out as in the file.
PERHAPS_UNLABELLED = ("piece_of_cloth.n.01", "contestant.n.01", "worker.n.01", "assistant.n.01")


def parents(tree: WordTree) -> dict[str, str]:
    """The key of each node's parent, "" at the top."""
    above = tree.parent.tolist()
    return {key: tree.keys[at] if at >= 0 else "" for key, at in zip(tree.keys, above, strict=True)}


def agreement(ours: WordTree, theirs: WordTree) -> tuple[int, int, list[str]]:
    """Nodes missing, nodes too many, and the keys whose parent differs or that are missing."""
    found, wanted = parents(ours), parents(theirs)
    different = [key for key, above in wanted.items() if found.get(key) != above]
    return len(set(wanted) - set(found)), len(set(found) - set(wanted)), different


def main() -> int:
    """Prints the tables; 1 where a bar is missed."""
    folder = darknet_folder(__doc__)
    imagenet = (folder / "imagenet.labels.list").read_text().split()
    missed = []

    print("| the 1,000 ILSVRC labels | nodes | without a path |")
    print("|---|---|---|")
    for what, chosen in ILSVRC:
        tree, report = build(imagenet[:1000], **chosen)
        print(f"| {what} | {len(tree):,} | {len(report.unreachable)} |")
        if chosen == {"preset": "paper1k"} and len(tree) != PAPER:
            missed.append(f"paper1k has {len(tree)} nodes, not {PAPER}")

    theirs = WordTree.load(folder / "9k.tree")
    labels = [key for key in theirs.keys if key in set(imagenet)]
    print(f"\n| the {len(labels):,} labels of 9k.tree | missing / extra nodes | right parents |")
    print("|---|---|---|")
    for what, chosen in NINE_K:
        tree, _ = build(labels, **chosen)
        lacking, extra, different = agreement(tree, theirs)
        right = len(theirs) - len(different)
        print(f"| {what} | {lacking} / {extra} | {right:,} ({right / len(theirs):.2%}) |")
        if chosen == {"preset": "darknet9k"}:
            ours, rest = tree, different
            if lacking or extra or right < PARENTS:
                missed.append(f"darknet9k: {lacking} missing, {extra} extra, {right} parents")

    print("\nWhere darknet9k differs from 9k.tree:")
    nouns = NounGraph.embedded()

    def named(key: str) -> str:
        return f"{nouns.sort_names[nouns.find(key)]} ({key})"

    for key in rest:
        print(f"  {named(key)}: {named(parents(ours)[key])}, there {named(parents(theirs)[key])}")
    out = {nouns.keys[nouns.find(name)] for name in PERHAPS_UNLABELLED}
    tree, _ = build([key for key in labels if key not in out], preset="darknet9k")
    lacking, extra, different = agreement(tree, theirs)
    print(
        f"Without {', '.join(PERHAPS_UNLABELLED)} as labels: {lacking} / {extra} nodes, "
        f"{len(theirs) - len(different):,} parents; left: {', '.join(map(named, different))}"
    )
    for line in missed:
        print(f"MISSED: {line}", file=sys.stderr)
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
