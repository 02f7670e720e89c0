"""Texts are measured, shortened and broken as they will be drawn."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure

from tests.cases import one_in
from training.plots.text.lettering import (
    DPI,
    MOST_LINES,
    TALLEST,
    height,
    lettering,
    rows,
    short,
    width,
    wrapped,
)

TEXTS = {
    "plain": "The quick brown fox jumps over the lazy dog, and then does so again",
    "wide": "W" * 200,
    "narrow": "i" * 300,
    "chinese": "蚂蚁蜜蜂" * 10,
    "mixed": "ants 蚂蚁 🐜🐝 " * 9,
    "families": "👨‍👩‍👧‍👦" * 9,
    "arabic": "نَمْلَةٌ صَغِيرَةٌ " * 8,
    "devanagari": "क्षत्रिय स्त्री" * 8,
    "thai": "กำนี้ที่นั่น" * 8,
    "controls": "a\t\u202e\n" * 30,
}


@pytest.fixture(autouse=True)
def fonts_for_all() -> Iterator[None]:
    with lettering(*TEXTS.values()):
        yield


def test_a_width_is_that_in_the_figure() -> None:
    figure = Figure(dpi=DPI)
    for text in TEXTS.values():
        line = short(text, 4.0, "small")
        drawn = figure.text(0, 0, line, fontsize="small")
        assert width(line, "small") == pytest.approx(drawn.get_window_extent().width / DPI)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("inches", [0.5, 1.0, 2.4])
def test_shortened_texts_fit_and_leave_little_room(text: str, inches: float) -> None:
    line = short(text, inches, "medium")
    assert width(line, "medium") <= inches
    assert "…" in line
    if inches > 2:
        assert width(line, "medium") > 0.6 * inches


def test_a_shortened_text_keeps_both_ends() -> None:
    assert short("label", 1.2, "medium") == "label"
    assert short("a label that is long", 1.2, "medium") == "a label … is long"


def test_where_nothing_fits_something_is_said_to_be_left_out() -> None:
    assert short("word", 0.2, "medium") == "…"
    assert wrapped("﷽", 0.2, "medium") == "…"


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_lines_are_no_wider_and_not_too_many(text: str) -> None:
    lines = wrapped(text, 2.0, "large").split("\n")
    assert 1 < len(lines) <= MOST_LINES
    assert max(width(line, "large") for line in lines) <= 2.0


def test_lines_are_broken_after_spaces_and_long_words_are_broken() -> None:
    assert wrapped("some short words", 1.0, "large") == "some short\nwords"
    first, *others = wrapped("word " + "x" * 30, 1.0, "large").split("\n")
    assert first == "word"
    assert "".join(others) == "x" * 30


def test_lines_are_broken_after_hyphens_underscores_and_slashes() -> None:
    lines = wrapped("golden_retriever/long-haired", 0.9, "medium").split("\n")
    assert lines == ["golden_", "retriever/", "long-haired"]


def test_a_long_word_does_not_leave_a_line_nearly_empty() -> None:
    first, *_ = wrapped("as " + "W" * 60, 2.0, "medium").split("\n")
    assert first.startswith("as WWW")


class TestRows:
    LONG = "a label of sixty letters, which is longer than one would like"

    def test_short_labels_keep_their_distance(self) -> None:
        assert rows(["cat", "dog"], 0.6, "medium").labels == ["cat", "dog"]
        assert rows(["cat", "dog"], 0.6, "medium").pitch == 0.6

    @pytest.mark.parametrize("count", one_in(2, [2, 30, 100]))
    @pytest.mark.parametrize("text", [LONG, "W" * 200, "\u8681" * 60])
    def test_long_labels_are_whole_and_have_room(self, text: str, count: int) -> None:
        found = rows([text] * count, 0.18, "x-small")
        label = found.labels[0]
        assert "…" not in label
        assert found.pitch > height(label, "x-small")
        assert found.width >= max(width(line, "x-small") for line in label.split("\n"))

    def test_many_have_wider_lines_than_few(self) -> None:
        few, many = (rows(["W" * 100] * count, 0.18, "x-small") for count in (2, 100))
        assert few.width < many.width
        assert few.pitch > many.pitch

    def test_none(self) -> None:
        assert rows([], 0.6, "medium") == ([], 0.0, 0.6)

    def test_what_is_longer_than_any_name_is_shortened(self) -> None:
        (label,) = rows(["W" * 1000], 0.6, "medium").labels
        assert "…" in label


def test_a_text_of_very_many_lines_keeps_both_ends() -> None:
    lines = wrapped("first " + "word " * 100 + "last", 2.0, "large").split("\n")
    assert len(lines) == MOST_LINES
    assert lines[0].startswith("first word")
    assert lines[-1].endswith("last")
    assert any("…" in line for line in lines)


def test_stacked_marks_are_no_taller_than_a_line_may_be() -> None:
    line = short("Z" + "\u0301" * 50 + "ebra", 2.0, "medium")
    assert line.startswith("Z\u0301\u0301")
    assert line.endswith("\u0301…ebra")
    assert height(line, "medium") <= 1.2 * TALLEST * 10 / 72
    with lettering(tallest := "Ễ བསྒྲུབས"):
        line = short(tallest, 2.0, "medium")
        if r"\u0f56" in line:
            pytest.skip("no font of this machine has Tibetan letters")
        assert "…" not in line


@pytest.mark.parametrize(
    ("text", "written"),
    [("", "(empty)"), ("  ", r"\x20\x20"), ("\u3000", r"\u3000"), ("\u200b", r"\u200b")],
)
def test_a_text_without_ink_is_written_as_its_numbers(text: str, written: str) -> None:
    with lettering(text):
        assert short(text, 2.0, "medium") == wrapped(text, 2.0, "medium") == written


def test_lines_are_added_up() -> None:
    heights = [height("\n".join(["a"] * lines), "large") for lines in range(1, 5)]
    assert {round(more - less, 6) for less, more in pairwise(heights)} == {0.2}


def test_fonts_are_those_of_before_afterwards() -> None:
    before = rcParams["font.family"]
    with lettering("蚁", "a$b"):
        assert rcParams["text.parse_math"] is False
    assert rcParams["font.family"] == before
