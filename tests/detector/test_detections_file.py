"""predictions.json: what is read, and what is refused with its record's number."""

from __future__ import annotations

import json
import math
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.evaluation.predictions_file import read_predictions, write_predictions
from wordtree import UserError

RECORD = {"image_id": 3, "category_id": 1, "bbox": [1, 2.5, 3, 0], "score": 0.25}


def changed(**changes):
    record = {**RECORD, **changes}
    return {key: value for key, value in record.items() if value is not ...}


def test_records_of_any_detector_are_read_as_they_are(tmp_path):
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps([RECORD, changed(area=6, segmentation=[])]))
    assert read_predictions(path) == [RECORD, changed(area=6, segmentation=[])]


@pytest.mark.parametrize(
    "records",
    [
        [],
        [RECORD],
        [RECORD, changed(file_name="ü <b>.jpg")],
        [changed(file_name=os.fsdecode(b"caf\xe9\\.jpg"))],  # a name that is not UTF-8
    ],
)
def test_what_is_written_is_read_back(tmp_path, records):
    path = tmp_path / "predictions.json"
    write_predictions(path, records)
    assert read_predictions(path) == records
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.json"]


WRONG = [
    (changed(score=math.nan), "score NaN"),
    (changed(score=-math.inf), "score -Infinity"),
    (changed(score="high"), 'score "high"'),
    (changed(score=True), "score true"),
    (changed(score=None), "score null"),
    (changed(score=10**400), "score 1000"),
    (changed(score=...), "no score"),
    (changed(bbox=...), "no bbox"),
    (changed(image_id=..., category_id=...), "no image_id, category_id"),
    (changed(image_id=1.5), "image_id 1.5"),
    (changed(image_id=2**63), "image_id 9223372036854775808"),
    (changed(category_id="dog"), 'category_id "dog"'),
    (changed(bbox=[1, 2, 3]), r"bbox \[1, 2, 3\]"),
    (changed(bbox=[1, 2, 3, math.nan]), "bbox .*NaN.*four finite numbers"),
    (changed(bbox=[1, 2, 3, "4"]), "four finite numbers"),
    (changed(bbox=[5, 5, -2, 3]), "negative"),
    (changed(bbox={"x": 1}), "four finite numbers"),
    (changed(file_name=4), "file_name 4"),
    (changed(key=4), "key 4"),
    (changed(path=[["n01"]]), "path"),
    (changed(path=[["n01", math.nan]]), "path"),
    ([1, 2], r"is \[1, 2\]"),
    (None, "is null"),
]


@pytest.mark.parametrize(("record", "words"), WRONG)
def test_a_wrong_record_is_refused_by_file_and_number(tmp_path, record, words):
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps([RECORD, RECORD, record]))
    with pytest.raises(UserError, match=f"predictions.json: record 2 .*{words}") as error:
        read_predictions(path)
    assert "\n" not in str(error.value)


def test_a_wrong_record_is_not_written_and_the_old_file_stays(tmp_path):
    path = tmp_path / "predictions.json"
    write_predictions(path, [RECORD])
    with pytest.raises(UserError, match="record 0 has the score NaN"):
        write_predictions(path, [changed(score=math.nan)])
    assert read_predictions(path) == [RECORD]
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b'[{"image_id": 3, "cat', "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'[{"image_id": ' + b"9" * 5000 + b"}]", "is not JSON"),
        (b'{"annotations": []}', "holds {.* and no list"),
        (b"7", "holds 7 and no list"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content, words):
    path = tmp_path / "predictions.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_predictions(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.json: cannot be read \(No such file"):
        read_predictions(tmp_path / "absent.json")
    with pytest.raises(UserError, match="cannot be read"):
        read_predictions(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*RECORD, "key", "path"]), inner, max_size=6)
    ),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(json_values)
def test_no_content_raises_anything_but_the_projects_own_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_text(json.dumps(content))
    try:
        records = read_predictions(path)
    except UserError:
        return
    assert all(math.isfinite(record["score"]) for record in records)
