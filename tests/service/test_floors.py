"""What the parts of the service load: the core needs no web framework, the batcher no torch."""

import subprocess
import sys

import pytest

WEB = {"fastapi", "starlette", "uvicorn", "httptools"}


def modules_of(module: str) -> set[str]:
    """What a fresh process has loaded after importing the module."""
    program = f"import sys, {module}; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def loaded_by(module: str) -> set[str]:
    """The same, as top-level packages."""
    return {name.partition(".")[0] for name in modules_of(module)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    ["service.inference.batcher", "service.deadlines", "service.errors", "service.access.gate"],
)
def test_the_core_loads_neither_a_web_framework_nor_torch(module: str) -> None:
    modules = modules_of(module)
    assert not modules & {*WEB, "torch"}
    shared = {name for name in modules if name.partition(".")[0] == "models"}
    # errors, whose code may run, and the runtimes that settings list, one of which keeps files
    allowed = {"errors", "extras", "faults", "files", "permission", "registry"}
    allowed |= {"graphs", "graphs.errors", "graphs.session", "repository_paths"}
    allowed |= {"remote", "remote.address"}  # which tells an address from a folder
    assert shared <= {"models", *(f"models.{each}" for each in allowed)}


@pytest.mark.slow
def test_a_prediction_loads_no_web_framework() -> None:
    loaded = loaded_by("service.prediction")
    assert "torch" in loaded
    assert not loaded & WEB
