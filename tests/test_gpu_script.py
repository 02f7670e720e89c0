"""`benchmarks/gpu.sh`, as far as it runs without a GPU: what is missing, and what travels along."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import wheels

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def gpu(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    places = {"WHEELS": str(folder / "wheels"), "TABLE": str(folder / "gpu.md")}
    env = {**os.environ, "PYTHON": sys.executable, **places}
    script = str(ROOT / "benchmarks" / "gpu.sh")
    return subprocess.run([script, *arguments], env=env, capture_output=True, text=True)


def test_all_that_is_missing_is_said_before_anything_runs(tmp_path: Path) -> None:
    result = gpu(folder=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert any(line.startswith("missing: wheels in ") for line in lines)
    no_gpu = any(line.startswith("missing: a GPU that torch sees") for line in lines)
    assert no_gpu is not torch.cuda.is_available()
    assert not (tmp_path / "gpu.md").exists()


def test_wheels_of_another_python_are_not_enough(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "pydantic_core-2-cp27-cp27-linux_x86_64.whl").touch()
    result = gpu("cpu", folder=tmp_path)
    assert result.returncode == 2
    own = "{}.{}".format(*sys.version_info[:2])
    assert result.stderr.startswith(f"missing: wheels for Python {own};")


def test_an_unknown_device_is_named(tmp_path: Path) -> None:
    assert "missing: a device: cuda or cpu, not tpu" in gpu("tpu", folder=tmp_path).stderr


def test_what_torch_brings_along_does_not_travel() -> None:
    names = {each.partition("==")[0] for each in wheels.needed("3.12")}
    assert not names & {"torch", "torchvision", "numpy", "pillow", "sympy", "onnxruntime"}
    assert {"fastapi", "pydantic-core", "uvloop", "matplotlib", "pytest", "httpx2"} <= names


def test_conditions_of_requirements_are_evaluated_for_linux() -> None:
    """The needs of needs are followed, each with its condition."""
    names = {each.partition("==")[0] for each in wheels.needed("3.12")}
    assert "contourpy" in names  # of matplotlib
    assert "colorama" not in names  # of click and pytest, on Windows
