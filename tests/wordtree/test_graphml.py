from pathlib import Path

import networkx
import pytest

from wordtree import UserError, WordTree
from wordtree.formats import read


def test_networkx_reads_what_we_write_and_we_read_what_it_writes(tmp_path: Path) -> None:
    file = tmp_path / "t.graphml"
    tree = WordTree(
        ["animal", "tool", "d'og", "=cat"],
        [-1, -1, 0, 0],
        ["animal", "a, b", "<dog>", "cat\nof two lines"],
        [False, True, True, False],
    )
    tree.save(file)
    graph = networkx.read_graphml(file)
    ours = tree.to_networkx()
    assert list(graph.nodes(data=True)) == list(ours.nodes(data=True))
    assert set(graph.edges) == set(ours.edges)

    networkx.write_graphml_xml(networkx.DiGraph([("tea", "oolong"), ("drink", "tea")]), file)
    assert read(file) == WordTree(["drink", "tea", "oolong"], [-1, 0, 1])


def graphml(body: str, keys: str = "", edges: str = "directed") -> str:
    return (
        '<?xml version="1.0"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
        f'{keys}\n<graph edgedefault="{edges}">\n{body}\n</graph>\n</graphml>\n'
    )


def test_defaults_of_attributes_hold_and_unknown_attributes_are_left_out(tmp_path: Path) -> None:
    keys = (
        '<key id="d0" for="node" attr.name="labelled" attr.type="boolean">'
        '<default>false</default></key><key id="d1" for="node" attr.name="colour"/>'
    )
    body = (
        '<node id="b"/><node id="a"><desc>top</desc><data key="d0">TRUE</data>'
        '<data key="d1">red<x>y</x></data></node>'
        '<edge source="a" target="b"><data key="d1">2</data></edge>'
    )
    file = tmp_path / "t.graphml"
    file.write_text(graphml(body, keys))
    assert read(file) == WordTree(["a", "b"], [-1, 0], labelled=[True, False])


NODES = '<node id="a"/>\n<node id="b"/>\n<node id="c"/>\n'
BOMB = '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a -1\n", "line 1: not XML"),
        ("<graphml>", "line 1: not XML"),
        (graphml("") + "<x/>", "line 8: not XML"),
        ("<html/>", "line 1: the outermost element is 'html'"),
        (BOMB + "<graphml>&b;</graphml>", "line 1: GraphML has no DOCTYPE"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><graphml/>', "no DOCTYPE"),
        (graphml('<node id="a"/>\n<node id="a"/>'), "line 6: the id 'a' is used in line 5"),
        (graphml("<node/>"), "line 5: a node has no id"),
        (graphml('<node id="a&#10;b"/>'), "line 5: the id .* has a line break"),
        (graphml(NODES + '<edge source="a" target="x"/>'), "line 8: .*'x', which is no node"),
        (graphml(NODES + "<edge/>"), "line 8: .*'', which is no node"),
        (
            graphml(NODES + '<edge source="a" target="c"/>\n<edge source="b" target="c"/>'),
            "line 9: 'c' is below 'b', but in line 8 below 'a'; a node of a tree has one parent",
        ),
        (
            graphml(
                NODES + '<edge source="a" target="b"/><edge source="b" target="c"/>'
                '<edge source="c" target="b"/>'
            ),
            "is below",
        ),
        (
            graphml(NODES + '<edge source="b" target="c"/>\n<edge source="c" target="b"/>'),
            "line [89]: the edges go in a circle, '[bc]' > '[bc]' > '[bc]'",
        ),
        (graphml(NODES + '<edge source="a" target="a"/>'), "in a circle, 'a' > 'a'"),
        (graphml(NODES + '<edge source="a" target="b"/>', edges="undirected"), "undirected"),
        (graphml(NODES + '<edge source="a" target="b" directed="false"/>'), "line 8: .*undirected"),
        (graphml('<node id="a"><graph/></node>'), "a tree has no graph inside a node"),
        (graphml("<hyperedge/>"), "a tree has no hyperedge"),
        (graphml("</graph><graph>"), "second graph"),
        (graphml('<node id="a"><data key="d"/></node>'), "no <key> declares 'd'"),
        (
            graphml(
                '<node id="a"><data key="d">maybe</data></node>',
                '<key id="d" for="node" attr.name="labelled"/>',
            ),
            "line 5: labelled of 'a' is 'maybe'",
        ),
        ("<graphml>" + "<a>" * 100_000, "not XML"),
    ],
)
def test_a_graph_that_is_no_tree_is_refused_with_its_line(
    content: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "t.graphml"
    file.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read(file)
    assert str(file) in str(caught.value)
