"""Images without classes are found however they lie, and what is none is told."""

from pathlib import Path

import pytest

from tests.networks import SPEC, picture
from training.data import loose
from training.data.datasets import DatasetError


def test_pictures_of_any_depth_are_taken_and_the_rest_is_told(tmp_path: Path) -> None:
    for number, place in enumerate((".", "a", "a/b c", "ü")):
        (tmp_path / place).mkdir(exist_ok=True)
        picture(number).save(tmp_path / place / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.png").write_bytes(b"")
    found = loose.load(str(tmp_path), Path("nowhere"), SPEC)
    assert found.images.shape == (4, *SPEC.shape)
    assert found.labels == ("stranger",)
    assert {path.name for path, _ in found.left_out} == {"notes.txt", "broken.png", ".hidden.png"}


def test_a_folder_under_the_root_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    picture(0).save(tmp_path / "cats" / "0.png")
    assert len(loose.load("cats", tmp_path, SPEC)) == 1


def test_several_are_joined_and_a_folder_of_such_a_name_is_one(tmp_path: Path) -> None:
    for number, folder in enumerate(("a", "b", "a + b")):
        (tmp_path / folder).mkdir()
        for each in range(number + 1):
            picture(each).save(tmp_path / folder / f"{each}.png")
        (tmp_path / folder / "notes.txt").write_text("no picture")
    found = loose.load(f"{tmp_path / 'a'} + {tmp_path / 'b'}", Path("nowhere"), SPEC)
    assert len(found) == 3
    assert found.labels == ("stranger",)
    assert found.targets.tolist() == [0, 0, 0]
    assert [path.parent.name for path, _ in found.left_out] == ["a", "b"]
    assert found.place == f"{tmp_path / 'a'} + {tmp_path / 'b'}"
    assert len(loose.load(str(tmp_path / "a + b"), Path("nowhere"), SPEC)) == 3


def test_links_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "0.png")
    (tmp_path / "again").symlink_to(tmp_path)
    assert len(loose.load(str(tmp_path), Path("nowhere"), SPEC)) == 1


@pytest.mark.parametrize("name", ["", "nowhere", "a:b"])
def test_what_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="no folder"):
        loose.load(name, tmp_path, SPEC)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no pictures; name a folder"):
        loose.load(str(tmp_path), tmp_path, SPEC)


def test_too_many_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loose, "MAX_PICTURES", 1)
    for number in range(2):
        picture(number).save(tmp_path / f"{number}.png")
    with pytest.raises(DatasetError, match="at most 1"):
        loose.load(str(tmp_path), tmp_path, SPEC)
