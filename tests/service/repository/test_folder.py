"""What is wanted of a folder, whatever becomes of it while it is watched."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from models import checkpoint
from models.checkpoint import folder as listing
from service.repository.folder import Folder


class TestFolder:
    """What is wanted of a folder that is `{"a": (1, 2), "b": (1,)}`, while all of it is held."""

    ALL = frozenset({("a", 1), ("a", 2), ("b", 1)})

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        for name, number in self.ALL:
            (tmp_path / "repository" / name / str(number)).mkdir(parents=True)
        return tmp_path / "repository"

    @pytest.fixture
    def folder(self, path: Path) -> Folder:
        folder = Folder(path)
        assert folder.wanted(set()) == self.ALL
        return folder

    def test_what_was_added_and_not_what_was_removed(self, folder: Folder, path: Path) -> None:
        (path / "a" / "1").rmdir()
        (path / "b" / "7").mkdir()
        assert folder.wanted(self.ALL) == {("a", 2), ("b", 1), ("b", 7)}

    def test_nothing_if_all_was_removed(self, folder: Folder, path: Path) -> None:
        for name in ("a", "b"):
            shutil.rmtree(path / name)
        assert folder.wanted(self.ALL) == set()

    def test_what_another_folder_holds_if_it_holds_any(self, folder: Folder, path: Path) -> None:
        """A link that is turned to the next folder, say."""
        path.rename(path.with_name("old"))
        (path / "c" / "1").mkdir(parents=True)
        assert folder.wanted(self.ALL) == {("c", 1)}

    def test_all_of_a_model_that_can_not_be_read(
        self, folder: Folder, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        versions = checkpoint.versions

        def refused(model: Path) -> list[int]:
            if model.name == "a":
                raise PermissionError(13, "Permission denied", str(model))
            return versions(model)

        (path / "b" / "1").rmdir()
        monkeypatch.setattr(listing, "versions", refused)
        with capture_logs() as logs:
            for _ in range(3):
                assert folder.wanted(self.ALL) == {("a", 1), ("a", 2)}
            monkeypatch.undo()
            assert folder.wanted(self.ALL) == {("a", 1), ("a", 2)}
        assert [line["event"] for line in logs] == ["not readable", "readable again"]
        assert "Permission denied" in logs[0]["reason"]

    def test_all_where_a_folder_may_be_there(
        self, folder: Folder, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stat = os.stat

        def stale(file: Any, **options: Any) -> Any:
            if str(file).startswith("a/"):
                raise OSError(116, "Stale file handle")
            return stat(file, **options)

        monkeypatch.setattr(listing, "versions", lambda model: [])
        monkeypatch.setattr(os, "stat", stale)
        (path / "a" / "1").rmdir()
        (path / "b" / "1").rmdir()
        assert folder.wanted(self.ALL) == {("a", 1), ("a", 2)}

    def test_all_if_it_vanishes_while_it_is_read(
        self, folder: Folder, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        versions = checkpoint.versions

        def vanishing(model: Path) -> list[int]:
            found = versions(model)
            if model.name == "a":
                path.rename(path.with_name("old"))
                path.mkdir()
            return found

        monkeypatch.setattr(listing, "versions", vanishing)
        assert folder.wanted(self.ALL) == self.ALL

    def test_all_if_it_goes_and_comes_back_while_it_is_read(
        self, folder: Folder, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        versions, away = checkpoint.versions, path.with_name("away")

        def moved(model: Path) -> list[int]:
            path.rename(away)
            try:
                return versions(model)
            finally:
                away.rename(path)

        monkeypatch.setattr(listing, "versions", moved)
        assert folder.wanted(self.ALL) == self.ALL
        monkeypatch.undo()
        stat = os.stat

        def away_for_a_moment(file: Any, **options: Any) -> Any:
            if not str(file).endswith(("/1", "/2")):
                return stat(file, **options)
            path.rename(away)
            try:
                return stat(file, **options)
            finally:
                away.rename(path)

        monkeypatch.setattr(listing, "versions", lambda _model: [])
        monkeypatch.setattr(os, "stat", away_for_a_moment)
        assert folder.wanted(self.ALL) == self.ALL

    def test_as_many_as_are_allowed(self, path: Path) -> None:
        for number in range(3, 9):
            (path / "a" / str(number)).mkdir()
        folder = Folder(path, 3)
        with capture_logs() as logs:
            assert folder.wanted(set()) == {("a", 8), ("b", 1), ("a", 7)}
        assert "at most 3 are served (setting max_versions)" in logs[0]["reason"]
        # what answers is not given up for versions that may be broken
        assert folder.wanted({("a", 2), ("b", 1)}) == {("a", 2), ("b", 1), ("a", 8)}
