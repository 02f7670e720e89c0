"""A network on a GPU as CUDA graphs: captured once for a few batch sizes, then only replayed.

Launching a small network's kernels one by one takes the processor longer than they run; a graph is
launched at once. See the CUDA programming guide on graphs, and torch's notes on CUDA semantics.
No GPU has run this yet: where there is one, `pytest -m gpu` compares it with eager torch, as each
network is when it is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.preprocessing import Pixels

Forward = Callable[[Tensor], Tensor]  # of uint8 (N, C, H, W) on the device, to probabilities there
_WARM = 3  # forward passes before the capture, in which libraries choose their kernels


def sizes(largest: int) -> list[int]:
    """The batch sizes to prepare for: powers of two, and the largest."""
    powers = [2**power for power in range(largest.bit_length())]
    return sorted({*powers, largest})


@dataclass(frozen=True)
class _Graph:
    """What is replayed, with the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    host: Tensor  # (N, C, H, W), uint8, pinned
    pixels: Tensor  # the same on the device
    probabilities: Tensor  # (N, num_classes), float32


class Captured:
    """Replays the graph of the smallest prepared size that has room for the batch."""

    name = "cuda-graphs"
    independent = False

    def __init__(
        self, forward: Forward, shape: tuple[int, int, int], device: torch.device, largest: int
    ) -> None:
        self._graphs: dict[int, _Graph] = {}
        pool, stream = None, torch.cuda.Stream(device)
        for size in reversed(sizes(largest)):  # the largest first: the others fit into its memory
            self._graphs[size] = _captured(forward, (size, *shape), device, stream, pool)
            pool = pool or self._graphs[size].graph.pool()

    @torch.inference_mode()
    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        count = len(batch)
        used = self._graphs[min(size for size in self._graphs if size >= count)]
        used.host[:count].copy_(torch.from_numpy(batch))
        used.pixels.copy_(used.host, non_blocking=True)
        used.graph.replay()
        answer: NDArray[np.float32] = used.probabilities[:count].cpu().numpy()
        return answer


@torch.inference_mode()
def _captured(
    forward: Forward,
    shape: tuple[int, ...],
    device: torch.device,
    stream: torch.cuda.Stream,
    pool: Any,
) -> _Graph:
    """The graph of a forward pass for batches of that shape; raises as CUDA does."""
    host = torch.zeros(shape, dtype=torch.uint8).pin_memory()
    pixels = host.to(device)
    graph = torch.cuda.CUDAGraph()
    usual = torch.cuda.current_stream(device)
    with torch.cuda.device(device), torch.cuda.stream(usual):  # again, where a capture fails
        stream.wait_stream(usual)
        with torch.cuda.stream(stream):
            for _ in range(_WARM):
                forward(pixels)
        usual.wait_stream(stream)
        # other networks may be at work in threads of their own
        options: Any = {"stream": stream, "pool": pool, "capture_error_mode": "thread_local"}
        with torch.cuda.graph(graph, **options):
            probabilities = forward(pixels)
    return _Graph(graph, host, pixels, probabilities)
