"""Each layer's pins are those of `constraints.txt`, and only those that the layer needs."""

import re
from pathlib import Path

import pytest

from deploy.container import pins

CONSTRAINTS = (pins.ROOT / "constraints.txt").read_text()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what pins are written from."""
    for name in ("constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((pins.ROOT / name).read_bytes())
    monkeypatch.setattr(pins, "ROOT", tmp_path)
    monkeypatch.setattr(pins, "FOLDER", tmp_path)
    return tmp_path


def changed_by(project: Path, package: str) -> list[str]:
    """The layers that another version of a package changes."""
    before = {layer: pins.contents(layer) for layer in pins.LAYERS}
    text, count = re.subn(rf"^{package}==.*$", f"{package}==999", CONSTRAINTS, flags=re.MULTILINE)
    assert count == 1
    (project / "constraints.txt").write_text(text)
    return [layer for layer in pins.LAYERS if pins.contents(layer) != before[layer]]


@pytest.mark.parametrize("layer", pins.LAYERS)
def test_the_files_are_those_that_are_written(layer: str) -> None:
    """`python -m deploy.container.pins` writes them."""
    assert (pins.FOLDER / f"{layer}.txt").read_text() == pins.contents(layer)


@pytest.mark.parametrize(
    ("package", "layers"),
    [
        ("ruff", []),
        ("uvicorn", ["service"]),
        ("sympy", ["torch", "service"]),
        ("packaging", ["service", "build", "inventory"]),
    ],
)
def test_a_package_changes_the_layers_that_need_it(
    project: Path, package: str, layers: list[str]
) -> None:
    assert changed_by(project, package) == layers


def test_a_layer_has_what_its_extras_need_and_no_more() -> None:
    service = pins.contents("service")
    for name in ("uvloop", "pyspng", "onnxruntime"):
        assert f"\n{name}==" in service
    for name in ("pytest", "timm", "pillow-heif"):
        assert f"\n{name}==" not in service


def test_what_remote_repositories_need_is_a_layer_of_its_own() -> None:
    remote = pins.contents("remote")
    for name in ("s3fs", "aiobotocore", "aiohttp", "fsspec"):
        assert f"\n{name}==" in remote
    assert "\nuvicorn==" not in remote


def test_an_unpinned_package_is_an_error_and_nothing_is_written(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "constraints.txt").write_text(re.sub(r"(?m)^uvicorn==.*\n", "", CONSTRAINTS))
    assert pins.main() == 1
    assert "installs uvicorn, which constraints.txt does not pin" in capsys.readouterr().err
    assert not [*project.glob("torch.txt")]


def test_they_are_written(project: Path) -> None:
    assert pins.main() == 0
    assert {each.stem for each in project.glob("*.txt")} == {*pins.LAYERS, "constraints"}
