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
def test_models_imports_torchvision_only_when_it_is_asked_for() -> None:
    """The first import of a process."""
    program = (
        "import sys, models, models.checkpoint, models.devices, models.features;"
        "print([name for name in sys.modules if name.partition('.')[0] == 'torchvision']);"
        "from models.torchvision_import import torchvision;"
        "print(torchvision('datasets').__name__, torchvision('models').__name__)"
    )
    assert python(program) == "[]\ntorchvision.datasets torchvision.models"
