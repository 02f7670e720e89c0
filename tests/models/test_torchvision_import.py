"""torchvision works whatever torch it stands beside, and is imported only when asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.torchvision_import import torchvision

ROOT = Path(__file__).parents[2]


def python(program: str) -> str:
    """What a fresh Python prints."""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_a_module_of_torchvision() -> None:
    datasets = torchvision("datasets")
    assert datasets.__name__ == "torchvision.datasets"
    assert datasets.FashionMNIST.__name__ == "FashionMNIST"
    assert torchvision("datasets") is datasets


@pytest.mark.slow
@pytest.mark.thorough
def test_the_first_import() -> None:
    program = (
        "from models.torchvision_import import torchvision;"
        "print(torchvision('datasets').__name__, torchvision('models').__name__)"
    )
    assert python(program) == "torchvision.datasets torchvision.models"


@pytest.mark.slow
def test_models_does_not_import_torchvision() -> None:
    program = (
        "import sys, models, models.checkpoint, models.devices, models.features;"
        "print([name for name in sys.modules if name.partition('.')[0] == 'torchvision'])"
    )
    assert python(program) == "[]"
