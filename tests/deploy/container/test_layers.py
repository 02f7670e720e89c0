"""What a change rebuilds: the layers whose contents it changes, and those that stand on them."""

import re
from pathlib import Path

import pytest

from deploy.container import dockerfile
from deploy.container.context import Context
from deploy.container.layers import keys

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "Dockerfile").read_text()
FILES = {
    *(
        f"deploy/container/{name}.txt"
        for name in ("torch", "service", "remote", "build", "inventory")
    ),
    *("models/a.py", "training/a.py", "service/a.py", "fanlight/a.py"),
    *("pyproject.toml", "README.md", "LICENSE"),
}
OF_THE_IMAGE = ["torch", "dependencies", "installed", "image"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A context of small files at the paths that the Dockerfile takes."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".dockerignore").write_text((ROOT / ".dockerignore").read_text())
    return tmp_path


def built(folder: Path, text: str = TEXT, **given: str) -> dict[str, str]:
    return keys(dockerfile.parse(text, given), Context(folder), given)


def rebuilt(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The stages of the image that are built anew."""
    return [name for name in OF_THE_IMAGE if before[name] != after[name]]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("constraints.txt", []),
        ("tests/test_app.py", []),
        ("deploy/container/inventory.txt", []),
        ("deploy/container/torch.txt", OF_THE_IMAGE),
        ("deploy/container/service.txt", OF_THE_IMAGE[1:]),
        ("deploy/container/remote.txt", OF_THE_IMAGE[1:]),
        ("service/a.py", OF_THE_IMAGE[2:]),
        ("fanlight/new.py", OF_THE_IMAGE[2:]),
        ("README.md", OF_THE_IMAGE[2:]),
    ],
)
def test_a_change_rebuilds_what_it_changes(folder: Path, changed: str, expected: list[str]) -> None:
    before = built(folder)
    (folder / changed).parent.mkdir(parents=True, exist_ok=True)
    (folder / changed).write_text("changed")
    assert rebuilt(before, built(folder)) == expected


def test_a_moved_file_and_another_argument_are_changes(folder: Path) -> None:
    before = built(folder)
    assert rebuilt(before, built(folder, TORCH_INDEX="https://example.org/")) == OF_THE_IMAGE
    assert rebuilt(before, built(folder, REMOTE="1")) == OF_THE_IMAGE[1:]
    assert rebuilt(before, built(folder, BASE="debian")) == OF_THE_IMAGE
    (folder / "service" / "a.py").rename(folder / "service" / "b.py")
    assert rebuilt(before, built(folder)) == OF_THE_IMAGE[2:]


def test_labels_change_the_last_layer_only(folder: Path) -> None:
    other = re.sub(r'(image\.version=)"[^"]+"', r'\1"9"', TEXT)
    assert other != TEXT
    assert rebuilt(built(folder), built(folder, other)) == ["image"]
