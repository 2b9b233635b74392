import csv
import json
from pathlib import Path

import hypothesis.strategies as st
import networkx
import pytest
from hypothesis import HealthCheck, given, settings

from wordtree import UserError, WordTree, build
from wordtree.graph import LabelGraph, all_labels, as_graph, find_cycle
from wordtree.hierarchies import read_hierarchy

DRINKS = {"drink": [], "food": [], "cola": ["drink"], "soup": ["drink", "food"], "pho": ["soup"]}


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def parents(graph: LabelGraph) -> dict[str, list[str]]:
    """label -> its parents, those at the top with none; the root left out."""
    above = {
        key: [graph.keys[at] for at in graph.parents[graph.find(key)]] for key in all_labels(graph)
    }
    return {key: [up for up in ups if up != graph.root] for key, ups in above.items()}


def shape(tree: WordTree) -> dict[str, str]:
    above = tree.parent.tolist()
    return {key: tree.keys[up] if up >= 0 else "" for key, up in zip(tree.keys, above, strict=True)}


# -- what the files say ---------------------------------------------------------------------------

CSV = "child,parent\ndrink,\nfood,\ncola,drink\nsoup,drink\nsoup,food\npho,soup\n"
FORMS = {
    "rows.csv": CSV,
    "crlf.csv": "\ufeff" + CSV.replace("\n", "\r\n"),
    "swapped.csv": "parent,child\n,drink\n,food\ndrink,cola\n\ndrink, soup\nfood,soup\nsoup,pho\n",
    "parents.yaml": "parents:\n  drink: null\n  food:\n  cola: drink\n  soup: [drink, food]\n"
    "  pho: soup\n",
    "nested.yml": "tree:\n  drink:\n    cola:\n    soup: [pho]\n  food: [soup]\n",
    "lists.yaml": "tree:\n- drink: [cola, soup: [pho]]\n- food:\n  - soup\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_a_hierarchy_says_the_same(name: str, tmp_path: Path) -> None:
    graph = read_hierarchy(written(tmp_path, name, FORMS[name]))
    assert parents(graph) == DRINKS
    labels = all_labels(graph)
    assert sorted(labels) == sorted(DRINKS)
    tree, report = build(labels, graph=graph)
    assert tree == build(list(DRINKS), graph=DRINKS)[0]
    assert tree.labelled.all()
    assert report.several == ("pho", "soup")


def test_a_hierarchy_of_a_file_is_built_with_no_more_than_the_labels_asked_for(
    tmp_path: Path,
) -> None:
    graph = read_hierarchy(written(tmp_path, "h.csv", CSV))
    tree, _ = build(["cola", "pho", "food"], graph=graph)
    assert shape(tree) == {"drink": "", "food": "", "cola": "drink", "pho": "drink"}
    assert tree["drink"].labelled is False


def test_one_parent_that_is_no_child_is_the_root_where_there_are_no_top_nodes(
    tmp_path: Path,
) -> None:
    for name, content in {
        "h.csv": "child,parent\ncat,animal\ndog,animal\npug,dog\n",
        "h.yaml": "parents: {cat: animal, dog: animal, pug: dog}\nnames: {animal: Animal}",
    }.items():
        graph = read_hierarchy(written(tmp_path, name, content))
        assert graph.root == "animal"
        tree, _ = build(all_labels(graph), graph=graph)
        assert shape(tree) == {"cat": "", "dog": "", "pug": "dog"}


def test_names_are_for_people_and_find_a_label_where_one_alone_has_it(tmp_path: Path) -> None:
    rows = "child,parent,name\nb1,,bank\nb2,,bank\nd1,b1,Dog's bed\nd1,b2,\nx,b2,\n"
    yaml = (
        "names: {b1: bank, b2: bank, d1: Dog's bed}\n"
        "parents: {b1: null, b2: null, d1: [b1, b2], x: b2}\n"
    )
    for name, content in {"h.csv": rows, "h.yaml": yaml}.items():
        graph = read_hierarchy(written(tmp_path, name, content))
        tree, _ = build(["Dog's bed", "x", "b1", "b2"], graph=graph)
        assert dict(zip(tree.keys, tree.names, strict=True)) == {
            "b1": "bank",
            "b2": "bank",
            "d1": "Dog's bed",
            "x": "x",
        }
        with pytest.raises(UserError, match="2 labels .* name 'bank'; say which .*: b1, b2"):
            build(["bank"], graph=graph)
        with pytest.raises(UserError, match="no label 'Dogs bed'; near to it are \"Dog's bed\""):
            build(["Dogs bed"], graph=graph)


def test_marks_against_formulas_are_dropped_and_other_apostrophes_stay(tmp_path: Path) -> None:
    rows = "child,parent,name\n'=1+1,,'@home\n'tis,'=1+1,' Tis\n''t,'=1+1,'\n"
    graph = read_hierarchy(written(tmp_path, "h.csv", rows))
    assert parents(graph) == {"=1+1": [], "'tis": ["=1+1"], "'t": ["=1+1"]}
    assert list(graph.names)[1:] == ["@home", "' Tis", "'"]


# -- round trips and twins ------------------------------------------------------------------------

labels = st.text(
    st.characters(
        codec="utf-8",
        exclude_characters="\ufeff\ufffe\uffff",
        exclude_categories=["Cc", "Zl", "Zp"],
    ),
    min_size=1,
    max_size=5,
).filter(lambda text: text == text.strip())


@st.composite
def hierarchies(draw: st.DrawFn) -> dict[str, list[str]]:
    keys = draw(st.lists(labels, min_size=1, max_size=8, unique=True))
    above: dict[str, list[str]] = {keys[0]: []}
    for at, key in enumerate(keys[1:], 1):
        above[key] = draw(st.lists(st.sampled_from(keys[:at]), max_size=3, unique=True))
    return {key: above[key] for key in draw(st.permutations(keys))}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(above=hierarchies())
def test_a_hierarchy_goes_round_through_csv_and_yaml(
    above: dict[str, list[str]], tmp_path: Path
) -> None:
    file = tmp_path / "h.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        write = csv.writer(out)
        write.writerow(["child", "parent"])
        rows = [(key, up) for key, ups in above.items() for up in ups or [""]]
        guard = tuple("=+-@＝＋－＠'")
        write.writerows(
            [f"'{cell}" if cell.startswith(guard) else cell for cell in row] for row in rows
        )
    assert parents(read_hierarchy(file)) == above == parents(as_graph(above))
    yaml = written(
        tmp_path,
        "h.yaml",
        json.dumps({"parents": {k: v or None for k, v in above.items()}}, ensure_ascii=False),
    )
    assert parents(read_hierarchy(yaml)) == above


@given(st.lists(st.sets(st.integers(0, 7), max_size=3), min_size=8, max_size=8))
def test_a_cycle_is_found_where_networkx_finds_one(above: list[set[int]]) -> None:
    graph = networkx.DiGraph((up, child) for child, ups in enumerate(above) for up in ups)
    cycle = find_cycle([tuple(ups) for ups in above])
    assert (not cycle) == networkx.is_directed_acyclic_graph(graph)
    assert all(up in above[child] for up, child in zip(cycle, cycle[1:] + cycle[:1], strict=True))


# -- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "nothing but blank lines"),
        ("child,parent\n", "has no labels"),
        ("dog,animal\n", r"line 1: the column child is missing; .* header child,parent"),
        ("child;parent\na;b\n", "line 1: the columns are separated by semicolons"),
        ("child,parent,names\na,,b\n", "line 1: the column 'names' cannot stand there"),
        ("child,parent,child\na,,b\n", "line 1: the column 'child' cannot stand there"),
        ("key,parent,name,labelled\na,,a,1\n", "line 1: .* WordTree.load reads it"),
        ("child,parent\na,\n\nb\n", "line 4: 'b' has 0 commas"),
        ("child,parent\na,\nb,a,c\n", "line 3: 'b,a,c' has 2 commas"),
        ("child,parent\na,\n,a\n", "line 3: the label '' is empty"),
        ('child,parent\na,\n"b\nc",a\n', r"line 3: the label 'b\\nc' has a line break"),
        ("child,parent\na,\nb,a\nb,a\n", "line 4: 'b' stands below 'a' in line 3 already"),
        ("child,parent\na,\na,\n", "line 3: 'a' is a top node in line 2 already; remove one"),
        ("child,parent\na,\nb,\nb,a\n", "line 4: 'b' is a top node in line 3 .*here below 'a'"),
        ("child,parent\na,\nb,a\nb,\n", "line 4: 'b' is a top node here, .* 'a' in line 3"),
        ("child,parent,name\na,,A\nb,a,B\nb,c,C\n", "line 4: 'b' has the name 'C', but 'B' in l"),
        ("child,parent\na,\nb,aa\n", "line 3: the parent 'aa' of 'b' is no label"),
        ("child,parent\na,b\nc,d\n", r"line 2: the parent 'b' of 'a' \(and 1 more like it\)"),
        ("child,parent\na,c\nb,a\nc,b\n", r"circle: .* \(lines \d, \d, \d\)"),
        ("child,parent\na,\nb,b\n", r"circle: 'b' > 'b' \(line 3\)"),
        ('child,parent\na,\n"b,a\n', "line 3: not CSV"),
        (f"child,parent\n{'a' * 200_000},\n", "line 2: not CSV"),
        (b"child,parent\na,\nb\0,a\n", "line 3: .*NUL"),
        (b"child,parent\na,\n\xff,a\n", "line 3: .*not UTF-8"),
    ],
)
def test_every_fault_of_a_csv_is_told_with_its_line(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"h.csv.*{message}"):
        read_hierarchy(written(tmp_path, "h.csv", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; give it `parents:`"),
        ("- a\n", "line 1: a hierarchy is `parents:`"),
        ("a: b\n", "line 1: 'a' is no part of `parents:`"),
        ("parents: {a: null}\ntree: {b: null}\n", "line 2: a hierarchy is either"),
        ("tree: {a: null}\ntree: {b: null}\n", "line 2: 'tree' stands in line 1 already"),
        ("names: {a: b}\n", "names alone"),
        ("parents: {}\n", "has no labels"),
        ("parents: a\n", "line 1: below `parents:` stands child: parent"),
        ("parents:\n  a: b\n  a: c\n", "line 3: 'a' stands in line 2 .* parents as a list"),
        ("parents:\n  a: []\n", "line 2: 'a' has an empty list"),
        ("parents:\n  a: {b: c}\n", "line 2: below `parents:` the parent of 'a' .* write `tree:`"),
        ("parents:\n  a: [[b]]\n", "line 2: a list or a mapping stands where a label"),
        ("parents:\n  a: null\n  b: [a,\n   a]\n", "line 4: 'b' stands below 'a' in line 3"),
        ("parents:\n  a: null\n  b: aa\n", "line 3: the parent 'aa' of 'b' is no label"),
        ("parents: {a: b,\n b: a}\n", r"circle: .* \(lines \d, \d\)"),
        ("parents:\n  no: null\n", "line 2: YAML reads no as yes or no; put it in quotes"),
        ("tree:\n  a:\n    on:\n", "line 3: YAML reads on as yes or no; put it in quotes"),
        ("tree:\n  a: [b, 12]\n", "line 2: YAML reads 12 as a number; put it in quotes"),
        ("tree:\n  a: [2020-01-01]\n", "line 2: YAML reads 2020-01-01 as a date"),
        ("tree:\n  null: [a]\n", "line 2: YAML reads null as no text"),
        ("tree: {a: null}\nnames: {a: 7}\n", "line 2: YAML reads 7 as a number"),
        ("tree: {a: null}\nnames: {b: B}\n", "line 2: the name 'B' is given to 'b', which is no"),
        ("tree:\n", "line 1: `tree:` has nothing below it"),
        ("tree:\n  a: b\n", r"line 2: below 'a' stands 'b' alone; write \[b\]"),
        ("tree:\n  a: [b]\n  a: [c]\n", "line 3: 'a' is a top node in line 2 already"),
        ("tree:\n  a:\n    b: [a]\n", "line 3: 'a' is a top node in line 2 .* below 'b'"),
        ("tree:\n  a: [[b]]\n", "line 2: a list or a mapping stands where a label"),
        ("parents:\n  a: &x b\n  c: *x\n", r"line 3: \*x is an alias"),
        ("tree: {a: null}\n---\ntree: {b: null}\n", "line 2: a second document"),
        ("tree: {a: !!python/object/apply:os.getcwd []}\n", "line 1: take out the tag"),
        ("tree: {!!python/name:os.getcwd a: null}\n", "line 1: YAML reads a as no text"),
        ("tree:\n  a: [b\n", "line 3: not YAML"),
        ("tree:\n  a\x01: null\n", r"line 2: YAML has no character '\\x01'"),
        ('tree:\n  "a\\nb": null\n', r"line 2: the label 'a\\nb' has a line break"),
        (b"tree:\n  \xff: null\n", "line 2: .*not UTF-8"),
    ],
)
def test_every_fault_of_a_yaml_file_is_told_with_its_line(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"h.yaml.*{message}"):
        read_hierarchy(written(tmp_path, "h.yaml", content))


