"""The memory of a training doesn't grow with pictures whose pixels are in a file."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.profiling import memory

REPOSITORY = Path(__file__).parents[3]
ALLOWED = 24 * 2**20  # bytes of pixels that are kept in memory
SIDE = 128
PICTURE = 3 * SIDE * SIDE  # bytes
PROGRAM = """
import sys
from pathlib import Path
from fanlight.command import main
from training.data import storage
storage.available = lambda: int(sys.argv[1]) / storage.SHARE
code = main(sys.argv[2:])
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line))
sys.exit(code)
"""


NETWORK = """
from torch import Tensor, nn

class Small(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 16, stride=16)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""


def folder_of(folder: Path, pictures: int) -> Path:
    """An image folder whose pictures all differ, a fifth of them for testing."""
    noise = np.random.default_rng(0)
    for number in range(pictures):
        split, label = ("test", "train")[number % 5 > 0], ("dark", "light")[number % 2]
        path = folder / split / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        blocks = noise.integers(128 * (number % 2), 128 + 127 * (number % 2), (16, 16), np.uint8)
        Image.fromarray(blocks).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(path)
    return folder


def peak(dataset: Path, folder: Path, *options: str) -> int:
    """The peak memory of a training, in bytes."""
    arguments = [
        *("fit", "mnist-cnn", "--name", "flat", "--dataset", str(dataset), *options),
        *("--architecture", "small:Small", "--size", str(SIDE)),
        *("--epochs", "1", "--device", "cpu", "--validation-fraction", "0.2"),
        *("--repository", str(folder / "models"), "--runs", str(folder / "runs")),
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ALLOWED), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.split()[-2]) * 1024


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="only Linux measures the peak memory")
def test_it_is_flat_on_a_set_of_four_times_the_limit(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(NETWORK)
    large = folder_of(tmp_path / "many", 4 * ALLOWED // PICTURE)
    small = folder_of(tmp_path / "few", ALLOWED // PICTURE)
    fits, streamed = peak(small, tmp_path), peak(large, tmp_path)
    in_memory = peak(large, tmp_path, "--no-stream")
    assert streamed < fits + ALLOWED / 2
    assert in_memory > fits + 3 * ALLOWED
