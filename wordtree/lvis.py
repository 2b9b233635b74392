"""LVIS: its categories name their synsets, so the label map is in the annotation file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from wordtree.annotation_files import Category, read_categories
from wordtree.errors import UserError
from wordtree.labels import LabelMap
from wordtree.paths import count_paths
from wordtree.wordnet import NounGraph

_SHOWN = 10


class UnknownSynset(NamedTuple):
    """A category whose synset WordNet 3.0 lacks; `stand_in` is the key of a noun like it, or ''."""

    category: str
    synset: str
    stand_in: str
    stand_in_name: str

    def __str__(self) -> str:
        hint = f"; {self.stand_in} ({self.stand_in_name}) may stand in" if self.stand_in else ""
        return f"{self.category}: WordNet 3.0 has no {self.synset}{hint}"


def lvis_label_map(path: str | Path) -> tuple[LabelMap, list[UnknownSynset]]:
    """The label map of an LVIS annotation file (or of its categories alone), in order of the ids.

    Categories whose synset WordNet 3.0 lacks (`stop_sign.n.01`) are null in the map, so that their
    boxes are ignore regions, and stand in the second result: to train on them, save the map, give
    them a key, and use the file. Several categories may have one synset.
    Raises UserError for a file that is not JSON, has no categories, or categories without synsets.
    """
    file = Path(path)
    categories = read_categories(file)
    _check(file, categories)
    nouns = NounGraph.embedded()
    known = dict(zip(nouns.sort_names, nouns.keys, strict=True))
    known |= zip(nouns.keys, nouns.keys, strict=True)
    targets = {category.name: known.get(category.synset.lower()) for category in categories}
    unknown = [
        _unknown(nouns, category) for category in categories if targets[category.name] is None
    ]
    return LabelMap("lvis", targets), unknown


def _check(file: Path, categories: list[Category]) -> None:
    bare = [category for category in categories if not category.synset]
    if len(bare) == len(categories):
        raise UserError(
            f"{file}: no category has a `synset`, so it is no LVIS file; read it as a COCO file, "
            f"with a label map"
        )
    if bare:
        shown = ", ".join(f"{category.name!r} (id {category.id})" for category in bare[:_SHOWN])
        more = f" and {len(bare) - _SHOWN} more" if len(bare) > _SHOWN else ""
        raise UserError(
            f"{file}: there is no synset in {len(bare)} of {len(categories)} categories: "
            f"{shown}{more}; add it"
        )
    first: dict[str, Category] = {}
    for category in categories:
        other = first.setdefault(category.name, category)
        if other.synset != category.synset:
            raise UserError(
                f"{file}: the categories {other.id} and {category.id} are both named "
                f"{category.name!r}, but are {other.synset} and {category.synset}; rename one"
            )


def _unknown(nouns: NounGraph, category: Category) -> UnknownSynset:
    """With a stand-in: COCO's choice for the name, else the first sense of the name's last words.

    Senses that can stand in a photo come first.
    """
    name = category.name.partition("_(")[0].replace("_", " ")
    chosen = LabelMap.load("coco80").targets.get(name)
    words = name.split()
    senses = [nouns.find(chosen)] if isinstance(chosen, str) else []
    for start in range(len(words)):
        senses = senses or nouns.senses(" ".join(words[start:]))
    if not senses:
        return UnknownSynset(category.name, category.synset, "", "")
    counts = count_paths(nouns, senses, nouns.find(nouns.root))
    best = next((sense for sense in senses if counts[sense]), senses[0])
    return UnknownSynset(category.name, category.synset, nouns.keys[best], nouns.sort_names[best])
