"""The build context holds what Docker would send, and nothing that `.dockerignore` leaves out."""

from pathlib import Path

import pytest

from deploy.container.context import Context

ROOT = Path(__file__).parents[3]


def context(folder: Path, rules: str, *names: str) -> Context:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / ".dockerignore").write_text(rules)
    return Context(folder)


@pytest.mark.parametrize(
    ("rules", "path", "takes"),
    [
        ("", "a/b", True),
        ("a", "a/b/c", False),
        ("a", "ab", True),
        ("/a/", "a/b", False),
        ("*\n!a", "a/b", True),
        ("*\n!a", "b", False),
        ("*\n!a/*.txt", "a/b.txt", True),
        ("*\n!a/*.txt", "a/b/c.txt", False),
        ("**/__pycache__", "a/b/__pycache__/c.pyc", False),
        ("**/__pycache__", "__pycache__/c.pyc", False),
        ("!a\n*", "a", False),
        ("# a\n\n", "a", True),
        ("a?c", "abc", False),
        ("a?c", "a/c", True),
        ("a.c", "abc", True),
    ],
)
def test_the_last_rule_that_matches_decides(
    tmp_path: Path, rules: str, path: str, *, takes: bool
) -> None:
    assert context(tmp_path, rules).takes(path) is takes


def test_a_folder_s_contents_are_copied_and_files_by_name(tmp_path: Path) -> None:
    source, target = tmp_path / "a b", tmp_path / "target"
    found = context(source, "**/*.pyc", "one/x/ü.py", "one/y.pyc", "two.txt")
    found.copy(["one", "two.txt"], target)
    copied = sorted(each.relative_to(target).as_posix() for each in target.rglob("*.*"))
    assert copied == ["two.txt", "x/ü.py"]


@pytest.mark.parametrize("path", ["nothing", "left-out.txt", "empty"])
def test_what_is_not_there_is_an_error(tmp_path: Path, path: str) -> None:
    found = context(tmp_path, "left-out.txt", "left-out.txt", "a.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=f"{path} is not in the build context"):
        found.files(path)


def test_our_own_holds_the_packages_and_no_tests() -> None:
    found = Context(ROOT)
    for name in ("fanlight/__main__.py", "models/checkpoints/mnist/1/card.json", "pyproject.toml"):
        assert found.takes(name), name
    for name in (".git/config", "tests/__init__.py", "models/__pycache__/x.pyc", "constraints.txt"):
        assert not found.takes(name), name
