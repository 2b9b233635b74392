"""One reader of files under atheris (coverage-guided fuzzing); `run.py` starts it.

  python benchmarks/faults/fuzz_reader.py READER CORPUS -max_total_time=600

READER is a key of READERS; CORPUS is a folder that holds valid files to begin with and takes what
is found. Whatever bytes a file has, a reader gives its result or a UserError: anything else ends
the run with the bytes and the stack trace.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris
import torch

with atheris.instrument_imports(include=["wordtree", "data.sources", "detector.weights"]):
    import data.sources.coco_file
    import data.sources.table
    import data.sources.tar_members
    import data.sources.voc_file
    import data.sources.yolo_labels
    import data.sources.yolo_yaml
    import detector.weights
    import detector.weights.manifest
    import wordtree.formats.csv
    import wordtree.formats.darknet
    import wordtree.formats.graphml
    import wordtree.formats.json
    import wordtree.formats.newick
    import wordtree.hand_edits
    import wordtree.hierarchies
    import wordtree.labels
    from data.sources.file_index import Problems
    from wordtree import UserError, WordTree
    from wordtree.inspection import lint, repair

TREE = WordTree(["a", "b", "c", "d"], [-1, -1, 0, 0], ["A", "B", "=1", "it's"], [1, 1, 1, 0])
HIERARCHY = b"child,parent\na,b\nc,b\nb,\n"
NESTED = b"tree:\n  a: {b: null, c: [d, e]}\n"

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 8}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0}],
    "categories": [{"id": 1, "name": "a"}],
}
VOC = b"""<annotation><filename>a.jpg</filename><size><width>8</width><height>8</height></size>
<object><name>a</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax>
<ymax>4</ymax></bndbox></object></annotation>"""


def checkpoint_file(name: str) -> tuple[str, Callable[[Path], Any], bytes]:
    """One file of a checkpoint: its bytes under a manifest that fits them, as someone hostile
    would write it, or the manifest itself."""
    place = Path(tempfile.mkdtemp(prefix="wordtree-fuzz-"))
    tensors = {"w": torch.arange(6.0).reshape(2, 3)}
    folder = detector.weights.write_checkpoint(
        place, 1, model=tensors, ema=tensors, optimizer={"m": [tensors, 1, "x"]}, state={"seen": 1}
    )
    valid = (folder / name).read_bytes()
    files = detector.weights.manifest.FILES

    def read(file: Path) -> None:
        (folder / name).write_bytes(file.read_bytes())
        if name in files:
            contents = {each: (folder / each).read_bytes() for each in files}
            manifest = detector.weights.manifest.manifest_bytes(contents)
            (folder / detector.weights.manifest.MANIFEST).write_bytes(manifest)
        detector.weights.read_checkpoint(folder)

    return "", read, valid


def tar_file() -> bytes:
    """A tar of two members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("a.jpg", "a.cls"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"1234"))
    return buffer.getvalue()


def read_tar(file: Path) -> None:
    """The members of a tar."""
    with file.open("rb") as opened:
        data.sources.tar_members.list_members(opened.fileno(), file)


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
    "coco": (".json", data.sources.coco_file.read_coco_file, json.dumps(COCO).encode()),
    "voc": (".xml", lambda file: data.sources.voc_file.read_voc_file(file, Problems()), VOC),
    "yolo_labels": (".txt", data.sources.yolo_labels.read_labels, b"0 .5 .5 .25 .25\n"),
    "yolo_yaml": (".yaml", data.sources.yolo_yaml.read_data_yaml, b"train: a\nnames: [a, b]\n"),
    "table": (
        ".csv",
        lambda file: data.sources.table.read_table(file, None, Problems()),
        b"file,label\na.jpg,a\n",
    ),
    "tar": (".tar", read_tar, tar_file()),
    "model.safetensors": checkpoint_file("model.safetensors"),
    "optimizer.pt": checkpoint_file("optimizer.pt"),
    "state.json": checkpoint_file("state.json"),
    "MANIFEST.sha256": checkpoint_file("MANIFEST.sha256"),
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

        def one(fuzzed: bytes) -> None:
            file.write_bytes(fuzzed)
            with contextlib.suppress(UserError):
                read(file)

        # A checkpoint or a tar is longer than the options' limit for texts.
        length = max(2000, 2 * len(content))
        atheris.Setup([sys.argv[0], str(corpus), *sys.argv[3:], f"-max_len={length}"], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
