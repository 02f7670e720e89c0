"""Models and versions by name."""

from pathlib import Path

import pytest

from models import checkpoint
from models.checkpoint import CheckpointError
from tests.networks import publish_tiny


class TestFind:
    def test_the_highest_version(self, repository: Path) -> None:
        assert checkpoint.find(repository, "colors").folder == repository / "colors" / "2"

    def test_the_highest_is_not_the_last_by_name(self, repository: Path) -> None:
        (repository / "colors" / "2").rename(repository / "colors" / "10")
        publish_tiny(repository)
        (repository / "colors" / "11").rename(repository / "colors" / "9")
        assert checkpoint.versions(repository / "colors") == [1, 9, 10]
        assert checkpoint.find(repository, "colors").number == 10

    def test_a_version_by_its_number(self, repository: Path) -> None:
        assert checkpoint.find(repository, "colors", 1).folder == repository / "colors" / "1"

    @pytest.mark.parametrize("version", [3, 0, -1])
    def test_an_unknown_version(self, repository: Path, version: int) -> None:
        with pytest.raises(CheckpointError, match="'colors'; there are: 1, 2"):
            checkpoint.find(repository, "colors", version)

    @pytest.mark.parametrize("name", ["shades", "", ".", "..", "colors/1"])
    def test_an_unknown_model(self, repository: Path, name: str) -> None:
        with pytest.raises(CheckpointError, match=f"no model '{name}' .*there are: colors"):
            checkpoint.find(repository, name)

    def test_an_empty_repository(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="there are: none"):
            checkpoint.find(tmp_path, "colors")
        with pytest.raises(CheckpointError, match=r"no folder .*missing, in which 'colors'"):
            checkpoint.find(tmp_path / "missing", "colors")

    def test_a_model_without_versions(self, tmp_path: Path) -> None:
        (tmp_path / "colors").mkdir()
        with pytest.raises(CheckpointError, match="no version at all of 'colors'"):
            checkpoint.find(tmp_path, "colors")

    def test_drafts_and_strangers_are_no_versions(self, repository: Path) -> None:
        model = repository / "colors"
        for name in (".draft-abc", "0", "03", "-4", "5.0", "latest", "٦"):
            (model / name).mkdir()
        (model / "7").write_text("a file")
        assert checkpoint.versions(model) == [1, 2]

    def test_numbers_that_no_version_has(self, repository: Path) -> None:
        (repository / "colors" / ("9" * 200)).mkdir()
        assert checkpoint.versions(repository / "colors") == [1, 2]

    def test_very_many_entries(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("models.checkpoint.folder.MAX_ENTRIES", 1)
        with pytest.raises(CheckpointError, match="more than 1 entries; move those away"):
            checkpoint.versions(repository / "colors")

    def test_strangers_are_no_models(self, repository: Path) -> None:
        publish_tiny(repository, "a.model")
        for name in (".hidden", "Upper", "lost+found"):
            (repository / name).mkdir()
        (repository / "notes.txt").write_text("a file")
        assert checkpoint.names(repository) == ["a.model", "colors"]

    def test_no_repository_has_no_models(self, tmp_path: Path) -> None:
        assert checkpoint.names(tmp_path / "missing") == []
        assert checkpoint.versions(tmp_path / "missing" / "colors") == []


class TestCheckName:
    @pytest.mark.parametrize("name", ["a", "0", "a.b_c-d", "a" * 128])
    def test_names(self, name: str) -> None:
        checkpoint.check_name(name)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            (
                "Foo",
                "'Foo' can't name a model: .*small letters.*by --name, such as --name foo$",
            ),
            ("My Pets!", "such as --name my-pets$"),
            ("stats", "'stats' can't name a model, since .* such as --name stats-model$"),
            ("Stats", "such as --name stats-model$"),
            ("Übung", "such as --name ubung$"),
            ("模型", "give one by --name$"),
            ("", "give one by --name$"),
            ("-a", "such as --name a$"),
            ("a/b", "such as --name a-b$"),
            ("a\n", "such as --name a$"),
            ("a" * 129, "^'a{40}…' can't name .*128 characters long at most.* --name a{40}$"),
        ],
    )
    def test_others_are_told_which_would_do(self, name: str, message: str) -> None:
        with pytest.raises(CheckpointError, match=message):
            checkpoint.check_name(name)
