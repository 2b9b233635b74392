import json
from pathlib import Path
from typing import Any

import pytest

from wordtree import UserError, WordTree, build
from wordtree.graph import LabelGraph, all_labels
from wordtree.open_images import open_images_label_map, read_open_images


def entry(mid: str, *kinds: dict[str, Any], parts: tuple[dict[str, Any], ...] = ()) -> dict:
    """One entry as the data set writes it; `kinds` are its subcategories."""
    found: dict[str, Any] = {"LabelName": mid}
    if kinds:
        found["Subcategory"] = list(kinds)
    if parts:
        found["Part"] = list(parts)
    return found


# Made by hand after the real file: parts of parts, a part with kinds of its own, a class that is
# a part here and a kind there, and one below two parents.
EYE = entry("/m/eye")
FACE = entry("/m/face", parts=(EYE, entry("/m/beard")))
SAMPLE = entry(
    "/m/entity",
    entry(
        "/m/animal",
        entry("/m/carnivore", entry("/m/dog"), entry("/m/cat"), parts=(entry("/m/paw"),)),
    ),
    entry("/m/person", entry("/m/man", parts=(FACE,)), entry("/m/woman"), parts=(FACE, EYE)),
    entry("/m/furniture", entry("/m/bath", entry("/m/tub")), entry("/m/sofabed")),
    entry("/m/bed", entry("/m/sofabed")),
    entry("/m/fixture", entry("/m/bath", entry("/m/jacuzzi"))),
    entry(
        "/m/car",
        entry("/m/taxi"),
        parts=(entry("/m/wheel", entry("/m/spoked")), entry("/m/plate"), entry("/m/tub")),
    ),
)
NAMES = {
    "/m/animal": "Animal",
    "/m/dog": "Dog",
    "/m/eye": "Human eye",
    "/m/bath": "Bathroom, fittings",
    "/m/other": "A class of no box",
}


def written(tmp_path: Path, content: Any, name: str = "hierarchy.json") -> Path:
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def kinds(above: dict[str, Any], found: dict[str, set[str]] | None = None) -> dict[str, set[str]]:
    """The slow twin: label -> the labels it is a Subcategory of, by recursion."""
    found = {} if found is None else found
    for below in above.get("Subcategory", []):
        found.setdefault(below["LabelName"], set()).add(above["LabelName"])
    for below in [*above.get("Subcategory", []), *above.get("Part", [])]:
        found.setdefault(below["LabelName"], set())
        kinds(below, found)
    return found


def parents(graph: LabelGraph, key: str) -> list[str]:
    return [graph.keys[at] for at in graph.parents[graph.find(key)]]


def above(tree: WordTree, key: str) -> str:
    up = tree[key].parent
    return up.key if up else ""


def test_a_class_stands_below_those_it_is_a_subcategory_of_and_of_nothing_it_is_a_part_of(
    tmp_path: Path,
) -> None:
    graph = read_open_images(written(tmp_path, SAMPLE))
    twin = kinds(SAMPLE)
    assert set(all_labels(graph)) == set(twin)
    for key, ups in twin.items():
        assert set(parents(graph, key)) == (ups or {"/m/entity"})
    assert parents(graph, "/m/bath") == ["/m/furniture", "/m/fixture"]
    assert parents(graph, "/m/sofabed") == ["/m/furniture", "/m/bed"]
    assert parents(graph, "/m/eye") == parents(graph, "/m/paw") == ["/m/entity"]
    assert parents(graph, "/m/spoked") == ["/m/wheel"]
    assert parents(graph, "/m/tub") == ["/m/bath"]


def test_the_tree_has_every_class_once_and_entity_never(tmp_path: Path) -> None:
    graph = read_open_images(written(tmp_path, SAMPLE))
    tree, report = build(all_labels(graph), graph=graph)
    assert sorted(tree.keys) == sorted(kinds(SAMPLE))
    assert "/m/entity" not in tree
    assert above(tree, "/m/wheel") == above(tree, "/m/face") == ""
    assert above(tree, "/m/dog") == "/m/carnivore"
    assert {choice.at for choice in report.choices} == {"/m/bath", "/m/sofabed"}
    assert not report.unreachable


