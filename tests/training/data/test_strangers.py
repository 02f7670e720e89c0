"""Strangers: several sets are one, whose labels are their kinds."""

from pathlib import Path

import pytest
from PIL import Image

from tests.networks import LABELS, SPEC
from training.data import loose, patterns, strangers
from training.data.files import sources


def loose_pictures(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


def test_two_folders_without_classes_are_one_kind(tmp_path: Path) -> None:
    folders = [str(loose_pictures(tmp_path / each, count)) for each, count in (("a", 3), ("b", 5))]
    found = strangers.load(" + ".join(folders), tmp_path, SPEC, 0, LABELS)
    assert found.labels == (loose.LABEL,)
    assert found.targets.tolist() == [0] * 8


def test_a_class_of_one_set_is_that_of_another(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for kind in ("cats", name):
            loose_pictures(tmp_path / name / kind, 5)
    found = strangers.load("one + two", tmp_path, SPEC, 0, LABELS)
    assert found.labels == ("cats", "one", "two")
    assert found.targets.bincount().tolist() == [8, 4, 4]  # the other fifth is for tests


@pytest.mark.slow
@pytest.mark.parametrize("beside", ["data", "."])
def test_a_folder_of_no_pictures_does_not_stand_in_for_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / beside / "patterns").mkdir(parents=True)
    found = strangers.load("patterns", tmp_path / "data", SPEC, 0, LABELS)
    assert found.labels == patterns.LABELS


@pytest.mark.parametrize("place", ["under the root", "as a path"])
def test_a_folder_with_a_plus_in_its_name_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    loose_pictures(tmp_path / "x + y", 3)
    monkeypatch.chdir(tmp_path / "x + y")
    name = "x + y" if place == "under the root" else str(tmp_path / "x + y")
    assert len(strangers.load(name, tmp_path, SPEC, 0, LABELS)) == 3
    assert len(loose.load(name, tmp_path, SPEC)) == 3


def test_a_name_that_is_too_long_is_not_there(tmp_path: Path) -> None:
    assert sources.parts("a" * 300, tmp_path) == ["a" * 300]
