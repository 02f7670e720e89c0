"""Folders are given by the environment, or lie here; arguments are written NAME=JSON."""

from pathlib import Path

import pytest

from training.commands import options


def test_folders_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANLIGHT_DATA", "/some/data")
    monkeypatch.setenv("FANLIGHT_REPOSITORY", "/some/checkpoints")
    assert options.data_root() == Path("/some/data")
    assert options.repository() == Path("/some/checkpoints")


def test_folders_without_it() -> None:
    assert options.data_root() == Path("data")
    assert options.repository() == Path("checkpoints")


def test_arguments_are_json_by_name() -> None:
    pairs = ("hidden=[1000,1000]", "batchnorm=true", "dropout=0.5", 'name="a=b"', "size=null")
    assert options.arguments(pairs) == {
        "hidden": [1000, 1000],
        "batchnorm": True,
        "dropout": 0.5,
        "name": "a=b",
        "size": None,
    }
    assert options.arguments(()) == {}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (("dropout",), "'dropout' must be NAME=JSON"),
        (("=3",), "'=3' must be NAME=JSON"),
        (("n channel=3",), "'n channel=3' must be NAME=JSON"),
        (("hidden=[1,",), r"'hidden' must be JSON, not '\[1,'"),
        (("name=text",), "'name' must be JSON, not 'text'"),
        (("dropout=",), "'dropout' must be JSON, not ''"),
        (("dropout=NaN",), "'dropout' must be JSON, not 'NaN'"),
        (("dropout=-Infinity",), "'dropout' must be JSON, not '-Infinity'"),
        (("dropout=0", "dropout=0.5"), "'dropout' is given twice"),
    ],
)
def test_arguments_written_otherwise(pairs: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options.arguments(pairs)
