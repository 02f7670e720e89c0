"""An installed plug-in registers networks of its own by an entry point."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from models.architectures import registry
from models.architectures.architecture import Architecture
from models.architectures.registry import ArchitectureError, Permission, load_plugins
from models.preprocessing import InputSpec
from models.registry import Registry, UnknownNameError
from tests.own_code import Write, write

__all__ = ["write"]
REGISTERS = """
from typing import Annotated
from pydantic import Field
from models.architectures.registry import register
from models.preprocessing import InputSpec

@register("{name}", InputSpec(channels=1, height=12, width=10, std=(0.5,)))
def net(num_classes, width: Annotated[int, Field(ge=1)] = 4):
    '''A network of a plug-in.'''
    return nn.Sequential(nn.Flatten(), nn.Linear(120, width), nn.Linear(width, num_classes))

class Other(nn.Linear):
    '''Another one.'''
    def __init__(self, n_classes): super().__init__(2, n_classes)
"""


def install(*entries: str) -> None:
    """A distribution in the working folder, as pip would leave one."""
    info = Path("blobs-1.0.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blobs\nVersion: 1.0\n")
    lines = ["[fanlight.architectures]", *entries, ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
    sys.path.append(str(Path.cwd()))


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """What a test registers is forgotten."""
    with registry.ARCHITECTURES.restored():
        yield


def test_its_networks_are_found_by_name(write: Write) -> None:
    module = write(REGISTERS.format(name="blob"))
    install(f"blobs = {module}")
    assert load_plugins() == {}
    known = registry.architecture("blob")
    assert known.input == InputSpec(channels=1, height=12, width=10, std=(0.5,))
    assert known.parameters["width"]["minimum"] == 1
    assert known.build(3, width=2).get_parameter("2.weight").shape == (3, 2)
    assert "blob" in registry.names()
    assert "blob, convnet" in registry.describe()
    assert "blob: width" in registry.describe_arguments()
    assert "| `blob` | A network of a plug-in. | 1×12×10 | `width`, integer" in registry.table()


def test_an_entry_point_can_name_a_class(write: Write) -> None:
    module = write(REGISTERS.format(name="blob"))
    install(f"blob-other = {module}:Other", f"registered = {module}:net")
    assert load_plugins() == {}
    assert registry.architecture("blob-other").description == "Another one."
    assert isinstance(registry.architecture("blob-other").build(3), nn.Linear)
    assert "registered" not in registry.names()  # it is there as blob


def test_its_code_needs_no_other_permission(write: Write) -> None:
    module = write(REGISTERS.format(name="unused"))
    with pytest.raises(ArchitectureError, match="may not be run here"):
        registry.architecture(f"{module}:Other")
    install(f"blobs = {module}")
    assert isinstance(registry.architecture(f"{module}:Other").build(3), nn.Linear)
    assert not Permission().allows(f"{module}x")


def test_one_that_fails_stops_no_other_and_is_named(write: Write) -> None:
    broken = write("x = 1 / 0")
    taken = write(REGISTERS.format(name="lenet"))
    good = write(REGISTERS.format(name="blob"))
    install(f"broken = {broken}", f"taken = {taken}", "gone = nowhere9", f"good = {good}")
    failed = load_plugins()
    assert set(failed) == {"broken", "taken", "gone"}
    assert failed["broken"].startswith("ZeroDivisionError: division by zero (")
    assert "'lenet' is registered twice" in failed["taken"]
    assert registry.architecture("blob").input.height == 12


def test_an_unknown_name_tells_of_plugins_that_failed() -> None:
    lookup = Registry[Architecture]("architecture", plugins=lambda: {"blobs": "it is broken"})
    with pytest.raises(UnknownNameError, match=r"'blob'.*; the plug-in blobs failed: it is"):
        lookup.get("blob")
