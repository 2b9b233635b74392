import dataclasses
import itertools
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import networkx
import pytest
from hypothesis import given, settings

from wordtree import LabelMap, UserError, WordTree, build
from wordtree.hand_edits import Edit
from wordtree.wordnet import NounGraph

Mapping = dict[str, list[str]]


def parents(tree: WordTree) -> dict[str, str]:
    return {
        key: tree.keys[above] if above >= 0 else ""
        for key, above in zip(tree.keys, tree.parent.tolist(), strict=True)
    }


# -- against the public tree and the paper's count --------------------------------------------


def test_preset_paper1k_gives_1369_nodes_from_the_ilsvrc_labels(imagenet_labels: list[str]) -> None:
    tree, report = build(imagenet_labels[:1000], preset="paper1k")
    assert len(tree) == 1369
    assert report.unreachable == ("n06794110", "n06874185", "n09229709")
    assert len(report.several) == 303
    assert not report.ancestors


@pytest.mark.parametrize(
    ("options", "nodes"),
    [
        ({}, 1370),
        ({"ties": "wordnet_order"}, 1369),
        ({"rule": "shortest"}, 1367),
        ({"rule": "first"}, 1368),
    ],
)
def test_other_rules_give_other_counts_for_the_ilsvrc_labels(
    options: dict[str, str], nodes: int, imagenet_labels: list[str]
) -> None:
    assert len(build(imagenet_labels[:1000], **options)[0]) == nodes  # type: ignore[arg-type]


def nine_k_labels(darknet_files: Path, imagenet_labels: list[str]) -> tuple[WordTree, list[str]]:
    tree = WordTree.load(darknet_files / "9k.tree")
    known = set(imagenet_labels)
    return tree, [key for key in tree.keys if key in known]


def test_preset_darknet9k_gives_its_nodes_and_all_but_six_of_its_parents(
    darknet_files: Path, imagenet_labels: list[str]
) -> None:
    theirs, labels = nine_k_labels(darknet_files, imagenet_labels)
    assert len(labels) == 9149
    ours, report = build(labels, preset="darknet9k")
    assert sorted(ours.keys) == sorted(theirs.keys)
    found = parents(ours)
    different = {key for key, above in parents(theirs).items() if found[key] != above}
    # bath towel, Turkish towel, bat boy, patriarch, pitcher, bridesmaid: docs/wordtree.md
    assert different == {
        "n02808304",
        "n04499446",
        "n09843443",
        "n10406266",
        "n10435988",
        "n09874862",
    }
    assert len(report.promoted) == 709
    assert int(ours.labelled.sum()) == 9149


def test_ties_by_name_path_choose_what_9k_tree_chose(
    darknet_files: Path, imagenet_labels: list[str]
) -> None:
    _, labels = nine_k_labels(darknet_files, imagenet_labels)
    tree, _ = build(labels)
    assert len(tree) == 9417
    nouns = NounGraph.embedded()
    for name, above in {
        "cheese.n.01": "food.n.02",
        "tuna.n.03": "scombroid.n.01",
        "catcher's_mask.n.01": "face_mask.n.01",
    }.items():
        child, upper = nouns.keys[nouns.find(name)], nouns.keys[nouns.find(above)]
        assert tree[child].parent == tree[upper]


def test_the_order_of_labels_does_not_change_a_byte(imagenet_labels: list[str]) -> None:
    labels = imagenet_labels[:600]
    tree, report = build(labels, preset="darknet9k")
    random.Random(1).shuffle(labels)
    again, same = build(labels, preset="darknet9k")
    assert again == tree
    assert same.to_json() == report.to_json()


def test_another_hash_seed_does_not_change_a_byte(
    said_under_hash_seeds: Callable[[str], set[str]],
) -> None:
    code = (
        "from wordtree import LabelMap, build; from wordtree.wordnet import NounGraph;"
        "nouns = NounGraph.embedded(); tree, report = build(["
        "*LabelMap.load('coco80').keys(), *nouns.keys[20000:20300]], preset='darknet9k');"
        "print(tree.hash, report.to_json())"
    )
    outputs = said_under_hash_seeds(code)
    assert len(outputs) == 1


