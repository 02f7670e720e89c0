"""Texts from right to left do not move what stands beside them."""

import pytest

from training.plots.directions import isolated, isolated_runs

ANT, BEE = "نَمْلَةٌ", "דבורה"


@pytest.mark.parametrize("text", ["", "ant 3", "蚂蚁", "\u0301", "12, 3"])
def test_others_are_left_as_they_are(text: str) -> None:
    assert isolated(text) == isolated_runs(text) == text


def test_a_label_is_isolated_as_a_whole() -> None:
    assert isolated(f"{ANT} 3!") == f"\u2068{ANT} 3!\u2069"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{ANT}, 24 pictures", f"<{ANT}>, 24 pictures"),
        (f"{ANT} 3 {BEE}, 24", f"<{ANT} 3 {BEE}>, 24"),
        (f"on {ANT} and {BEE} (2)", f"on <{ANT}> and <{BEE}> (2)"),
    ],
)
def test_in_a_line_each_run_is_isolated_with_its_last_marks(line: str, expected: str) -> None:
    assert isolated_runs(line) == expected.replace("<", "\u2068").replace(">", "\u2069")
