"""Names that others have chosen control neither a terminal nor a page."""

import pytest

from training.data import names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cats/1.png", "cats/1.png"),
        ("鳥/écureuil 🐿️.png", "鳥/écureuil 🐿️.png"),
        ("क\u200dष.png", "क\u200dष.png"),
        ("a\x1b[31m\n.png", "a�[31m�.png"),
        ("evil\u202egnp.exe", "evil�gnp.exe"),
        ("caf\udce9.png", "caf�.png"),
    ],
)
def test_shown(name: str, shown: str) -> None:
    assert names.shown(name) == shown


@pytest.mark.parametrize(
    ("name", "last"), [("a/b/c.png", "c.png"), ("mnist test no. 7", "mnist test no. 7")]
)
def test_last(name: str, last: str) -> None:
    assert names.last(name) == last
