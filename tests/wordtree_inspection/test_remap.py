from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from wordtree import LabelMap, UserError, WordTree, build
from wordtree.inspection.remap import StandIn, remap, stand_ins_table

HIERARCHY = {
    "thing": None,
    "tool": "thing",
    "food": "thing",
    "knife": "tool",
    "bread_knife": ["knife", "food"],
    "cake": "food",
    "layer_cake": "cake",
    "saw": "tool",
}
TREE = WordTree(["tool", "food", "saw", "hammer", "cake", "bread"], [-1, -1, 0, 0, 1, 1])


def stand_in_of(target: object, **others: object) -> tuple[LabelMap, list[StandIn]]:
    return remap(LabelMap("mine", {"it": target, **others}), TREE, HIERARCHY)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("wanted", "key", "steps"),
    [
        ("layer_cake", "cake", 1),
        ("knife", "tool", 1),
        # knife is no node, so food is nearer than tool
        ("bread_knife", "food", 1),
    ],
)
def test_the_nearest_ancestor_that_is_a_node_stands_in(wanted: str, key: str, steps: int) -> None:
    new, (found,) = stand_in_of(wanted)
    assert new.targets == {"it": key}
    assert (found.wanted, found.key, found.steps) == (wanted, key, steps)


def test_ties_go_to_the_first_path_of_names_in_the_tree() -> None:
    graph = {"x": None, "z": "x", "b": "x", "a": "z", "it": ["b", "a"]}
    # In the tree the path of a begins with z, the path of b with b.
    tree = WordTree(["z", "b", "a", "c"], [-1, -1, 0, 0])
    new, (found,) = remap(LabelMap("mine", {"it": "it"}), tree, graph)
    assert (new.targets["it"], found.steps) == ("b", 1)


def test_what_the_tree_has_and_what_is_left_out_stay() -> None:
    new, found = stand_in_of("saw", no=None, two=("saw", "hammer"))
    assert new.targets == {"it": "saw", "no": None, "two": ("saw", "hammer")}
    assert found == []
    assert "has all nodes" in stand_ins_table(found, TREE)


def test_each_key_of_a_list_is_replaced() -> None:
    new, found = stand_in_of(("layer_cake", "cake", "bread"))
    assert new.targets == {"it": ("cake", "bread")}
    assert [entry.wanted for entry in found] == ["layer_cake"]
    new, _ = stand_in_of(("layer_cake", "cake"))
    assert new.targets == {"it": "cake"}


def test_without_a_stand_in_a_category_is_left_out_and_says_why() -> None:
    new, found = stand_in_of("thing", odd="nowhere", apart=("layer_cake", "knife"))
    assert set(new.targets.values()) == {None}
    assert [entry.key for entry in found] == [None] * 4
    assert "no node of the tree stands above" in found[0].reason
    assert "no label 'nowhere'" in found[1].reason
    assert "no common ancestor" in found[2].reason
    assert new.nodes(TREE).tolist() == [-1, -1, -1]


def test_categories_that_meet_because_of_a_stand_in_are_told() -> None:
    _, (knife, layer) = stand_in_of("knife", saw="saw", cake="cake", layer="layer_cake")
    assert (knife.same_node, knife.above, knife.below) == ((), (), ("saw",))
    # A layer cake is a cake in the hierarchy itself; that both are one node now is new.
    assert (layer.same_node, layer.above, layer.below) == (("cake",), (), ())
    text = stand_ins_table([knife, layer], TREE)
    assert "it now stands above saw\n" in text
    assert "layer falls on one node with cake\n" in text


def test_node_numbers_have_no_keys_to_look_for() -> None:
    with pytest.raises(UserError, match="by number"):
        stand_in_of(3)


def test_coco_on_darknets_tree(darknet_files: Path) -> None:
    tree = WordTree.load(darknet_files / "9k.tree")
    coco = LabelMap.load("coco80")
    with pytest.raises(UserError):
        coco.nodes(tree)
    new, found = remap(coco, tree)
    assert {entry.wanted_name: (tree[entry.key or ""].name, entry.steps) for entry in found} == {
        "fireplug.n.01": ("pipe", 3),
        "kite.n.03": ("plaything", 1),
        "surfboard.n.01": ("board", 1),
        "cake.n.03": ("baked goods", 1),
        "pot_plant.n.01": ("plant", 1),
        "sink.n.01": ("plumbing fixture", 1),
        "book.n.02": ("product", 1),
    }
    assert (new.nodes(tree) >= 0).all()
    same = set(coco.targets) - {entry.category for entry in found}
    assert all(new.targets[category] == coco.targets[category] for category in same)
    kite = next(entry for entry in found if entry.category == "kite")
    assert kite.below == ("teddy bear",)


LABELS = ["n02084071", "n02121808", "n02958343", "n07753592", "n03621473", "n04223580"]


@given(st.lists(st.sampled_from(LABELS), min_size=1, unique=True), st.data())
@settings(max_examples=25, deadline=None)
def test_a_map_is_always_loadable_afterwards(labels: list[str], data: st.DataObject) -> None:
    tree, _ = build(labels)
    targets = data.draw(
        st.lists(st.one_of(st.sampled_from(LABELS), st.lists(st.sampled_from(LABELS), min_size=1)))
    )
    label_map = LabelMap(
        "mine",
        {str(at): tuple(t) if isinstance(t, list) else t for at, t in enumerate(targets)},
    )
    new, found = remap(label_map, tree)
    nodes = new.nodes(tree)
    named = {entry.category for entry in found}
    for category, node in zip(new.targets, nodes.tolist(), strict=True):
        assert node >= 0 or category in named
    assert remap(new, tree) == (new, [])
