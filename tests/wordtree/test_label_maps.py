"""The label maps that come with the package, against WordNet and darknet's own lists."""

from pathlib import Path

import pytest

from wordtree import LabelMap, WordTree, build
from wordtree.labels import PACKAGED
from wordtree.wordnet import NounGraph

SIZES = {"coco80": 80, "det200": 200, "ilsvrc1000": 1_000, "voc20": 20}


def test_these_maps_are_packaged() -> None:
    assert {file.stem for file in PACKAGED.glob("*.yaml")} >= set(SIZES)


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_every_line_has_another_synset_with_its_name_and_gloss(name: str, size: int) -> None:
    found = LabelMap.load(name)
    assert found.dataset == name
    assert len(found.categories) == len(found.keys()) == size
    nouns = NounGraph.embedded()
    text = (PACKAGED / f"{name}.yaml").read_text(encoding="utf-8")
    for category, key in found.targets.items():
        synset = nouns.find(str(key))
        comment = " ".join(f"{nouns.sort_names[synset]}: {nouns.definition(synset)}".split())
        assert f"  {category}: {key}  # {comment}\n" in text


def test_voc_names_are_darknets_and_its_classes_are_coco_classes(darknet_files: Path) -> None:
    voc = LabelMap.load("voc20")
    assert list(voc.categories) == (darknet_files / "voc.names").read_text().split()
    # COCO's names for the same things, in darknet's spelling
    spelt = (darknet_files / "coco.names").read_text().splitlines()
    coco = dict(zip(spelt, LabelMap.load("coco80").targets.values(), strict=True))
    assert {name: coco[name] for name in voc.categories} == dict(voc.targets)


def test_ilsvrc_is_the_head_of_darknets_label_list_in_its_order(imagenet_labels: list[str]) -> None:
    ilsvrc = LabelMap.load("ilsvrc1000")
    assert list(ilsvrc.categories) == ilsvrc.keys() == imagenet_labels[:1000]


def test_the_papers_tree_is_built_from_the_packaged_map_alone() -> None:
    tree, _ = build(LabelMap.load("ilsvrc1000"), preset="paper1k")
    assert len(tree) == 1_369


def test_det_is_darknets_map_of_its_tree(darknet_files: Path) -> None:
    det = LabelMap.load("det200")
    tree = WordTree.load(darknet_files / "9k.tree")
    lines = (darknet_files / "inet9k.map").read_text().split()
    assert det.nodes(tree).tolist() == list(map(int, lines))
    assert list(det.categories) == det.keys()
    # Classes stand in the order of their English names; darknet's names begin and end alike.
    names = (darknet_files / "9k.names").read_text().splitlines()
    shown = [names[int(line)] for line in lines]
    assert shown[:4] == ["accordion", "airplane", "ant", "antelope"]
    assert shown[-3:] == ["whale", "wine bottle", "zebra"]
    coco = (darknet_files / "coco9k.map").read_text().split()
    assert len(set(lines) & set(coco)) == 38
