"""WordNet 3.0's nouns: 82,115 synsets, from the table shipped with the package or from NLTK."""

from __future__ import annotations

import difflib
import lzma
import re
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from wordtree.errors import UserError
from wordtree.graph import LabelGraph
from wordtree.word_forms import letters

TABLE = Path(__file__).with_name("noun_table.xz")
HEADER = "WordNet 3.0 nouns, table 1"
# Only what lies below it can stand in a photo; `object.n.01` lacks nearly all foods.
PHYSICAL_ENTITY = "physical_entity.n.01"
_WNID = re.compile(r"n\d{8}")


class NounGraph(LabelGraph):
    """The noun synsets. Keys are wnids (`n02084071`), sort names synset names (`dog.n.01`).

    `names` are the first lemmas with blanks (`Norfolk terrier`). A synset's parents are its
    hypernyms, then its instance hypernyms.
    """

    def __init__(
        self,
        keys: Sequence[str],
        *,
        lexicographer_files: Sequence[int],
        lemmas: Sequence[str],
        senses: Sequence[str],
        hypernyms: Sequence[tuple[int, ...]],
        instance_hypernyms: Sequence[tuple[int, ...]],
        read_glosses: Callable[[], Sequence[str]],
        ordered: bool = True,
    ) -> None:
        """Columns of one entry a synset; lemmas and their sense numbers are parted by blanks."""
        self._read_glosses = read_glosses
        self.lexicographer_files = lexicographer_files
        self._lemmas = lemmas
        self._senses = senses
        self.hypernyms = hypernyms
        self.instance_hypernyms = instance_hypernyms
        first = [text.partition(" ")[0] for text in lemmas]
        numbers = [text.partition(" ")[0].zfill(2) for text in senses]
        # One call over the joined column is five times faster than one a synset.
        folded = "\n".join(first).lower().split("\n")
        super().__init__(
            keys,
            "\n".join(first).replace("_", " ").split("\n"),
            [f"{lemma}.n.{sense}" for lemma, sense in zip(folded, numbers, strict=True)],
            [
                upper + instances if instances else upper
                for upper, instances in zip(hypernyms, instance_hypernyms, strict=True)
            ],
            root=PHYSICAL_ENTITY,
            ordered=ordered,
        )

    @staticmethod
    def embedded() -> NounGraph:
        """The graph of the package's own table, read once a process (about 0.4 s)."""
        return _read_table()

    @staticmethod
    def from_nltk(corpus: str | Path | None = None) -> NounGraph:
        """The graph as NLTK reads it, from a folder of WordNet 3.0 files or its `wordnet` corpus.

        NLTK does not keep the file's order of hypernyms; here they stand in the order of their
        names, and rules that need the file's order refuse this graph.
        """
        return _read_nltk(corpus)

    @cached_property
    def glosses(self) -> Sequence[str]:
        """The gloss of every synset, definition and examples; read when first asked for."""
        return self._read_glosses()

    def gloss(self, synset: int) -> str:
        """Definition and examples of a synset."""
        return self.glosses[synset]

    def definition(self, synset: int) -> str:
        """The gloss without its examples."""
        return re.split(r';\s*"', self.glosses[synset], maxsplit=1)[0]

    def lemmas(self, synset: int) -> list[str]:
        """The lemmas of a synset as WordNet writes them (`Norfolk_terrier`)."""
        return self._lemmas[synset].split(" ")

    def senses(self, lemma: str) -> list[int]:
        """Synsets of a lemma, most frequent sense first; upper case and blanks do not matter."""
        return self._by_lemma.get(lemma.lower().replace(" ", "_"), [])

    def find(self, label: str) -> int:
        """Index of a wnid, of a synset name, or of a lemma that has one noun sense only.

        Raises UserError that names the senses to choose from, or the nearest lemmas.
        """
        found = self.index_of(label)
        if found is not None:
            return found
        if _WNID.fullmatch(label):
            raise UserError(f"WordNet 3.0 has no noun synset {label}; check the number")
        senses = self.senses(label)
        if len(senses) == 1:
            return senses[0]
        if senses:
            raise UserError(
                f"{label!r} has {len(senses)} noun senses; say which by its wnid: "
                f"{self.describe(senses)}"
            )
        close = self.nearest(label)
        hint = f"; near to it are {', '.join(close)}" if close else ""
        raise UserError(f"WordNet 3.0 has no noun {label!r}{hint}")

    def index_of(self, label: str) -> int | None:
        """Index of a wnid or of a synset name; None for anything else."""
        found = self._index.get(label)
        return self._by_sort_name.get(label) if found is None else found

    def spelt(self, lemma: str) -> list[str]:
        """The lemmas, in lower case, that differ only in blanks, hyphens and the like.

        The lemma itself comes first where there is one: `wineglass` for `wine_glass`.
        """
        lemma = lemma.lower().replace(" ", "_")
        same = self._by_letters.get(letters(lemma), [])
        return sorted(same, key=lambda other: (other != lemma, other))

    def nearest(self, label: str) -> list[str]:
        """Up to three lemmas or synset names that are spelt much alike."""
        folded = label.lower().replace(" ", "_")
        alike = [lemma for lemma in self._by_lemma if lemma[:2] == folded[:2]]
        return difflib.get_close_matches(folded, [*alike, *self._names_alike(folded)], n=3)

    def describe(self, synsets: Sequence[int], shown: int = 6) -> str:
        """Keys, synset names and the beginnings of the glosses, in one line."""
        text = "; ".join(
            f"{self.keys[at]} {self.sort_names[at]} ({self.definition(at)[:60]})"
            for at in synsets[:shown]
        )
        return text + (f"; and {len(synsets) - shown} more" if len(synsets) > shown else "")

    def _names_alike(self, folded: str) -> list[str]:
        return (
            [name for name in self._by_sort_name if name[:2] == folded[:2]] if "." in folded else []
        )

    @cached_property
    def _by_sort_name(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.sort_names)}

    @cached_property
    def _by_lemma(self) -> dict[str, list[int]]:
        found: dict[str, list[tuple[int, int]]] = {}
        for at, (lemmas, senses) in enumerate(zip(self._lemmas, self._senses, strict=True)):
            for lemma, sense in zip(lemmas.lower().split(" "), senses.split(" "), strict=True):
                found.setdefault(lemma, []).append((int(sense), at))
        return {lemma: [at for _, at in sorted(pairs)] for lemma, pairs in found.items()}

    @cached_property
    def _by_letters(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for lemma in self._by_lemma:
            found.setdefault(letters(lemma), []).append(lemma)
        return found


@cache
def _read_table() -> NounGraph:
    # Two xz streams, one after the other: the decompressor stops at the end of the first.
    reader = lzma.LZMADecompressor()
    header, *columns = reader.decompress(TABLE.read_bytes()).decode().split("\f")
    if header != HEADER:
        raise UserError(f"{TABLE} is not the noun table of this version; reinstall the package")
    packed_glosses = reader.unused_data
    offsets, files, lemmas, senses, hypernyms, instances = (text.split("\n") for text in columns)
    return NounGraph(
        [f"n{offset}" for offset in offsets],
        lexicographer_files=list(map(int, files)),
        lemmas=lemmas,
        senses=senses,
        hypernyms=_relative_rows(hypernyms),
        instance_hypernyms=_relative_rows(instances),
        read_glosses=lambda: lzma.decompress(packed_glosses).decode()[1:].split("\n"),
    )


def _relative_rows(lines: Sequence[str]) -> list[tuple[int, ...]]:
    return [
        ()
        if not line
        else (at + int(line),)
        if " " not in line
        else tuple([at + int(step) for step in line.split(" ")])
        for at, line in enumerate(lines)
    ]


def _read_nltk(corpus: str | Path | None) -> NounGraph:
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    # NLTK opens files only below the folders of its search path: the one that was asked for is
    # on it while it is read.
    searched = list(nltk.data.path)
    try:
        if corpus is None:
            from nltk.corpus import wordnet

            wordnet.ensure_loaded()
            reader: Any = wordnet
        else:
            # Its reader looks for `corpora/wordnet` once more when it maps sense keys.
            nltk.data.path += [str(corpus), str(Path(corpus).absolute().parents[1])]
            reader = WordNetCorpusReader(str(corpus), omw_reader=None)
        synsets = sorted(reader.all_synsets("n"), key=lambda synset: synset.offset())
    except (LookupError, OSError, ValueError) as error:
        raise UserError(
            f"NLTK finds no whole WordNet 3.0 in {corpus or 'its data folders'} "
            f"({str(error).strip().splitlines()[0]}); give it the corpus `wordnet`, or leave the "
            f"option out: the same nouns come with this package"
        ) from None
    finally:
        nltk.data.path[:] = searched
    place = {synset.offset(): at for at, synset in enumerate(synsets)}

    def rows(related: list[Any]) -> tuple[int, ...]:
        return tuple(place[synset.offset()] for synset in related)

    def senses(synset: Any) -> str:
        lemmas = (lemma.lower() for lemma in synset.lemma_names())
        index = reader._lemma_pos_offset_map
        return " ".join(str(index[lemma]["n"].index(synset.offset()) + 1) for lemma in lemmas)

    return NounGraph(
        [f"n{synset.offset():08d}" for synset in synsets],
        lexicographer_files=[reader._lexnames.index(synset.lexname()) for synset in synsets],
        lemmas=[" ".join(synset.lemma_names()) for synset in synsets],
        senses=[senses(synset) for synset in synsets],
        hypernyms=[rows(synset.hypernyms()) for synset in synsets],
        instance_hypernyms=[rows(synset.instance_hypernyms()) for synset in synsets],
        read_glosses=lambda: [
            "; ".join([s.definition(), *map(_quoted, s.examples())]) for s in synsets
        ],
        ordered=False,
    )


def _quoted(example: str) -> str:
    return f'"{example}"'
