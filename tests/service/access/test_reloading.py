"""Files that are read again: what can't be used changes nothing, and is told."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from models.errors import damaged
from service.access import reloading
from service.access.reloading import Reloading
from tests.waiting import until


class Following:
    """A file whose text is a number, and the numbers that were used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.used: list[int] = []
        self.files = Reloading("number_file", [path], self.make, self.used.append)

    def make(self) -> int:
        try:
            return int(self.path.read_text())
        except ValueError:
            raise damaged(self.path, "is no number") from None


@pytest.fixture
def following(tmp_path: Path) -> Following:
    path = tmp_path / "number"
    path.write_text("1")
    return Following(path)


def test_a_file_is_used_again_only_if_it_changed(following: Following) -> None:
    following.files.look()
    following.files.look()
    assert following.used == [1]
    following.path.write_text("2")
    following.files.look()
    following.files.look()
    assert following.used == [1, 2]


def test_a_change_within_one_tick_of_the_clock_is_seen(following: Following) -> None:
    following.files.look()
    times = following.path.stat()
    following.path.write_text("2")
    os.utime(following.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    following.files.look()
    assert following.used == [1, 2]


def test_a_link_that_is_exchanged_is_seen(following: Following, tmp_path: Path) -> None:
    """As Kubernetes replaces the files of a Secret."""
    following.files.look()
    (tmp_path / "newer").write_text("2")
    (tmp_path / "link").symlink_to(tmp_path / "newer")
    (tmp_path / "link").replace(following.path)
    following.files.look()
    assert following.used == [1, 2]


@pytest.mark.parametrize("damage", ["text", "empty", "gone", "folder", "pipe", "large", "loop"])
def test_what_can_not_be_used_changes_nothing(following: Following, damage: str) -> None:
    path = following.path
    following.files.look()
    with capture_logs() as lines:
        path.unlink()
        if damage == "folder":
            path.mkdir()
        elif damage == "pipe":
            os.mkfifo(path)
        elif damage == "loop":
            path.symlink_to(path)
        elif damage != "gone":
            content = {"text": "one", "empty": "", "large": "1" * 2**21}[damage]
            path.write_text(content)
        following.files.look()
        following.files.look()
    assert following.used == [1]
    [line] = lines  # once, not at each look
    assert (line["event"], line["log_level"]) == ("file_not_usable", "error")
    assert line["setting"] == "number_file"
    assert str(path) in line["problem"]
    assert line["effect"] == "what was read before stays in use"


def test_it_is_used_once_it_is_good_again(following: Following) -> None:
    following.files.look()
    for content in ("x", "3"):
        following.path.write_text(content)
        following.files.look()
    assert following.used == [1, 3]


def test_what_was_wrong_for_a_while_is_told_to_be_as_before(following: Following) -> None:
    following.files.look()
    with capture_logs() as lines:
        for content in ("x", "1"):
            following.path.write_text(content)
            following.files.look()
    assert [line["event"] for line in lines] == ["file_not_usable", "file_is_as_before"]
    assert following.used == [1]


def test_a_problem_that_stays_is_told_again(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "REMIND_LOOKS", 10)
    following.path.write_text("x")
    with capture_logs() as lines:
        for _ in range(25):
            following.files.look()
    assert len(lines) == 3


def test_a_file_that_changes_while_it_is_read_waits_for_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    used: list[str] = []

    def make() -> str:
        made = path.read_text()
        path.write_text("2")
        return made

    files = Reloading("number_file", [path], make, used.append)
    files.look()
    assert used == []
    files.look()
    assert used == ["2"]


def test_it_follows_on_a_thread_until_it_is_closed(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "LOOK_SECONDS", 0.001)
    following.files.start()
    following.path.write_text("2")
    until(lambda: following.used == [1, 2])
    following.files.close()
