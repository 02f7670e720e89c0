"""CUDA graphs: prepared for a few sizes, padded to, and equal to eager torch on a GPU."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import checkpoint
from models.checkpoint import Checkpoint
from service.inference.runtimes import choice, cuda_graphs
from service.inference.runtimes.cuda_graphs import Captured, sizes
from service.inference.runtimes.eager import Torch
from service.inference.runtimes.onnx_cache import Graphs
from tests.networks import SPEC


@pytest.mark.parametrize(
    ("largest", "prepared"),
    [(1, [1]), (2, [1, 2]), (64, [1, 2, 4, 8, 16, 32, 64]), (100, [1, 2, 4, 8, 16, 32, 64, 100])],
)
def test_sizes_are_powers_of_two_and_the_largest(largest: int, prepared: list[int]) -> None:
    assert sizes(largest) == prepared


def choose(loaded: Checkpoint, precision: str = "float32") -> Any:
    nowhere = Graphs(None)
    return choice.choose(loaded, "auto", precision, 1, max_batch_size=12, graphs=nowhere)


def test_a_capture_that_fails_leaves_eager_torch(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is what happens to a network that waits for its device in the forward pass."""
    loaded = checkpoint.load(repository / "colors" / "1", torch.device("cpu"))
    elsewhere = Checkpoint(loaded.card, loaded.network, loaded.structure, torch.device("cuda"))

    def refused(*_: Any) -> Captured:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda_graphs, "Captured", refused)
    chosen = choose(elsewhere)
    assert chosen.runtime.name == "torch"
    assert chosen.fallback == "no CUDA graph: operation not permitted when stream is capturing"


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_graphs_answer_as_eager_torch(repository: Path, precision: str) -> None:
    loaded = checkpoint.load(repository / "colors" / "1", torch.device("cuda:0"))
    chosen = choose(loaded, precision)
    assert (chosen.runtime.name, chosen.fallback) == ("cuda-graphs", None)
    noise = np.random.default_rng(0).integers(0, 256, (12, *SPEC.shape), dtype=np.uint8)
    eager = Torch(loaded, precision)
    for count in (12, 1, 3, 8, 5, 12):
        found = chosen.runtime(noise[:count])
        tolerance = choice.TOLERANCE[precision]
        np.testing.assert_allclose(found, eager(noise[:count]), atol=tolerance, rtol=0)
