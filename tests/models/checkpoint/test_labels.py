"""What can be a label."""

import pytest

from models.checkpoint.labels import label_problem


class TestLabels:
    @pytest.mark.parametrize(
        "label",
        [
            *("\0", "a\tb", "a\nb", "\x1b[31mred", "\x7f", "a\x85b", "\u200b", "\u200fa"),
            *("\u202ea", "a\u2028b", "a\u2029b", "\u2066a\u2069", "\ufeffa", "so\u00adft"),
        ],
        ids=ascii,
    )
    def test_characters_that_are_not_seen(self, label: str) -> None:
        problem = label_problem(("blue", label, "red"))
        assert problem is not None
        assert "rename it" in problem
        assert problem.isascii()

    @pytest.mark.parametrize(
        "label",
        [
            *("größe", "鳥", "می\u200cخو", "👩\u200d🔬"),
            *("a b", "a\u00a0b", "\u0601", "e\u0301"),
        ],
        ids=ascii,
    )
    def test_characters_of_all_scripts(self, label: str) -> None:
        assert label_problem(("blue", label, "red")) is None

    def test_very_many_or_very_long_ones(self) -> None:
        assert "at most 100,000" in str(label_problem(tuple(map(str, range(100_001)))))
        assert "at most 1,000" in str(label_problem(("a" * 1001, "b")))
