from pathlib import Path

import pytest

from wordtree import UserError, WordTree
from wordtree.formats import read


def test_newick_is_as_short_as_the_tree_allows(tmp_path: Path) -> None:
    def written(tree: WordTree) -> str:
        tree.save(tmp_path / "t.newick")
        return (tmp_path / "t.newick").read_text(encoding="utf-8")

    assert written(WordTree(["animal", "cat", "dog"], [-1, 0, 0])) == "(cat,dog)animal;\n"
    assert written(WordTree(["cat", "dog"], [-1, -1])) == "(cat,dog);\n"
    assert written(WordTree(["a_b", "it's"], [-1, 0], ["a b", "[x]"], [True, False])) == (
        "('it''s'[&&NHX:name=%5Bx%5D:labelled=0])'a_b'[&&NHX:name=a%20b];\n"
    )
    depth_first = WordTree(["a", "b", "c", "d", "e"], [-1, -1, 1, 0, 0])
    assert written(depth_first) == (
        "((d[&&NHX:at=3],e[&&NHX:at=4])a[&&NHX:at=0],(c[&&NHX:at=2])b[&&NHX:at=1]);\n"
    )


@pytest.mark.parametrize(
    ("content", "keys", "parent"),
    [
        (";", [], []),
        ("cat;", ["cat"], [-1]),
        ("(cat);", ["cat"], [-1]),
        (" ( cat , dog ) \n animal ; \n", ["animal", "cat", "dog"], [-1, 0, 0]),
        ("[&R] ((A:0.1,B:1e-3)C:0.2[95],D)E:0;", ["E", "C", "D", "A", "B"], [-1, 0, 0, 1, 1]),
        ("((A[&&NHX:S=human:B=100],B)C,D)[&&NHX:at=7];", ["C", "D", "A", "B"], [-1, -1, 0, 0]),
        ("('Homo sapiens','d''or')x_y;", ["x_y", "Homo sapiens", "d'or"], [-1, 0, 0]),
    ],
)
def test_trees_of_other_programs_are_read_breadth_first(
    content: str, keys: list[str], parent: list[int], tmp_path: Path
) -> None:
    (tmp_path / "t.nwk").write_text(content)
    assert read(tmp_path / "t.nwk") == WordTree(keys, parent)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("(a,b)c", "line 1, character 7: .*not end with `;`"),
        ("((a,b)c;", "line 1, character 8: 1 parentheses are not closed"),
        ("(a,b))c;", "character 6: .*outside all parentheses"),
        ("a,b;", "character 2: .*outside all parentheses"),
        ("(a,b)c;(d)e;", "character 8: there is more behind"),
        ("((a,\nb),c)d;", "line 2, character 2: a node has no name"),
        ("(a,)b;", "character 4: a node has no name"),
        ("()b;", "character 2: a node has no name"),
        ("(a,'')b;", "character 4: a node has no name"),
        ("(:0.1,a)b;", "character 2: a node has no name"),
        ("(Homo sapiens,b)c;", "character 7: 'sapiens' stands beside another text; quote"),
        ("(a(b)c)d;", "character 3: .*comma"),
        ("(a,'b)c;", "character 4: a quote is not closed"),
        ("(a,b)c[&&NHX:at=0;", "character 7: a comment is not closed"),
        ("(a,b])c;", r"character 5: '\]' is out of place"),
        ("(a,a)b;", "character 4: the key 'a' is used already"),
        ("('a\nb')c;", "has no line breaks"),
        ("(a[&&NHX:name=%FF])b;", "character 2: .*not UTF-8"),
        ("(a[&&NHX:labelled=2])b;", "character 2: labelled='2'; give 0 or 1"),
        ("(a[&&NHX:at=1],b)c[&&NHX:at=0];", "character 16: .*0 to 2.*'b' has none"),
        ("(a[&&NHX:at=1],b[&&NHX:at=1])c[&&NHX:at=0];", "character 16: .*'b' has another or a us"),
        ("(a[&&NHX:at=0])b[&&NHX:at=1];", "character 2: .*does not come before it"),
    ],
)
def test_newick_that_is_no_tree_of_names_is_refused_with_its_place(
    content: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "t.newick"
    file.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read(file)
    assert str(file) in str(caught.value)
