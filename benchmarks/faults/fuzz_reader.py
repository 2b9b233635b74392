"""One reader of the tree room under atheris (coverage-guided fuzzing); `run.py` starts it.

  python benchmarks/faults/fuzz_reader.py READER CORPUS -max_total_time=600

READER is a key of READERS; CORPUS is a folder that holds valid files to begin with and takes what
is found. Whatever bytes a file has, a reader gives its result or a UserError: anything else ends
the run with the bytes and the stack trace.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["wordtree"]):
    import wordtree.formats.csv
    import wordtree.formats.darknet
    import wordtree.formats.graphml
    import wordtree.formats.json
    import wordtree.formats.newick
    import wordtree.hand_edits
    import wordtree.hierarchies
    import wordtree.labels
    from wordtree import UserError, WordTree
    from wordtree.inspection import lint, repair

TREE = WordTree(["a", "b", "c", "d"], [-1, -1, 0, 0], ["A", "B", "=1", "it's"], [1, 1, 1, 0])
HIERARCHY = b"child,parent\na,b\nc,b\nb,\n"
NESTED = b"tree:\n  a: {b: null, c: [d, e]}\n"

# The ending of the file, what reads it, and valid content to begin with.
READERS: dict[str, tuple[str, Callable[[Path], Any], bytes]] = {
    "darknet": (".tree", wordtree.formats.darknet.read_darknet, b"a -1\nb -1\nc 0\nd 0\n"),
    "json": (".json", wordtree.formats.json.read_json, b""),
    "csv": (".csv", wordtree.formats.csv.read_csv, b""),
    "graphml": (".graphml", wordtree.formats.graphml.read_graphml, b""),
    "newick": (".newick", wordtree.formats.newick.read_newick, b""),
    "map": (".map", wordtree.formats.darknet.read_map, b"0\n3\n"),
    "label_map": (".yaml", wordtree.labels.LabelMap.load, b"dataset: x\nmap: {a: n1, b: null}\n"),
    "hierarchy_csv": (".csv", wordtree.hierarchies.read_hierarchy, HIERARCHY),
    "hierarchy_yaml": (".yaml", wordtree.hierarchies.read_hierarchy, NESTED),
    "edits": (".csv", wordtree.hand_edits.read_edits, b"child,old_parent,new_parent,reason\n"),
    "lint": (".tree", lint, b"a -1\nb -1\nc 0\nd 0\n"),
    "repair": (".tree", repair, b"c 1\na -1\nb -1\nd 1\n"),
}


def main() -> None:
    """Fuzzes one reader until atheris' own options end it."""
    name, corpus = sys.argv[1], Path(sys.argv[2])
    ending, read, content = READERS[name]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"fuzzed{ending}"
        corpus.mkdir(parents=True, exist_ok=True)
        if not content:
            TREE.save(file)
            content = file.read_bytes()
        (corpus / "valid").write_bytes(content)

        def one(data: bytes) -> None:
            file.write_bytes(data)
            with contextlib.suppress(UserError):
                read(file)

        atheris.Setup([sys.argv[0], str(corpus), *sys.argv[3:]], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