# -- the rule, against all paths listed ---------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> Mapping:
    """Acyclic hierarchies of up to 12 labels with up to 3 parents each, below one root."""
    count = draw(st.integers(2, 12))
    names = draw(st.permutations([f"k{at:02d}" for at in range(count)]))
    above: Mapping = {}
    for at in range(1, count):
        chosen = draw(st.sets(st.integers(0, at - 1), min_size=1, max_size=3))
        above[names[at]] = [names[parent] for parent in sorted(chosen)]
    return above


def all_paths(above: Mapping, label: str) -> list[list[str]]:
    """Every path, root first."""
    if label not in above:
        return [[label]]
    return [[*path, label] for up in above[label] for path in all_paths(above, up)]


def slow_walk(above: Mapping, labels: list[str], ties: str) -> dict[str, str]:
    """The rule as the research states it, with all paths listed: child -> parent."""
    parent: dict[str, str] = {}
    taken = {next(up for ups in above.values() for up in ups if up not in above)}

    def steps(path: list[str]) -> list[tuple[str, str]]:
        return list(itertools.pairwise(path))

    def insert(path: list[str]) -> None:
        for up, child in reversed(steps(path)):
            if child in taken:
                break
            taken.add(child)
            parent[child] = up

    def growth(path: list[str]) -> int:
        return sum(parent.get(child) != up for up, child in steps(path))

    paths = {label: all_paths(above, label) for label in sorted(labels)}
    for label in paths:
        if len(paths[label]) == 1:
            insert(paths[label][0])
    several = [label for label in paths if len(paths[label]) > 1]
    limit = 1
    while several:
        added, rest = False, []
        for label in several:
            if label in taken:
                continue
            best = min(
                paths[label],
                key=lambda path: (growth(path), len(path) if ties == "shortest" else 0, path),
            )
            if growth(best) <= limit:
                insert(best)
                added = True
            else:
                rest.append(label)
        several = rest
        limit += not added
    return parent


@given(graphs(), st.data(), st.sampled_from(["name_path", "shortest"]))
@settings(max_examples=150, deadline=None)
def test_the_walk_equals_its_slow_twin_that_lists_all_paths(
    above: Mapping, data: st.DataObject, ties: str
) -> None:
    labels = data.draw(st.lists(st.sampled_from(sorted(above)), min_size=1, unique=True))
    tree, _ = build(labels, graph=above, unary="keep", ties=ties)
    root = next(up for ups in above.values() for up in ups if up not in above)
    expected = {
        child: "" if up == root else up for child, up in slow_walk(above, labels, ties).items()
    }
    assert parents(tree) == expected