@pytest.mark.parametrize(
    "header", ["", "LabelName,DisplayName\n", "\ufeffLabelName,DisplayName\r\n"]
)
def test_display_names_are_read_with_and_without_the_header(header: str, tmp_path: Path) -> None:
    rows = "".join(f'{mid},"{name}"\n' for mid, name in NAMES.items())
    names = written(tmp_path, header + rows, "classes.csv")
    graph = read_open_images(written(tmp_path, SAMPLE), names)
    assert graph.names[graph.find("/m/bath")] == "Bathroom, fittings"
    assert graph.names[graph.find("/m/cat")] == "/m/cat"
    tree, _ = build(["Dog", "Human eye", "/m/cat"], graph=graph)
    assert tree["Dog"].key == "/m/dog"


def test_the_label_map_of_the_classes_goes_from_display_names_to_their_nodes(
    tmp_path: Path,
) -> None:
    names = written(tmp_path, "/m/dog,Dog\n/m/cat,Cat\n/m/eye,Human eye\n", "classes.csv")
    graph = read_open_images(written(tmp_path, SAMPLE), names)
    label_map = open_images_label_map(graph)
    assert label_map.targets["Human eye"] == "/m/eye"
    tree, _ = build(label_map, graph=graph)
    assert len(tree) == len(label_map.categories) == len(kinds(SAMPLE))
    nodes = dict(zip(label_map.categories, label_map.nodes(tree).tolist(), strict=True))
    assert tree[nodes["Dog"]].key == "/m/dog"
    label_map.write_darknet(tmp_path / "open_images.map", tree)
    twice = written(tmp_path, "/m/dog,Dog\n/m/cat,Dog\n", "classes.csv")
    with pytest.raises(UserError, match="/m/cat and /m/dog are both named 'Dog'"):
        open_images_label_map(read_open_images(written(tmp_path, SAMPLE), twice))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ('{"LabelName": "a", "Part": [' * 50_000, "is not JSON"),
        ([SAMPLE], "the outermost entry has no LabelName"),
        ({"categories": []}, "the outermost entry has no LabelName"),
        (entry("/m/entity"), "/m/entity has no Subcategory and no Part"),
        (entry("/m/e", {"LabelName": 5}), "a Subcategory of /m/e has the LabelName 5"),
        (entry("/m/e", parts=({"Part": []},)), "a Part of /m/e has no LabelName"),
        (entry("/m/e", entry("")), "a Subcategory of /m/e has the LabelName ''"),
        (entry("/m/e", entry("\ud800")), "has the LabelName"),
        (entry("/m/e", {"LabelName": "a", "Part": {}}), "the Part of a is no list"),
        (entry("/m/e", entry("a", entry("b", entry("a")))), "in a circle: 'a' > 'b' > 'a'|'b' > "),
        (entry("/m/e", entry("a", entry("/m/e"))), "in a circle"),
    ],
)
def test_what_is_no_such_hierarchy_is_refused_with_the_place(
    content: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"hierarchy.json.*{message}"):
        read_open_images(written(tmp_path, content))


def test_a_part_may_be_a_kind_of_what_it_is_a_part_of(tmp_path: Path) -> None:
    # A part leads up to nothing, so going round by one is no cycle.
    body = entry("/m/body", parts=(entry("/m/head", entry("/m/body")),))
    graph = read_open_images(written(tmp_path, entry("/m/entity", body)))
    assert parents(graph, "/m/head") == ["/m/entity"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no names"),
        ("LabelName,DisplayName\n", "has no names"),
        ("/m/dog,Dog\n\n/m/cat\n", "line 3: '/m/cat' is not a MID and a display name"),
        ("/m/dog,Dog,1\n", "line 1: '/m/dog,Dog,1' is not"),
        ("/m/dog,\n", "line 1: '/m/dog,' is not"),
        ("/m/dog,Dog\n/m/dog,Cat\n", "line 2: /m/dog is named 'Cat', but 'Dog' before"),
        ('/m/dog,"Dog\n', "line 1: not CSV"),
        ("/m/x,Dog\n", "names none of the 23 classes"),
    ],
)
def test_faults_of_the_class_descriptions_are_told_with_their_line(
    content: str, message: str, tmp_path: Path
) -> None:
    hierarchy, names = written(tmp_path, SAMPLE), written(tmp_path, content, "classes.csv")
    with pytest.raises(UserError, match=f"classes.csv.*{message}"):
        read_open_images(hierarchy, names)
