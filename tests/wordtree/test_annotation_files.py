import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from wordtree import UserError
from wordtree.annotation_files import Category, read_categories

ROWS = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car", "synset": "car.n.01"}]


def written(tmp_path: Path, content: Any) -> Path:
    file = tmp_path / "instances.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_categories_come_in_the_order_of_their_ids_whatever_else_is_in_the_file(
    tmp_path: Path,
) -> None:
    expected = [Category(3, "car", "car.n.01"), Category(18, "dog")]
    assert read_categories(written(tmp_path, {"categories": ROWS})) == expected
    whole = {"info": {"categories": []}, "images": [], "annotations": [{"id": 1}, {"id": 2}]}
    assert read_categories(written(tmp_path, {**whole, "categories": ROWS, "x": 1})) == expected
    twins = [{"id": 0, "name": "cell"}, {"id": 1, "name": "cell"}]
    assert len(read_categories(written(tmp_path, {"categories": twins}))) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON .line 1, column 2"),
        ('{"categories": [{"id": 1, "name": "a"}], "images": [\n{"id": 1}, ', "not JSON .line 2"),
        ("", "is not JSON"),
        ("[" * 100_000, "not JSON that can be read"),
        ('{"a":' * 100_000, "not JSON that can be read"),
        ([{"image_id": 1, "category_id": 2}], "has no `categories` with id and name"),
        ({"categories": []}, "has no `categories` with id and name"),
        ({"categories": {"1": "dog"}}, "has no `categories` with id and name"),
        ({"categories": ["dog"]}, r"categories\[0\] is 'dog', no category"),
        ({"categories": [{"id": 1}]}, r"categories\[0\] has no name"),
        ({"categories": [{"name": "a"}]}, r"categories\[0\] has no id"),
        ({"categories": [{"id": "1", "name": "a"}]}, r"categories\[0\] has the id '1'"),
        ({"categories": [{"id": True, "name": "a"}]}, r"categories\[0\] has the id True"),
        ({"categories": [{"id": 1, "name": " "}]}, r"categories\[0\] has the name ' '"),
        ({"categories": [*ROWS, ROWS[0]]}, r"categories\[2\] has the id 18 of categories\[0\]"),
        ({"categories": [{"id": 1, "name": "a", "synset": 5}]}, r"has the synset 5"),
        ({"categories": [{}] * 25}, r"categories\[9\] has no id; and 15 more; give every"),
    ],
)
def test_a_file_without_proper_categories_is_refused_with_all_its_faults(
    content: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"instances.json.*{message}"):
        read_categories(written(tmp_path, content))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('a"\\{[],:}', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=8,
)
files = st.fixed_dictionaries({"categories": st.just(ROWS)}, optional={"a": values, "b": values})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=files, indent=st.sampled_from([None, 1]), data=st.data())
def test_files_are_read_as_pythons_reader_reads_them_also_when_a_character_is_wrong(
    content: dict[str, Any], indent: int | None, data: st.DataObject, tmp_path: Path
) -> None:
    text = json.dumps(dict(data.draw(st.permutations(list(content.items())))), indent=indent)
    at = data.draw(st.integers(0, len(text)))
    wrong = (
        text[:at]
        + data.draw(st.sampled_from(["", ",", "}", "]", '"', ":", " ", "x"]))
        + text[at + data.draw(st.integers(0, 1)) :]
    )
    for attempt in (text, wrong):
        file = written(tmp_path, attempt)
        try:
            whole = json.loads(attempt)
        except ValueError:
            with pytest.raises(UserError, match="is not JSON"):
                read_categories(file)
            continue
        if isinstance(whole, dict) and whole.get("categories") == ROWS:
            assert [category.name for category in read_categories(file)] == ["car", "dog"]
