from pathlib import Path

import pytest

from wordtree import LabelMap, UserError, WordTree, build
from wordtree.wordnet import NounGraph

TREE = WordTree(["animal", "car", "cat", "dog"], [-1, -1, 0, 0])


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    return file


def test_the_coco_map_names_80_synsets_with_their_glosses() -> None:
    coco = LabelMap.load("coco80")
    assert len(coco.categories) == len(coco.keys()) == 80
    assert coco.categories[:3] == ("person", "bicycle", "car")
    nouns = NounGraph.embedded()
    text = (Path(__file__).parents[2] / "wordtree/label_maps/coco80.yaml").read_text()
    for category, key in coco.targets.items():
        synset = nouns.find(str(key))
        assert (
            f"  {category}: {key}  # {nouns.sort_names[synset]}: {nouns.definition(synset)}\n"
            in text
        )


def test_our_coco_map_differs_from_darknets_in_fifteen_categories(darknet_files: Path) -> None:
    tree = WordTree.load(darknet_files / "9k.tree")
    theirs = LabelMap.read_darknet(darknet_files / "coco9k.map", darknet_files / "coco.names", tree)
    ours = LabelMap.load("coco80")
    # darknet's names are those of COCO in the same order, some of them joined
    pairs = zip(ours.targets.values(), theirs.targets.values(), strict=True)
    assert sum(one != other for one, other in pairs) == 15
    numbered = LabelMap.read_darknet(darknet_files / "coco9k.map", darknet_files / "coco.names")
    assert numbered.nodes(tree).tolist() == theirs.nodes(tree).tolist()
    with pytest.raises(UserError, match="by number"):
        numbered.keys()


def test_several_keys_mean_their_lowest_common_ancestor_and_null_is_left_out(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, "dataset: mine\nmap:\n  pet: [dog, cat]\n  auto: car\n  junk: null\n")
    label_map = LabelMap.load(file)
    assert label_map.keys() == ["dog", "cat", "car"]
    assert label_map.nodes(TREE).tolist() == [0, 1, -1]
    with pytest.raises(UserError, match="no common ancestor"):
        LabelMap("mine", {"thing": ("dog", "car")}).nodes(TREE)
    with pytest.raises(UserError, match="category 'bus' of mine: no node"):
        LabelMap("mine", {"bus": "bus"}).nodes(TREE)


def test_a_map_goes_round_through_yaml_and_darknet(tmp_path: Path) -> None:
    label_map = LabelMap(
        "mine",
        {"no": "dog", "a: b": ("cat", "dog"), "null": None, "12": "car", "ü # x": "n00000001"},
    )
    label_map.save(tmp_path / "mine.yaml", {"no": "a\ngloss: here"})
    assert LabelMap.load(tmp_path / "mine.yaml") == label_map
    whole = LabelMap("mine", {"dog": "dog", "car": "car"})
    whole.write_darknet(tmp_path / "mine.map", TREE)
    assert (tmp_path / "mine.map").read_text() == "3\n1\n"
    with pytest.raises(UserError, match="'null' is left out"):
        LabelMap("mine", {"null": None}).write_darknet(tmp_path / "mine.map", TREE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: x\n", "has `dataset: NAME` and `map:`"),
        ("dataset: x\nmap: [a]\n", "has `dataset: NAME` and `map:`"),
        ("dataset: x\nmap:\n  a: b\n  a: c\n", "line 4: 'a' stands there twice"),
        ("dataset: x\nmap:\n  no: b\n", "False is no text; put it in quotes"),
        ("dataset: x\nmap:\n  a: 3\n", "'a' points to 3"),
        ("dataset: x\nmap:\n  a: []\n", "'a' points to"),
        ("dataset: x\nmaps: {}\nmap: {}\n", "not 'maps'"),
        ("dataset: ../x\nmap: {}\n", "no name for a file"),
        ("dataset: x\nmap: {a: b\n", "line"),
        ("dataset: !!python/object:os.system x\nmap: {}\n", "line 1"),
    ],
)
def test_a_map_that_is_wrong_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        LabelMap.load(write(tmp_path, text))


def test_an_unknown_map_or_category_is_answered_with_what_there_is() -> None:
    with pytest.raises(UserError, match="packaged maps \\(coco80"):
        LabelMap.load("coco8")
    coco = LabelMap.load("coco80")
    with pytest.raises(UserError, match="the category 'hotdog'.*near to it are 'hot dog'"):
        coco.select(["dog", "hotdog"])
    assert coco.select(["dog", "cat"]).keys() == ["n02084071", "n02121808"]


def test_folders_named_by_wnid_are_a_map(tmp_path: Path) -> None:
    for name in ("n02084071", "n02121808", ".cache"):
        (tmp_path / "train" / name).mkdir(parents=True)
    label_map = LabelMap.from_folders(tmp_path)
    assert label_map.categories == ("n02084071", "n02121808")
    assert label_map.dataset == tmp_path.name
    assert LabelMap.from_folders(tmp_path / "train").keys() == label_map.keys()
    tree, _ = build(label_map)
    assert tree.labelled[label_map.nodes(tree)].all()
    (tmp_path / "train" / "dogs").mkdir()
    with pytest.raises(UserError, match="not named by a wnid"):
        LabelMap.from_folders(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no folders"):
        LabelMap.from_folders(tmp_path / "empty")
    with pytest.raises(UserError, match="cannot be read"):
        LabelMap.from_folders(tmp_path / "none")


@pytest.mark.parametrize("value", ["2020-13-45", "!!int q", "!!float q", "!!timestamp z"])
def test_what_yaml_takes_for_a_broken_date_or_number_is_one_sentence(
    value: str, tmp_path: Path
) -> None:
    (tmp_path / "m.yaml").write_text(f"dataset: a\nmap:\n  x: {value}\n")
    with pytest.raises(UserError, match="not YAML that can be read"):
        LabelMap.load(tmp_path / "m.yaml")


def test_any_name_that_a_file_can_hold_goes_round(tmp_path: Path) -> None:
    names = [
        "x" * 10_000,
        "a\x7fb",
        "a\x85b",
        "a\u2028b",
        "a\nb",
        '"\\',
        "\U0001f600\x01",
        "no",
        "12",
    ]
    label_map = LabelMap("m", dict.fromkeys(names, "n02084071") | {"list": ("a b", "c")})
    label_map.save(tmp_path / "m.yaml")
    assert LabelMap.load(tmp_path / "m.yaml") == label_map
    with pytest.raises(UserError, match="UTF-8 cannot write"):
        LabelMap("m", {"\ud800": "n02084071"}).save(tmp_path / "n.yaml")
