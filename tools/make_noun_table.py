"""Makes `wordtree/noun_table.xz` from WordNet 3.0's own noun files.

The table holds all 82,115 noun synsets. It is one xz file of two streams: the graph (read always)
and the glosses (read when a gloss is asked for). Both are text: columns of one line a synset,
parted by form feeds. `wordtree/wordnet.py` reads it.

    apt-get install --no-install-recommends wordnet-base
    python tools/make_noun_table.py --wordnet /usr/share/wordnet
"""

from __future__ import annotations

import argparse
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEADER = "WordNet 3.0 nouns, table 1"


@dataclass(frozen=True)
class Row:
    """One line of data.noun; hypernyms and instance hypernyms are offsets, in the file's order."""

    offset: int
    lexicographer_file: int
    lemmas: tuple[str, ...]
    hypernyms: tuple[int, ...]
    instance_hypernyms: tuple[int, ...]
    gloss: str


def read_data(path: Path) -> Iterator[Row]:
    """The synsets of a data.noun file, in its order (wndb(5) describes the format)."""
    for line in path.read_text("ascii").splitlines():
        if line.startswith("  "):  # the licence
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split(" ")
        words = int(fields[3], 16)
        lemmas = tuple(fields[4 : 4 + 2 * words : 2])
        first = 5 + 2 * words
        pointers = [
            (fields[at], int(fields[at + 1]))
            for at in range(first, first + 4 * int(fields[first - 1]), 4)
        ]
        yield Row(
            int(fields[0]),
            int(fields[1]),
            lemmas,
            tuple(offset for symbol, offset in pointers if symbol == "@"),
            tuple(offset for symbol, offset in pointers if symbol == "@i"),
            gloss.strip(),
        )


def read_senses(path: Path) -> dict[tuple[str, int], int]:
    """(lower-case lemma, offset) -> sense number from 1, of an index.noun file."""
    senses = {}
    for line in path.read_text("ascii").splitlines():
        if line.startswith("  "):
            continue
        fields = line.split()
        count = int(fields[2])
        for sense, offset in enumerate(fields[-count:], 1):
            senses[fields[0], int(offset)] = sense
    return senses


def make_table(rows: list[Row], senses: dict[tuple[str, int], int]) -> bytes:
    """The bytes of the table, the same for the same rows."""
    place = {row.offset: at for at, row in enumerate(rows)}

    def column(values: Iterator[object]) -> str:
        return "\n".join(map(str, values))

    def parents(at: int, offsets: tuple[int, ...]) -> str:
        # Relative to the synset's own row: a hypernym is near, and small numbers pack well.
        return " ".join(str(place[offset] - at) for offset in offsets)

    graph = "\f".join(
        [
            HEADER,
            column(f"{row.offset:08d}" for row in rows),
            column(row.lexicographer_file for row in rows),
            column(" ".join(row.lemmas) for row in rows),
            column(
                " ".join(str(senses[lemma.lower(), row.offset]) for lemma in row.lemmas)
                for row in rows
            ),
            column(parents(at, row.hypernyms) for at, row in enumerate(rows)),
            column(parents(at, row.instance_hypernyms) for at, row in enumerate(rows)),
        ]
    )
    glosses = "\f" + column(row.gloss for row in rows)
    return b"".join(
        lzma.compress(text.encode(), lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME)
        for text in (graph, glosses)
    )


def read_licence(path: Path) -> str:
    """WordNet's licence, which stands at the head of each of its files."""
    lines = path.read_text("ascii").splitlines()
    # A licence line begins with blanks and its number: "  1 This software and database ...".
    return "".join(
        re.sub(r"^ +\d+ ?", "", line).rstrip() + "\n" for line in lines if line.startswith("  ")
    )


def main() -> None:
    """Writes noun_table.xz and noun_table.LICENSE into --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--out", type=Path, default=Path("wordtree"))
    arguments = parser.parse_args()
    data = arguments.wordnet / "data.noun"
    rows = list(read_data(data))
    table = make_table(rows, read_senses(arguments.wordnet / "index.noun"))
    (arguments.out / "noun_table.xz").write_bytes(table)
    (arguments.out / "noun_table.LICENSE").write_text(read_licence(data))
    print(f"{len(rows):,} synsets, {len(table):,} bytes")


if __name__ == "__main__":
    main()
