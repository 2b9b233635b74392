import json
from pathlib import Path
from typing import Any

import pytest

from wordtree import LabelMap, UserError, build
from wordtree.lvis import lvis_label_map
from wordtree.wordnet import NounGraph

ROWS = [
    {"id": 4, "name": "stop_sign", "synset": "stop_sign.n.01", "synonyms": ["stop_sign"]},
    {"id": 2, "name": "dog", "synset": "dog.n.01", "frequency": "f", "def": "a pet"},
    {"id": 3, "name": "puppy_(young_dog)", "synset": "dog.n.01"},
    {"id": 1, "name": "street_sign", "synset": "street_sign.n.01"},
]


def written(tmp_path: Path, rows: Any) -> Path:
    file = tmp_path / "lvis_v1_val.json"
    file.write_text(json.dumps({"annotations": [{"id": 1}], "categories": rows}))
    return file


def test_synsets_become_the_keys_of_a_map_in_the_order_of_the_ids(tmp_path: Path) -> None:
    label_map, unknown = lvis_label_map(written(tmp_path, ROWS))
    nouns = NounGraph.embedded()
    dog = nouns.keys[nouns.find("dog.n.01")]
    street_sign = nouns.keys[nouns.find("street_sign.n.01")]
    assert label_map == LabelMap(
        "lvis",
        {"street_sign": street_sign, "dog": dog, "puppy_(young_dog)": dog, "stop_sign": None},
    )
    assert list(label_map.categories) == ["street_sign", "dog", "puppy_(young_dog)", "stop_sign"]
    tree, report = build(label_map)
    assert label_map.nodes(tree).tolist()[1:] == [tree.index(dog), tree.index(dog), -1]
    assert report.unreachable == (street_sign,)
    assert [category.category for category in unknown] == ["stop_sign"]


@pytest.mark.parametrize(
    ("name", "stand_in"),
    [
        ("stop_sign", "street_sign.n.01"),  # COCO's map has it
        ("zorbish_dog", "dog.n.01"),  # its last word
        ("zorbish", ""),
    ],
)
def test_a_synset_that_wordnet_lacks_is_told_with_a_noun_that_may_stand_in(
    name: str, stand_in: str, tmp_path: Path
) -> None:
    rows = [*ROWS[1:], {"id": 9, "name": name, "synset": f"{name}.n.01"}]
    label_map, (unknown,) = lvis_label_map(written(tmp_path, rows))
    assert label_map.targets[name] is None
    assert (unknown.category, unknown.synset, unknown.stand_in_name) == (
        name,
        f"{name}.n.01",
        stand_in,
    )
    assert f"{name}: WordNet 3.0 has no {name}.n.01" in str(unknown)
    if stand_in:
        nouns = NounGraph.embedded()
        assert nouns.sort_names[nouns.find(unknown.stand_in)] == stand_in
        assert f"({stand_in}) may stand in" in str(unknown)


def test_a_lemma_is_no_synset(tmp_path: Path) -> None:
    # `dachshund` has one sense, but a file that means WordNet's synsets writes dachshund.n.01.
    rows = [*ROWS[1:], {"id": 9, "name": "sausage dog", "synset": "dachshund"}]
    assert lvis_label_map(written(tmp_path, rows))[0].targets["sausage dog"] is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": 1, "name": "dog"}], "no category has a `synset`.*read it as a COCO file"),
        ([*ROWS, {"id": 7, "name": "cat"}], r"no synset in 1 of 5 categories: 'cat' \(id 7\)"),
        (
            [*ROWS, {"id": 7, "name": "dog", "synset": "hotdog.n.01"}],
            "2 and 7 are both named 'dog'",
        ),
        ([], "has no `categories`"),
    ],
)
def test_what_is_no_lvis_file_is_refused(rows: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"lvis_v1_val.json.*{message}"):
        lvis_label_map(written(tmp_path, rows))
