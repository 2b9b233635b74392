"""How often `wordtree-suggest` ranks the right sense first, against the rule it must beat.

  python benchmarks/suggest.py
  python benchmarks/suggest.py --lvis lvis_v1_val.json --coco-names coco.names

The truths are the packaged maps coco80 and voc20, and LVIS's own synsets. The rules were chosen by
LVIS's odd category ids alone; the even ones tell what they are worth on names not seen. The old
rule takes the most frequent sense of an animal, an artifact or food, else the most frequent one
below physical entity. Columns: right first, within the first three, anywhere; not found; marked
ambiguous; and of those that are not, how many are right. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from wordtree.labels import LabelMap
from wordtree.paths import ancestors_first
from wordtree.suggest import suggest
from wordtree.wordnet import PHYSICAL_ENTITY, NounGraph

# What the old rule reaches; ours has to be better.
BARS = {"COCO": 69, "VOC": 15, "LVIS, all": 1_025}
ANIMAL_ARTIFACT_FOOD = (5, 6, 13)
Named = list[tuple[str, str]]  # a name and the key of its right synset


class Answer(NamedTuple):
    """What a rule says to a name: keys, best first, and whether it marks them as ambiguous."""

    keys: list[str]
    ambiguous: bool


def ours(name: str) -> Answer:
    """What the command says."""
    found = suggest(name)
    return Answer([sense.key for sense in found.senses], found.ambiguous)


def old_rule(name: str) -> Answer:
    """The most frequent sense of a thing, or else below physical entity; ambiguous if several."""
    graph = NounGraph.embedded()
    root = graph.find(PHYSICAL_ENTITY)
    for lemma in _old_spellings(name):
        physical = [at for at in graph.senses(lemma) if root in ancestors_first(graph, [at], root)]
        things = [at for at in physical if graph.lexicographer_files[at] in ANIMAL_ARTIFACT_FOOD]
        if physical:
            ranked = dict.fromkeys([*things, *physical])
            return Answer([graph.keys[at] for at in ranked], len(physical) > 1)
    return Answer([], False)


def _old_spellings(name: str) -> Iterator[str]:
    name = name.lower().replace(" ", "_")
    yield name
    yield from (name[: -len(ending)] for ending in ("es", "s") if name.endswith(ending))
    yield from (name.replace("_", "-"), name.replace("_", ""))
    yield from (name.replace("-", "_"), name.replace("-", ""))
    if "_" not in name:
        yield from (f"{name[:at]}_{name[at:]}" for at in range(2, len(name) - 1))


def score(rule: Callable[[str], Answer], named: Named) -> list[int]:
    """Right first, in the first three, anywhere; not found; ambiguous; clear and right."""
    found = [(rule(name), truth) for name, truth in named]
    return [
        sum(answer.keys[:1] == [truth] for answer, truth in found),
        sum(truth in answer.keys[:3] for answer, truth in found),
        sum(truth in answer.keys for answer, truth in found),
        sum(not answer.keys for answer, _ in found),
        sum(answer.ambiguous for answer, _ in found),
        sum(not answer.ambiguous and answer.keys[:1] == [truth] for answer, truth in found),
    ]


def read_lvis(file: Path) -> list[tuple[int, str, str]]:
    """(id, name, key) of the categories whose synset WordNet 3.0 has."""
    graph = NounGraph.embedded()
    rows = json.loads(file.read_text(encoding="utf-8"))["categories"]
    known = [(row["id"], row["name"], graph.index_of(row["synset"])) for row in rows]
    return [(number, name, graph.keys[at]) for number, name, at in known if at is not None]


def without_hints(name: str) -> str:
    """LVIS's name without what stands in brackets."""
    return re.sub(r"_?\([^)]*\)", "", name)


def data_sets(lvis: Path | None, coco_names: Path | None) -> dict[str, Named]:
    """The names to score and their truths."""
    coco = [(name, str(key)) for name, key in LabelMap.load("coco80").targets.items()]
    sets = {"COCO": coco}
    if coco_names:
        spelt = coco_names.read_text(encoding="utf-8").splitlines()
        sets[f"COCO as in {coco_names.name}"] = [
            (name, key) for name, (_, key) in zip(spelt, coco, strict=True)
        ]
    sets["VOC"] = [(name, str(key)) for name, key in LabelMap.load("voc20").targets.items()]
    if lvis:
        rows = read_lvis(lvis)
        for label, halves in (("all", (0, 1)), ("odd ids", (1,)), ("even ids", (0,))):
            half = [(name, key) for number, name, key in rows if number % 2 in halves]
            sets[f"LVIS, {label}"] = [(without_hints(name), key) for name, key in half]
            sets[f"LVIS, {label}, with hints"] = half
    return sets


def main() -> int:
    """Prints the table; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lvis", type=Path, help="an LVIS v1 annotation file")
    parser.add_argument("--coco-names", type=Path, help="COCO's 80 names in another spelling")
    arguments = parser.parse_args()
    columns = ("first", "in 3", "any", "not found", "ambiguous", "clear and right")
    print(f"| names | rule | {' | '.join(columns)} |")
    print(f"|---|---|{'---|' * len(columns)}")
    missed = []
    for label, named in data_sets(arguments.lvis, arguments.coco_names).items():
        for title, rule in (("old", old_rule), ("ours", ours)):
            result = score(rule, named)
            clear = len(named) - result[4] - result[3]
            cells = [f"{count:,}" for count in result]
            print(f"| {label} ({len(named):,}) | {title} | {' | '.join(cells)} of {clear:,} |")
            if title == "ours" and label in BARS and result[0] <= BARS[label]:
                missed.append(f"{label}: {result[0]} right, more than {BARS[label]} needed")
    print("\n".join(missed), file=sys.stderr, end="\n" if missed else "")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
