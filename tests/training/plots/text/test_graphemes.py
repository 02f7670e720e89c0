"""What is written for a text, in parts that are never cut."""

import pytest

from training.plots.text.graphemes import chooses_form, graphemes, is_seen, number

FAMILY = "👨\u200d👩\u200d👧"


def parts(text: str, missing: str = "") -> list[str]:
    """With a font that has all letters but some."""
    return graphemes(text, set(text) - set(missing))


@pytest.mark.parametrize(
    "grapheme",
    [
        "e\u0301",
        FAMILY,
        "👍🏽",
        "🇩🇪",
        "1\ufe0f\u20e3",
        "❤\ufe0f",
        "葛\U000e0100",
        "क्ष",
        "กำ",
        "각",
        "श्\u200dर",
    ],
)
def test_graphemes_stay_whole(grapheme: str) -> None:
    assert parts(f"a{grapheme}{grapheme}b") == ["a", grapheme, grapheme, "b"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a\tb\x07c\nd", r"a\tb\x07c\nd"),
        ("ab\u202edef", r"ab\u202edef"),
        ("\u2067a\u2069", r"\u2067a\u2069"),
        ("a\u2028b", r"a\u2028b"),
        ("c\u200dat", r"c\u200dat"),
        ("c\ufe0fat", r"c\ufe0fat"),
        ("c\u200bat", r"c\u200bat"),
        ("so\u00adft", r"so\xadft"),
        ("\u200d", r"\u200d"),
        ("\ufe0fa", r"\ufe0fa"),
        ("\ue000", r"\ue000"),
        ("\udcff", r"\udcff"),
        ("\ufeffa", r"\ufeffa"),
        ("a\u00a0b\u3000c", "a\u00a0b\u3000c"),
        ("\u06dd12", "\u06dd12"),
        ("نمی\u200cکنم", "نمی\u200cکنم"),
    ],
)
def test_what_is_not_seen_is_written_as_its_number(text: str, written: str) -> None:
    assert "".join(parts(text)) == written


def test_what_no_font_has_is_a_number_and_each_number_is_a_part() -> None:
    assert parts("a蚂b", missing="蚂") == ["a", r"\u8682", "b"]
    assert parts(FAMILY, missing="👩👧") == ["👨", r"\U0001f469", r"\U0001f467"]
    assert parts("x\u0302\u0301", missing="\u0302") == ["x", r"\u0302", r"\u0301"]
    assert parts("❤\ufe0f", missing="❤") == [r"\u2764"]


def test_a_number_is_never_the_letter_itself() -> None:
    assert [number(letter) for letter in " \ta蚁🐜"] == [
        r"\x20",
        r"\t",
        r"\x61",
        r"\u8681",
        r"\U0001f41c",
    ]


def test_letters_that_are_seen_and_those_that_choose_forms() -> None:
    assert all(map(is_seen, " aé蚁🐜\u0301\u0600\u3000"))
    assert not any(map(is_seen, "\t\n\x7f\u200d\u202e\u2029\ue000\udcff\U000e0067"))
    assert all(map(chooses_form, "\u200c\u200d\ufe0f\U000e01ef"))
    assert not any(map(chooses_form, "\u200ba\u0301"))
