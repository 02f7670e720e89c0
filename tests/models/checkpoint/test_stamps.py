"""A version whose files have changed is noticed."""

import hashlib
import os
from pathlib import Path

import pytest

from models import checkpoint
from tests.models.checkpoint.versions import (
    CPU,
)


class TestChanges:
    def test_none(self, folder: Path) -> None:
        stamps = checkpoint.load(folder, CPU).stamps
        assert checkpoint.changes(folder, stamps) == (None, stamps)

    def test_none_if_only_the_time_differs(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stamps = checkpoint.load(folder, CPU).stamps
        os.utime(folder / "weights.pt", (0, 0))
        reason, stamps = checkpoint.changes(folder, stamps)
        assert reason is None
        monkeypatch.setattr(hashlib, "file_digest", None)  # nor is it read again
        assert checkpoint.changes(folder, stamps) == (None, stamps)

    @pytest.mark.parametrize("name", ["card.json", "weights.pt"])
    def test_of_each_file(self, folder: Path, name: str) -> None:
        stamps = checkpoint.load(folder, CPU).stamps
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + b" ")
        assert checkpoint.changes(folder, stamps)[0] == f"{name} is not the one that was loaded"
        (folder / name).unlink()
        assert checkpoint.changes(folder, stamps)[0] == f"{name} was removed"
        os.mkfifo(folder / name)
        assert f"{name} is not a file" in str(checkpoint.changes(folder, stamps)[0])
        (folder / name).unlink()
        (folder / name).write_bytes(content)
        assert checkpoint.changes(folder, stamps)[0] is None

    def test_a_folder_that_is_gone_says_nothing(self, folder: Path) -> None:
        stamps = checkpoint.load(folder, CPU).stamps
        folder.rename(folder.with_name("9"))
        with pytest.raises(FileNotFoundError):
            checkpoint.changes(folder, stamps)
