"""A network on a GPU as CUDA graphs: captured once for a few batch sizes, then only replayed.

Launching a small network's kernels one by one takes the CPU longer than the GPU takes to run them;
a graph is launched with one call. See the CUDA programming guide on graphs, and torch's notes on
CUDA semantics. Each network is compared with eager torch when it is loaded; `pytest -m gpu` does so
in a test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.inference.runtimes.eager import PRECISIONS
from service.inference.runtimes.registry import Attempt, RuntimeEntry, Setup, register

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from models.preprocessing import Pixels

    # of uint8 (N, C, H, W) on the device, to columns there
    Forward = Callable[[Tensor], Tensor]

NAME = "cuda-graphs"
_MIN_BATCH = 4  # images; the largest graph has room for as many at least
_WARM = 3  # forward passes before the capture, in which libraries choose their kernels


def sizes(largest: int) -> list[int]:
    """Return the batch sizes to prepare for: the powers of two up to `largest`, and `largest`."""
    powers = [2**power for power in range(largest.bit_length())]
    return sorted({*powers, largest})


@dataclass(frozen=True)
class _Graph:
    """A captured CUDA graph, with the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    host: Tensor  # (N, C, H, W), uint8, pinned
    pixels: Tensor  # the same on the device
    columns: Tensor  # (N, …) of `service.inference.outputs`, float32


class Captured:
    """A runtime that replays the graph of the smallest prepared size with room for the batch."""

    name = NAME
    independent = False

    def __init__(
        self, forward: Forward, shape: tuple[int, int, int], device: torch.device, largest: int
    ) -> None:
        import torch

        self._graphs: dict[int, _Graph] = {}
        pool, stream = None, torch.cuda.Stream(device)
        for size in reversed(sizes(largest)):  # the largest first: the others fit into its memory
            self._graphs[size] = _captured(forward, (size, *shape), device, stream, pool)
            pool = pool or self._graphs[size].graph.pool()

    def settle(self) -> None:
        """Free nothing: the captured graphs use all of their memory at each run."""

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        import torch

        count = len(batch)
        used = self._graphs[min(size for size in self._graphs if size >= count)]
        with torch.inference_mode():
            used.host[:count].copy_(torch.from_numpy(batch))
            used.pixels.copy_(used.host, non_blocking=True)
            used.graph.replay()
            answer: NDArray[np.float32] = used.columns[:count].cpu().numpy()
        return answer


def _captured(
    forward: Forward,
    shape: tuple[int, ...],
    device: torch.device,
    stream: torch.cuda.Stream,
    pool: Any,
) -> _Graph:
    """Capture the graph of a forward pass for batches of `shape`; raise the errors of CUDA."""
    import torch

    with torch.inference_mode():
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
                columns = forward(pixels)
    return _Graph(graph, host, pixels, columns)


def _attempts(setup: Setup) -> list[Attempt]:
    prepared = sizes(max(setup.max_batch_size, _MIN_BATCH))
    card, device = setup.checkpoint.card, setup.checkpoint.device

    def make() -> Captured:
        return Captured(setup.eager.forward, card.input.shape, device, prepared[-1])

    return [Attempt(make, batch_sizes=(*prepared, 3))]


def _unavailable() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "torch sees no CUDA device"


register(
    RuntimeEntry(
        name=NAME,
        title="A CUDA graph",
        description="The network in torch, captured as CUDA graphs: the quickest on a GPU.",
        product="CUDA graph",
        devices=("cuda",),
        precisions=PRECISIONS,
        rank=1,
        attempts=_attempts,
        unavailable=_unavailable,
    )
)
