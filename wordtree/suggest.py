"""Which noun sense a category name means: all senses, ranked, and whether one may be sure.

No rule knows a name. A name is looked for as it is written, then in other spellings, in the
singular, and last by its head; the senses found are ranked by what can stand in a photo, by what
the name says of itself (`bow (weapon)`), by how usual the sense is for the word, and by how usual
the word is for the sense. A guess is for a person to confirm: it is marked wherever another sense
could be meant too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from wordtree.errors import UserError
from wordtree.graph import LabelGraph
from wordtree.paths import ancestors_first
from wordtree.word_forms import Name, bases, letters, singulars, take_apart, telling_stems
from wordtree.wordnet import PHYSICAL_ENTITY, NounGraph

# WordNet's lexicographer files: what data sets of photos have names for.
ANIMAL, ARTIFACT, COMMUNICATION, FOOD, POSSESSION = 5, 6, 10, 13, 21
THINGS = frozenset((ANIMAL, ARTIFACT, FOOD))
# WordNet calls posters, coins and milestones abstract, but they stand in photos. Animals are left
# out here: what is abstract among them are the genera.
SHOWN_ALTHOUGH_ABSTRACT = frozenset((ARTIFACT, COMMUNICATION, FOOD, POSSESSION))
TIERS = ("animal, artifact or food", "other physical thing, sign or money", "not in photos")
NOT_SHOWN = 2
# Ways to find a name that end at a word which is not the user's: such a find is never clear.
GUESSED = frozenset(("participle", "head"))


@dataclass(frozen=True)
class Sense:
    """A noun sense of a name; `path`: names, top first; `reason`: why it ranks where it does."""

    key: str
    synset: str
    gloss: str
    path: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Suggestion:
    """The senses of a name, best first; ambiguous: a person has to confirm the first one.

    how: `exact`, `spelling`, `singular`, `participle` (potted plant: pot plant), `head`, `key`
    (the name was a key) or `none`. near: where nothing was found, lemmas spelt much alike.
    """

    name: str
    senses: tuple[Sense, ...]
    ambiguous: bool
    how: str
    near: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Ranked:
    synset: int
    tier: int
    hinted: float
    rank: tuple[float, ...]
    reason: str


def suggest(name: str, graph: NounGraph | None = None) -> Suggestion:
    """The noun senses of a name, best first; the same name gives the same senses.

    name: as a data set writes it: `wine glass`, `pottedplant`, `bow_(weapon)`, `n02084071`.
    graph: WordNet's nouns, the package's own where None.
    """
    graph = graph or NounGraph.embedded()
    ranked, how = _find(graph, name)
    near = () if ranked else tuple(graph.nearest(take_apart(name).lemma))
    return Suggestion(
        name,
        tuple(_sense(graph, found) for found in ranked),
        len(_candidates(ranked, how)) > 1 or (bool(ranked) and how in GUESSED),
        how,
        near,
    )


def resolve(graph: LabelGraph, name: str) -> int:
    """The index of the label that a name means, if there can be no doubt.

    A key or a synset name stands for itself; in a graph of nouns a word does for its one sense.
    Raises UserError with the senses to choose from, or with the nearest lemmas.
    """
    if not isinstance(graph, NounGraph):
        return graph.find(name)
    ranked, how = _find(graph, name)
    candidates = _candidates(ranked, how)
    if not candidates:
        return graph.find(name)  # says what is near
    if len(candidates) == 1 and how not in GUESSED:
        return candidates[0].synset
    problem = (
        "is no noun of WordNet 3.0; say by a wnid what it is"
        if how in GUESSED
        else f"has {len(candidates)} noun senses; say which by its wnid"
    )
    shown = graph.describe([found.synset for found in candidates])
    raise UserError(f"{name!r} {problem}: {shown}")


def _candidates(ranked: list[_Ranked], how: str) -> list[_Ranked]:
    """The senses that could be meant: those that a hint names, else all that a photo can show."""
    if not ranked:
        return []
    hinted = [found for found in ranked if found.hinted]
    if len(hinted) == 1 and hinted[0].hinted == 1 and how not in GUESSED:
        return hinted
    shown = [found for found in ranked if found.tier < NOT_SHOWN]
    return shown or ranked


# -- finding -------------------------------------------------------------------------------------


def _find(graph: NounGraph, text: str) -> tuple[list[_Ranked], str]:
    key = re.match(r"n\d{8}(?![^\W_])", text.strip())
    known = graph.index_of(key[0] if key else text.strip())
    if known is not None:
        return [_Ranked(known, 0, 0, (), "the key itself")], "key"
    if graph.senses(text.strip()):  # a lemma may have a slash or a dot, and is no name with hints
        return _rank(graph, "_".join(text.lower().split()), ()), "exact"
    name = take_apart(text)
    form = next(_forms(graph, name), None)
    if form is None:
        return [], "none"
    lemma, hints, how = form
    return _rank(graph, lemma, hints), how


def _forms(graph: NounGraph, name: Name) -> Iterator[tuple[str, tuple[tuple[str, ...], ...], str]]:
    """The lemmas that a name may stand for, the most likely first, with hints and the way there."""
    words = name.words
    for lemma in graph.spelt(name.lemma):
        yield lemma, name.hints, "exact" if lemma == name.lemma else "spelling"
    for singular in _singular_words(words):
        for lemma in graph.spelt("_".join(singular)):
            yield lemma, name.hints, "singular"
    for modifier, rest in _splits(words):
        for base in bases(modifier):
            for lemma in graph.spelt(base + rest):
                yield lemma, name.hints, "participle"
    for rest_words, modifiers in _heads(graph, words):
        for head in (rest_words, *_singular_words(rest_words)):
            for lemma in graph.spelt("_".join(head)):
                yield lemma, (*name.hints, modifiers), "head"


def _singular_words(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """`wine glasses`: wine glass; `glasses of wine`: glass of wine."""
    at = words.index("of") - 1 if "of" in words[1:] else len(words) - 1
    if at >= 0:
        for singular in singulars(words[at]):
            yield (*words[:at], singular, *words[at + 1 :])


def _splits(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """A modifier that may be a participle, and the rest; a single word is cut at every place."""
    if len(words) > 1:
        yield words[0], "_".join(words[1:])
    elif words:
        for at in range(len(words[0]) - 3, 3, -1):
            yield words[0][:at], words[0][at:]


def _heads(
    graph: NounGraph, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """What may be the noun that the rest of the words describes, and that rest."""
    if "of" in words[1:]:
        at = words.index("of", 1)
        yield words[:at], words[at + 1 :]
    for at in range(1, len(words)):
        yield words[at:], words[:at]
    if len(words) == 1:
        for at in range(3, len(words[0]) - 2):
            modifier, head = words[0][:at], words[0][at:]
            if any(graph.senses(base) for base in (modifier, *bases(modifier))):
                yield (head,), (modifier,)


# -- ranking -------------------------------------------------------------------------------------


def _rank(graph: NounGraph, lemma: str, hints: tuple[tuple[str, ...], ...]) -> list[_Ranked]:
    """The senses of a lemma, best first."""
    found = []
    for number, synset in enumerate(graph.senses(lemma), 1):
        above = ancestors_first(graph, [synset], -1)
        tier = _tier(graph, synset, above)
        hinted = max((_hinted(graph, synset, above, hint) for hint in hints), default=0.0)
        # How usual the sense is for the word, and the word for the sense: a synset's lemmas begin
        # with the one that it is mostly called by (`watchband` has `bracelet` as its last).
        before = [text.lower() for text in graph.lemmas(synset)].index(lemma)
        rank = (
            tier == NOT_SHOWN,
            -hinted,
            tier,
            number + before,
            before,
        )
        reason = f"sense {number} of {lemma.replace('_', ' ')}: {TIERS[tier]}"
        reason += f"; better known as {graph.names[synset]}" if before else ""
        reason += f"; {hinted:.0%} of the hint" if hinted else ""
        found.append(_Ranked(synset, tier, hinted, rank, reason))
    return sorted(found, key=lambda one: one.rank)


def _tier(graph: NounGraph, synset: int, above: list[int]) -> int:
    file = graph.lexicographer_files[synset]
    if graph.find(PHYSICAL_ENTITY) in above:
        return 0 if file in THINGS else 1
    return 1 if file in SHOWN_ALTHOUGH_ABSTRACT else NOT_SHOWN


def _hinted(graph: NounGraph, synset: int, above: list[int], hint: tuple[str, ...]) -> float:
    """How much of a hint is true of a sense, 0 to 1.

    1: it names the sense or a class above it; else the share of its words that the gloss has.
    """
    meant = {letters("".join(words)) for words in (hint, *_singular_words(hint))}
    if any(letters(lemma) in meant for node in above for lemma in graph.lemmas(node)):
        return 1.0
    words = telling_stems(" ".join(hint))
    return len(words & telling_stems(graph.gloss(synset))) / max(len(words), 1)


def _sense(graph: NounGraph, found: _Ranked) -> Sense:
    return Sense(
        graph.keys[found.synset],
        graph.sort_names[found.synset],
        graph.definition(found.synset),
        _path(graph, found.synset),
        found.reason,
    )


def _path(graph: NounGraph, synset: int) -> tuple[str, ...]:
    """The names on the shortest path from the top; of several, the first by synset names."""
    best: dict[int, tuple[int, str, int]] = {}
    for node in ancestors_first(graph, [synset], -1):
        ways = [(best[up][0] + 1, graph.sort_names[up], up) for up in graph.parents[node]]
        best[node] = min(ways, default=(0, "", -1))
    path = []
    node = synset
    while node >= 0:
        path.append(graph.names[node])
        node = best[node][2]
    return tuple(reversed(path))
