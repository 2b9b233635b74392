"""Makes the label maps that come with the package, each key with its synset's name and gloss.

    python tools/make_label_maps.py --darknet DIR

DIR has darknet's data files: the first 1,000 wnids of `imagenet.labels.list` are ILSVRC-2012's
classes, in the order that its networks have them; line k of `inet9k.map` is the node in `9k.tree`
of class k of ILSVRC's detection set (DET). In these two the categories are the wnids themselves,
as the folders of the photos are named. VOC's 20 were chosen by hand, below; COCO's 80 stand in
`coco80.yaml` alone, whose comments are renewed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from wordtree.formats.darknet import read_darknet, read_labels, read_map
from wordtree.labels import PACKAGED, LabelMap
from wordtree.wordnet import NounGraph

# VOC's names in VOC's order. WordNet's own `motorbike` is a minibike, and its cow is female; for
# photos of computer monitors rather than television sets take display.n.06 for tvmonitor.
VOC = {
    "aeroplane": "airplane.n.01",
    "bicycle": "bicycle.n.01",
    "bird": "bird.n.01",
    "boat": "boat.n.01",
    "bottle": "bottle.n.01",
    "bus": "bus.n.01",
    "car": "car.n.01",
    "cat": "domestic_cat.n.01",
    "chair": "chair.n.01",
    "cow": "cattle.n.01",
    "diningtable": "dining_table.n.01",
    "dog": "dog.n.01",
    "horse": "horse.n.01",
    "motorbike": "motorcycle.n.01",
    "person": "person.n.01",
    "pottedplant": "pot_plant.n.01",
    "sheep": "sheep.n.01",
    "sofa": "sofa.n.01",
    "train": "train.n.01",
    "tvmonitor": "television_receiver.n.01",
}
ILSVRC_CLASSES = 1_000


def voc20(nouns: NounGraph) -> LabelMap:
    """Pascal VOC's 20 classes."""
    return LabelMap("voc20", {name: nouns.keys[nouns.find(synset)] for name, synset in VOC.items()})


def ilsvrc1000(labels: Path) -> LabelMap:
    """ILSVRC-2012's 1,000 classes, from darknet's list of ImageNet's labels."""
    return LabelMap.from_keys("ilsvrc1000", read_labels(labels)[:ILSVRC_CLASSES])


def det200(tree: Path, nodes: Path) -> LabelMap:
    """ILSVRC's 200 detection classes, from darknet's tree and its map."""
    keys = read_darknet(tree).keys
    return LabelMap.from_keys("det200", [keys[node] for node in read_map(nodes)])


def save(label_map: LabelMap, path: Path, nouns: NounGraph) -> None:
    """Writes a map of single keys with a comment a line: the synset's name and its gloss."""
    comments = {}
    for category, key in label_map.targets.items():
        synset = nouns.find(str(key))
        comments[category] = f"{nouns.sort_names[synset]}: {nouns.definition(synset)}"
    label_map.save(path, comments)


def main() -> None:
    """Writes all maps into --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--darknet", type=Path, required=True, help="folder of darknet's files")
    parser.add_argument("--out", type=Path, default=PACKAGED)
    arguments = parser.parse_args()
    nouns = NounGraph.embedded()
    maps = [
        LabelMap.load("coco80"),
        voc20(nouns),
        ilsvrc1000(arguments.darknet / "imagenet.labels.list"),
        det200(arguments.darknet / "9k.tree", arguments.darknet / "inet9k.map"),
    ]
    for label_map in maps:
        save(label_map, arguments.out / f"{label_map.dataset}.yaml", nouns)
        print(f"{label_map.dataset}: {len(label_map.targets)} categories")


if __name__ == "__main__":
    main()
