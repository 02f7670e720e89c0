"""Which folders are meant, by a variable or by default, and which of them is published to."""

import os
from pathlib import Path

import pytest

from models import repository_paths
from models.errors import OptionError
from models.repository_paths import OWN, SHIPPED, USUAL, VARIABLE


@pytest.mark.parametrize(
    "names", [["a"], ["a", "b c"], ["a:b", "c"], ["[a"], ["a;b", "größe", 'a"b']]
)
def test_what_is_joined_is_split_again(names: list[str]) -> None:
    folders = tuple(map(Path, names))
    assert repository_paths.split(repository_paths.join(folders)) == folders


@pytest.mark.parametrize("text", ["", " ", os.pathsep, "[]", "[", "[1]", '[["a"]]'])
def test_a_text_without_a_folder_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"folder"):
        repository_paths.split(text)


def test_an_empty_name_between_others_is_none() -> None:
    assert repository_paths.split(f"a{os.pathsep}{os.pathsep}b") == (Path("a"), Path("b"))


def test_another_path_to_the_same_folder_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    same = (tmp_path, tmp_path / "link", tmp_path / "x" / "..", tmp_path / "link" / "x")
    assert repository_paths.distinct(same) == (tmp_path, tmp_path / "link" / "x")


def test_the_usual_ones_are_those_without_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert repository_paths.chosen() == USUAL
    monkeypatch.setenv(VARIABLE, "")
    assert repository_paths.chosen() == USUAL


class TestPublishing:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv(VARIABLE, raising=False)

    def test_goes_into_the_working_folder(self) -> None:
        assert repository_paths.to_publish() == OWN

    def test_never_goes_into_the_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "link").symlink_to(SHIPPED)
        monkeypatch.setenv(VARIABLE, repository_paths.join([SHIPPED, Path("link")]))
        assert repository_paths.to_publish() == OWN
        monkeypatch.setenv(VARIABLE, repository_paths.join([SHIPPED, Path("mine")]))
        assert repository_paths.to_publish() == Path("mine")

    def test_goes_into_the_first_that_takes_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("file").touch()
        monkeypatch.setenv(VARIABLE, repository_paths.join([Path("file/x"), Path("b"), Path("c")]))
        assert repository_paths.to_publish() == Path("b")
        monkeypatch.setenv(VARIABLE, "file")
        assert repository_paths.to_publish() == Path("file")


@pytest.mark.parametrize("text", ["https://me:secret@h/x", "a:s3://me:secret@b/x", "s3://me@b:c"])
def test_a_password_is_no_separator(text: str) -> None:
    with pytest.raises(OptionError, match="holds a user or password") as error:
        repository_paths.split(text)
    assert "secret" not in str(error.value)
