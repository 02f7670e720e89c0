"""The commit behind a checkpoint, as far as it can be known."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from training.fitting.records import provenance

OURS = "training/fitting/records/provenance.py"
with_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the code of Fanlight, which `provenance` takes for its own."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for path in (
        "models/architectures/lenet.py",
        OURS,
        "README.md",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("one\n")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / OURS))
    return tmp_path


def commit(checkout: Path) -> str:
    """Commit everything; the hash."""

    def git(*arguments: str) -> str:
        author = (
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
            "-c",
            "commit.gpgsign=false",
        )
        command = ["git", "-C", str(checkout), *author, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    return git("rev-parse", "HEAD")


def test_an_installed_package_has_no_commit(checkout: Path) -> None:
    assert provenance.commit() == "unknown"


@with_git
def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    head = commit(checkout)
    assert re.fullmatch("[0-9a-f]{40}", head)
    assert provenance.commit() == head


@with_git
@pytest.mark.parametrize("path", ["models/architectures/lenet.py", OURS])
def test_changed_code_is_dirty(checkout: Path, path: str) -> None:
    head = commit(checkout)
    (checkout / path).write_text("two\n")
    assert provenance.commit() == f"{head}-dirty"


@with_git
def test_other_changes_are_not(checkout: Path) -> None:
    head = commit(checkout)
    (checkout / "README.md").write_text("two\n")
    assert provenance.commit() == head


@with_git
def test_a_checkout_without_commits(checkout: Path) -> None:
    (checkout / ".git").mkdir()
    assert provenance.commit() == "unknown"


@with_git
def test_a_checkout_around_an_installed_package_is_not_its_own(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(checkout)
    inside = checkout / "lib/training/fitting/records/provenance.py"
    inside.parent.mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(inside))
    assert provenance.commit() == "unknown"


def test_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == "unknown"