@given(graphs(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_collapsed_tree_keeps_labels_and_branchings_only(
    above: Mapping, data: st.DataObject
) -> None:
    labels = data.draw(st.lists(st.sampled_from(sorted(above)), min_size=1, unique=True))
    tree, report = build(labels, graph=above)
    whole, _ = build(labels, graph=above, unary="keep")
    assert set(labels) <= set(tree.keys)
    for node in tree:
        assert node.labelled == (node.key in labels)
        assert node.labelled or len(node.children) >= 2
        kept = [up.key for up in whole[node.key].path if up.key in tree]
        assert [up.key for up in node.path] == kept
    assert set(whole.keys) - set(tree.keys) == set(report.removed)


@given(graphs())
@settings(max_examples=40, deadline=None)
def test_shortest_takes_a_shortest_path_and_first_the_first_parents(above: Mapping) -> None:
    labels = sorted(above)
    shortest, _ = build(labels, graph=above, unary="keep", rule="shortest")
    first, _ = build(labels, graph=above, unary="keep", rule="first")
    for label in labels:
        lengths = [len(path) for path in all_paths(above, label)]
        assert len(shortest[label].path) == min(lengths) - 1
        up = above[label][0]
        assert parents(first)[label] == (up if up in above else "")


def test_fifty_stacked_diamonds_are_no_trouble() -> None:
    above: Mapping = {}
    for at in range(50):
        above |= {f"l{at}": [f"t{at}"], f"r{at}": [f"t{at}"], f"t{at + 1}": [f"l{at}", f"r{at}"]}
    tree, report = build(["t50"], graph=above, unary="keep")
    assert len(tree) == 100
    assert len(report.choices) == 50
    assert all(choice.chosen.startswith("l") for choice in report.choices)


def test_a_hierarchy_100000_deep_is_built_without_recursion() -> None:
    above = {f"{at + 1:06d}": f"{at:06d}" for at in range(100_000)}
    tree, _ = build(list(above), graph=above)
    assert int(tree.depth.max()) == 99_999


# -- options --------------------------------------------------------------------------------------


def test_a_lone_leaf_is_promoted_beside_its_labelled_parent_and_no_further() -> None:
    above = {"a": None, "b": "a", "c": "b", "d": None, "e": "d", "f": "d"}
    tree, report = build(list(above), graph=above, lone_leaf="promote")
    assert parents(tree) == {"a": "", "b": "a", "c": "a", "d": "", "e": "d", "f": "d"}
    assert report.promoted == (("c", "b"),)


def test_a_label_without_a_path_goes_to_the_root_below_the_nearest_such_label() -> None:
    sport, rowing = "n00523513", "n00446980"  # sport, archery: acts, not physical
    tree, report = build([sport, rowing, "n02084071"])
    assert report.unreachable == (rowing, sport)
    assert parents(tree) == {"n02084071": "", sport: "", rowing: sport}
    template = report.edits_template().splitlines()
    assert template[0] == "child,old_parent,new_parent,reason"
    assert len(template) == 3
    with pytest.raises(
        UserError, match=r"2 labels have no path to physical_entity.n.01: n00446980"
    ):
        build([sport, rowing, "n02084071"], unreachable="refuse")


@pytest.mark.parametrize("applied", ["before", "after"])
@pytest.mark.parametrize("walk", ["root", "entity.n.01"])
def test_what_the_edits_reach_is_no_longer_unreachable(applied: str, walk: str) -> None:
    labels = ["n09229709", "n06794110", "n06874185", "n02084071", "n03964744"]
    tree, report = build(
        labels, walk=walk, edits="darknet9k", edits_applied=applied, unreachable="refuse"
    )
    assert not report.unreachable
    assert parents(tree)["n09229709"] == "n03964744"
    assert tree["n06794110"].parent == tree["n06791372"]


def test_edits_are_checked_against_the_graph() -> None:
    labels = ["n02084071", "n02121808"]
    for edit, message in [
        (Edit("dog.n.01", "plaything.n.01", "animal.n.01"), "no parent of dog.n.01.*canine.n.02"),
        (Edit("canine.n.02", "carnivore.n.01", "dog.n.01"), "in a circle"),
        (Edit("nodog.n.01", "canine.n.02", "animal.n.01"), "has no noun"),
    ]:
        for applied in ("before", "after"):
            with pytest.raises(UserError, match=message):
                build(labels, edits=[edit], edits_applied=applied)


def test_an_edits_file_is_read_with_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "edits.csv"
    file.write_text("child,old_parent,new_parent,reason\ndog.n.01,canine.n.02,pet.n.01,a pet\n")
    tree, _ = build(["n02084071", "n01318894", "n02121808"], edits=file)
    assert tree["n02084071"].parent == tree["n01318894"]
    file.write_text("child,old_parent,new_parent,reason\ndog.n.01,,pet.n.01,x\n")
    with pytest.raises(UserError, match="line 2: an edit has"):
        build(["n02084071"], edits=file)
    file.write_text("a,b\n")
    with pytest.raises(UserError, match="line 1: an edits file begins with"):
        build(["n02084071"], edits=file)
    with pytest.raises(UserError, match="cannot be read"):
        build(["n02084071"], edits=tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "darknet9"}, "did you mean darknet9k"),
        ({"rule": "shortst"}, "did you mean shortest"),
        ({"ties": "x"}, "ties has no value 'x'.*name_path, shortest"),
        ({"walk": "dog.n.01"}, "does not stand above the root"),
        ({"root": "dog.n.01"}, "is the build's root"),
        ({"root": "n00000001"}, "no noun synset"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(["n02084071"], **options)  # type: ignore[arg-type]


def test_unknown_labels_are_named_together() -> None:
    with pytest.raises(UserError, match=r"n99999999.*nor can these be used: 'n99999998'"):
        build(["n99999999", "n02084071", "n99999998"])
    with pytest.raises(UserError, match="not one text"):
        build("n02084071")


# -- hierarchies of one's own ---------------------------------------------------------------------


def test_a_mapping_with_top_nodes_needs_no_wordnet() -> None:
    shelf = {"drink": None, "food": None, "cola": "drink", "tea": "drink", "rice": "food"}
    tree, _ = build(["cola", "tea", "rice"], graph=shelf)
    assert parents(tree) == {"rice": "", "drink": "", "cola": "drink", "tea": "drink"}


def test_a_networkx_graph_builds_the_same_tree_as_the_mapping() -> None:
    above = {"b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["b"], "a": None}
    edges = [(up, child) for child, ups in above.items() for up in ups or []]
    ours, _ = build(["d", "e", "c"], graph=above)
    assert build(["d", "e", "c"], graph=networkx.DiGraph(edges))[0] == ours


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"a": "b", "b": "c", "c": "a"}, "in a circle"),
        ({"a": "a"}, "in a circle"),
        ({"a": "x", "b": "y"}, "2 roots"),
        ({"top": None, "a": "tpo"}, "parent 'tpo' of 'a' is missing"),
        ({"": "a"}, "not empty"),
    ],
)
def test_a_hierarchy_that_is_none_is_refused(graph: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(["a"], graph=graph)


def test_the_root_of_a_hierarchy_is_never_a_node() -> None:
    with pytest.raises(UserError, match="never a node"):
        build(["animal"], graph={"dog": "animal"})


# -- the report -----------------------------------------------------------------------------------


def test_the_report_says_what_the_tree_does_not_show() -> None:
    coco = LabelMap.load("coco80")
    tree, report = build([coco, "n02084071", "n02084071"])
    assert report.unreachable == ("n06794110", "n06874185")
    assert report.repeated == ("n02084071",)
    assert ("coco80", "n07639069", "n07628870") in report.ancestors  # doughnut below cake
    assert ("coco80", "n07697537", "n07695965") in report.ancestors  # hot dog below sandwich
    assert len(report.ancestors) == 2
    dog = next(choice for choice in report.choices if choice.at == "n02084071")
    assert (dog.chosen, dog.against) == ("n02083346", ("n01317541",))
    assert dog.labels == ("n02084071",)
    assert set(report.singletons) == {
        tree.keys[above] if above >= 0 else ""
        for above in tree.group_parent[tree.group_size == 1].tolist()
    }
    content = json.loads(report.to_json())
    assert content["nodes"] == len(tree)
    assert content["tree_hash"] == tree.hash
    assert content["unreachable"] == ["n06794110", "n06874185"]
    text = str(report)
    assert "dog (n02084071): canine (n02083346), not domestic animal (n01317541) (1 label)" in text
    assert "traffic light (n06874185)" in text


def test_the_report_says_what_labels_given_by_name_became() -> None:
    tree, report = build(["banjo", "dog.n.01", "n02123045", "refrigerator"])
    assert report.resolved == (
        ("banjo", "n02787622"),
        ("dog.n.01", "n02084071"),
        ("refrigerator", "n04070727"),
    )
    assert {key for _, key in report.resolved} <= set(tree.keys)
    assert "'refrigerator' is refrigerator (n04070727)" in str(report)
    assert json.loads(report.to_json())["resolved"][0] == ["banjo", "n02787622"]
    with pytest.raises(UserError, match=r"'mouse'.*n02330245.*n03793489"):
        build(["banjo", "mouse"])


def test_a_name_with_line_breaks_or_of_10_kb_stays_one_entry_of_the_report() -> None:
    graph = networkx.DiGraph([("top", "a"), ("top", "b"), ("a", "c"), ("b", "c")])
    nodes = {"top": 0, "a": 1, "b": 1, "c": 2}
    assert set(graph) == set(nodes)
    _, report = build(["a", "b", "c"], graph=graph)
    long = dataclasses.replace(report, names={**report.names, "a": "x\ny", "b": "z" * 10_000})
    lines = str(long).splitlines()
    assert any("x y (a)" in line for line in lines)
    assert len(lines) == len(str(report).splitlines())
    assert max(map(len, lines)) < 1000
    assert long.names["b"] in long.to_json()


def test_a_choice_at_the_top_of_a_long_chain_is_made_once() -> None:
    count = 20_000
    graph: dict[str, list[str]] = {"left": [], "right": [], "00000": ["left", "right"]}
    graph |= {f"{at:05}": [f"{at - 1:05}"] for at in range(1, count)}
    begin = time.perf_counter()
    tree, report = build(sorted(graph), graph=graph)
    assert time.perf_counter() - begin < 10
    assert int(tree.depth.max()) == count
    assert [(choice.at, len(choice.labels)) for choice in report.choices] == [("00000", count)]
    lone, _ = build([f"{count - 1:05}"], graph=graph)
    assert lone.keys == (f"{count - 1:05}",)
    assert time.perf_counter() - begin < 20