def test_other_files_are_refused_with_what_reads_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.csv, \.yaml, \.yml, not '\.tree'; .*WordTree"):
        read_hierarchy(tmp_path / "9k.tree")
    with pytest.raises(UserError, match=r"none\.csv cannot be read"):
        read_hierarchy(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"a": 3}, "the parent of 'a' is 3; give a text"),
        ({"a": None, 5: "a"}, "label 5, which is no text"),
        ({"a": [7]}, "label 7, which is no text"),
        ({"a": None, "b\n": "a"}, "label 'b\\\\n', which has a line break"),
        ({"a": None, "\ud800": "a"}, "which has a character that UTF-8 cannot write"),
        (networkx.DiGraph([(1, 2)]), "label 1, which is no text"),
        (networkx.DiGraph([("a", "b"), ("b", "a")]), "in a circle: 'a' > 'b' > 'a'|'b' > 'a'"),
    ],
)
def test_a_hierarchy_of_python_objects_is_refused_with_the_label(
    graph: object, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        as_graph(graph)  # type: ignore[arg-type]


def test_a_parent_named_twice_counts_once() -> None:
    _, report = build(["b"], graph={"a": None, "b": ["a", "a"]})
    assert report.several == ()


# -- deep and wide --------------------------------------------------------------------------------


def test_a_chain_of_100000_labels_and_a_star_of_as_many_are_read_and_built(tmp_path: Path) -> None:
    count = 100_000
    chain = "".join(f"{at + 1},{at}\n" for at in range(count))
    graph = read_hierarchy(written(tmp_path, "chain.csv", f"child,parent\n0,\n{chain}"))
    tree, _ = build(all_labels(graph), graph=graph)
    assert tree.depth.max() == count
    star = "".join(f"  k{at}: hub\n" for at in range(count))
    graph = read_hierarchy(written(tmp_path, "star.yaml", f"parents:\n  hub:\n{star}"))
    assert len(all_labels(graph)) == count + 1
    ring = {str(at): str((at + 1) % count) for at in range(count)}
    with pytest.raises(UserError, match="in a circle"):
        as_graph(ring)


def test_labels_nested_too_deep_are_refused_with_the_form_that_can_hold_them(
    tmp_path: Path,
) -> None:
    nested = "".join(f"{{k{at}: " for at in range(900)) + "null" + "}" * 900
    assert len(all_labels(read_hierarchy(written(tmp_path, "h.yaml", f"tree: {nested}")))) == 900
    pytest.importorskip("yaml._yaml", reason="only the C parser has a limit")
    nested = "".join(f"{{k{at}: " for at in range(5000)) + "null" + "}" * 5000
    with pytest.raises(UserError, match="write it as `parents:`"):
        read_hierarchy(written(tmp_path, "h.yaml", f"tree: {nested}"))
