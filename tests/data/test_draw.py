"""Pictures: what is asked for is there, and nothing that a label holds can break it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import data
from data.draw import (
    UNKNOWN,
    contact_sheet,
    draw_boxes,
    draw_regions,
    enlarged,
    node_colour,
    write_jpeg,
)
from wordtree.errors import UserError

RED = (255, 0, 0)


def black(height: int = 100, width: int = 120) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_a_box_is_drawn_where_it_is_and_the_picture_given_is_not_changed() -> None:
    picture = black()
    drawn = draw_boxes(picture, [[20, 30, 80, 70]], colours=[RED])
    assert not picture.any()
    red = (drawn == RED).all(-1)
    rows, columns = np.nonzero(red)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (20, 30, 80, 70)
    assert not red[40:60, 30:70].any()


def test_enlarging_moves_boxes_with_the_picture() -> None:
    drawn = draw_boxes(black(), [[20, 30, 80, 70]], colours=[RED], enlarge=3)
    assert drawn.shape == (300, 360, 3)
    rows, columns = np.nonzero((drawn == RED).all(-1))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (60, 90, 240, 210)


def test_a_text_stands_on_a_strip_of_the_boxs_colour_above_it() -> None:
    drawn = draw_boxes(black(200, 200), [[50, 80, 150, 150]], ["dog 0.83"], [RED])
    strip = drawn[60:79, 50:140]
    assert (strip == RED).all(-1).sum() > 300
    assert (strip == 255).all(-1).any() or (strip == 0).all(-1).any()


def test_labels_at_the_edge_stay_inside_and_labels_at_one_place_do_not_cover_each_other() -> None:
    blue = (0, 0, 255)
    boxes = [[0, 0, 199, 50], [0, 0, 199, 52]]
    drawn = draw_boxes(black(200, 200), boxes, ["norfolk terrier", "dog"], [RED, blue])
    for colour in (RED, blue):
        assert (drawn == colour).all(-1).sum() > 600


def test_regions_are_dashed() -> None:
    drawn = draw_regions(black(), [[0, 0, 119, 99]], colours=[RED])
    edge = (drawn[0] == RED).all(-1)
    assert edge.any()
    assert not edge.all()


def test_no_boxes_leave_the_picture_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(draw_boxes(picture, np.zeros((0, 4))), picture)
    assert enlarged(picture, 2).shape == (40, 60, 3)


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40), st.lists(st.floats(), min_size=4, max_size=4))
def test_any_text_and_any_box_can_be_drawn(text: str, box: list[float]) -> None:
    assert draw_boxes(black(), [box], [text]).shape == (100, 120, 3)


def test_a_name_of_ten_kilobytes_or_with_line_breaks_takes_one_line() -> None:
    for text in ("x" * 10_000, "a\nb\nc\u202ed\0", "<script>" * 50):
        drawn = draw_boxes(black(100, 300), [[20, 40, 280, 90]], [text], [RED])
        assert not (drawn[:15] == RED).all(-1).any()


def test_a_nodes_colour_never_changes_and_siblings_differ() -> None:
    assert node_colour(-1) == UNKNOWN
    assert node_colour(7) == node_colour(7)
    colours = np.array([node_colour(n) for n in range(60)], float)
    assert len(np.unique(colours, axis=0)) == 60
    assert np.abs(np.diff(colours, axis=0)).sum(1).min() > 100
    first = draw_boxes(black(), [[10, 20, 90, 90]], ["dog"])
    assert np.array_equal(first, draw_boxes(black(), [[10, 20, 90, 90]], ["dog"]))


def test_a_contact_sheet_shows_every_picture_once() -> None:
    pictures = [np.full((10 + i, 20 - i, 3), 40 * (i + 1), np.uint8) for i in range(5)]
    sheet = contact_sheet(pictures, 3, gap=2)
    assert sheet.shape == (2 * 16 + 2, 3 * 22 + 2, 3)
    for i, picture in enumerate(pictures):
        assert (sheet == 40 * (i + 1)).all(-1).sum() == picture.shape[0] * picture.shape[1]
    with_words = contact_sheet(pictures, 9, captions=["some words"] * 5)
    assert with_words.shape[1] == 5 * 26 + 6
    with pytest.raises(ValueError, match="0 pictures"):
        contact_sheet([], 2)


def test_a_jpeg_is_written_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "new/a.jpg", np.full((30, 40, 3), 200, np.uint8))
    write_jpeg(tmp_path / "new/a.jpg", np.full((30, 40, 3), 90, np.uint8))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.jpg"]
    assert abs(int(np.asarray(Image.open(tmp_path / "new/a.jpg")).mean()) - 90) <= 2


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"cannot write .*a\.jpg"):
        write_jpeg(tmp_path / "file/a.jpg", black())
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(UserError, match=r"b\.jpg"):
        write_jpeg(tmp_path / "b.jpg", black())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.jpg", "file"]


def test_every_public_name_of_the_room_is_there() -> None:
    for name in data.__all__:
        assert getattr(data, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        data.nonsense  # noqa: B018


def test_drawing_and_reading_load_neither_torch_nor_albumentations() -> None:
    code = (
        "import sys, data.draw, data.images, data.root; "
        "print(sorted({'torch', 'albumentations', 'matplotlib'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
