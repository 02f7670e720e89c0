"""Folders are given by the environment, or lie here."""

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
