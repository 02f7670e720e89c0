"""What a session of ONNX Runtime keeps of large batches it gives back once they were tried."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models import checkpoint
from models.preprocessing import InputSpec
from service.inference.runtimes import onnx_runtime
from service.inference.runtimes.onnx_runtime import Onnx
from tests.networks import publish_tiny

STATUS = Path("/proc/self/status")
WIDE = InputSpec(channels=3, height=256, width=256)
BATCH = np.zeros((32, *WIDE.shape), np.uint8)  # its first activations take 32 MiB
MEBIBYTES = 2**20


def resident() -> int:
    """Bytes of memory that this process has."""
    [line] = [each for each in STATUS.read_text().splitlines() if each.startswith("VmRSS")]
    return 1024 * int(line.split()[1])


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc/self/status")
def test_memory_is_given_back_and_answers_stay(tmp_path: Path) -> None:
    publish_tiny(tmp_path, input=WIDE)
    loaded = checkpoint.load(checkpoint.find(tmp_path, "colors"), torch.device("cpu"))
    runtime = Onnx(onnx_runtime.export(loaded), threads=1)
    before = runtime(BATCH[:1])
    runtime(BATCH)
    kept = resident()
    runtime.settle()
    assert resident() < kept - 30 * MEBIBYTES
    np.testing.assert_array_equal(runtime(BATCH[:1]), before)
    np.testing.assert_allclose(runtime(BATCH), before.repeat(32, 0), atol=1e-6)
