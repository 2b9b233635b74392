import csv
from pathlib import Path

import pytest

from wordtree import UserError, WordTree
from wordtree.formats import read


def test_a_spreadsheet_sees_no_formula(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@a", "\tx", "'", "'=", "''", "'tis", "\rx", "\nx", "＝1", "n't"]
    keys = [f"k{at}" for at in range(len(texts))] + ['=cmd|"/c calc"!A1', "-", "=a,b"]
    tree = WordTree(
        keys, [-1] * (len(keys) - 1) + [len(keys) - 3], [*texts, "x", "y", "z"], [False] * len(keys)
    )
    file = tmp_path / "t.csv"
    tree.save(file)
    assert read(file) == tree
    with file.open(newline="", encoding="utf-8") as lines:
        fields = [field for row in csv.reader(lines) for field in row]
    assert "'=1+1" in fields
    assert not any(field[:1] in set("=+-@\t\r\n＝＋－＠") for field in fields)


def test_a_table_may_lack_columns_and_order_them_differently(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("parent,key\n,drink\ndrink,tea\ndrink,'tis\n")
    assert read(file) == WordTree(["drink", "tea", "'tis"], [-1, 0, 0])
    file.write_text("labelled, name ,parent,key\nFALSE,Drink,,drink\nTrue,,drink,tea\n")
    assert read(file) == WordTree(["drink", "tea"], [-1, 0], ["Drink", ""], [False, True])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("key,parent\na,\nb,a", "line 3: .*may be cut"),
        ("key,parent,name\na,,x\nb,c,x\nc,,x\n", "line 3: .*'b' is 'c', which comes later, in li"),
        ("key,parent\na,\nb,x\n", "line 3: .*'x', which is not a key of this file"),
        ("key,parent\na,a\n", "line 2: .*the node itself"),
        ("key,parent\na,b\nb,a\n", "line 2: .*comes later, in line 3"),
        ("key,parent\na,\nb,\nc,a\nd,b\ne,a\n", "line 6: 'e' is a child of 'a'.*side by side"),
        ('key,parent,name\na,,"x\ny"\na,,z\n', "line 4: the key 'a' is used in line 2"),
        ("key,parent\n,\n", "line 2: the key is empty"),
        ('key,parent\n"a\nb",\n', "line 2: the key .* has a line break"),
        ("key,parent\na,\n\nb,a\n", "line 3: no fields, but the first line names 2 columns"),
        ("key,parent\na,,1\n", "line 2: 3 fields"),
        ("key,parent,labelled\na,,yes\n", "line 2: labelled is 'yes'; give 1 or true"),
        ('key,parent\n"a"b,\n', "line 2: not CSV"),
        ('key,parent\na,\n"b,\nc,\n', "line 3: not CSV"),
        ("key,parent,colour\na,,red\n", "line 1: unknown column 'colour'"),
        ("key;parent\na;\n", "line 1: the columns are separated by semicolons"),
        ("key\tparent\na\t\n", "line 1: the columns are separated by tabs"),
        ("key,name\na,b\n", "line 1: the column parent is missing"),
        ("key,parent,key\na,,b\n", "line 1: the column key stands there twice"),
        ("child,parent\ndog,animal\n", "is a hierarchy.*wordtree-export --csv"),
    ],
)
def test_a_table_that_is_no_tree_is_refused_with_its_line(
    content: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "t.csv"
    file.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read(file)
    assert str(file) in str(caught.value)
