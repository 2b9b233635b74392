"""What a name may be written as: its spellings, its singular, its head, and what it says aside.

Only letters are looked at here. Which form is a word at all, `wordtree.suggest` asks the graph.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# Plurals that no ending tells; the endings are in `singulars`.
IRREGULAR = {
    "children": "child",
    "feet": "foot",
    "geese": "goose",
    "lice": "louse",
    "men": "man",
    "mice": "mouse",
    "oxen": "ox",
    "people": "person",
    "teeth": "tooth",
    "women": "woman",
}
# The noun endings of WordNet's own morphology (morphy(7)), and -ves.
_ENDINGS = (
    ("ves", ("f", "fe")),
    ("ies", ("y",)),
    ("ses", ("s",)),
    ("xes", ("x",)),
    ("zes", ("z",)),
    ("ches", ("ch",)),
    ("shes", ("sh",)),
    ("men", ("man",)),
    ("s", ("",)),
)
# Words that say nothing about what a thing is.
_EMPTY = frozenset(
    {"a", "an", "any", "its", "kind", "other", "the", "type", "used"}
    | {"and", "at", "by", "for", "from", "in", "of", "on", "or", "to", "with"}
)


@dataclass(frozen=True)
class Name:
    """A name taken apart: its words, and the words that only hint at what is meant."""

    words: tuple[str, ...]
    hints: tuple[tuple[str, ...], ...]

    @property
    def lemma(self) -> str:
        """The words as WordNet joins them (`baseball_glove`)."""
        return "_".join(self.words)


def take_apart(text: str) -> Name:
    """A name and its hints: what stands in brackets, or behind a comma or a slash.

    `bow_(weapon)`, `tench, Tinca tinca`, `cabinet/shelf`, `TrafficLight` and `017.Cardinal` are
    understood. Nothing but punctuation gives no words.
    """
    text = unicodedata.normalize("NFKC", text).strip()
    text = re.sub(r"^\d+\s*[.)_:]\s*(?=\D)", "", text)
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text)
    parts = [words for part in re.split(r"[()\[\]{},;/|]", text) if (words := words_of(part))]
    return Name(parts[0], tuple(parts[1:])) if parts else Name((), ())


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case; accents are dropped, hyphens and apostrophes stay."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter)).lower()
    return tuple(word for word in re.split(r"[\s_]+", plain.strip(" _-.")) if word)


def letters(text: str) -> str:
    """The letters and digits alone: `wine_glass`, `wine-glass` and `wineglass` are the same."""
    return re.sub(r"[\s_.'/-]+", "", text.lower())


def singulars(word: str) -> Iterator[str]:
    """What the word may be the plural of, in order of likelihood; not all of them are words."""
    if word in IRREGULAR:
        yield IRREGULAR[word]
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 1 and not word.endswith("ss"):
            yield from (word[: -len(ending)] + end for end in instead)


def bases(word: str) -> Iterator[str]:
    """What a participle or plural before a noun may come from: `potted`: pot, pott, potte."""
    yield from singulars(word)
    for ending in ("ed", "ing"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2:
            if stem[-1] == stem[-2]:
                yield stem[:-1]
            yield stem
            yield stem + "e"


def stem(word: str) -> str:
    """A rough stem, for comparing words of hints and glosses: cooking, cooks and cooked: cook."""
    word = next(singulars(word), word)
    for ending in ("ing", "ed", "er"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word[: -len(ending)]
    return word.removesuffix("e")


def telling_stems(text: str) -> frozenset[str]:
    """The stems of the words of a text that are not empty (`of`, `the`, `used`)."""
    found = re.findall(r"[a-z0-9]+", text.lower())
    return frozenset(stem(word) for word in found if word not in _EMPTY)
