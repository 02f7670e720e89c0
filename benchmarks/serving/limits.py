"""The limit of any server: decoding and the forward pass alone, in one process on one core."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.serving.workloads import Workload
from models import checkpoint, preprocessing
from models.preprocessing import Pixels
from service.inference.runtimes import choice
from service.inference.runtimes.onnx_cache import Graphs

BATCHES = (1, 4, 8, 16, 32, 64)
_SLEEP = 50e-6  # seconds, about what a client takes to send its next request


@dataclass(frozen=True)
class Limit:
    """Microseconds an image: to decode and scale it, and in the forward pass by batch size.

    `single` is the sum of both for one image. `single_waked` is the same after a short sleep, as in
    a server that gets one request at a time: its caches may be cold, or its processor slowed down.
    """

    decode: float
    forward: dict[int, float]
    single_waked: float

    @property
    def single(self) -> float:
        return self.decode + self.forward[1]

    @property
    def best(self) -> float:
        return min(self.forward.values())


def measure(workload: Workload, repository: Path) -> Limit:
    """Measure with the service's decoding, and the runtime that it chooses, on one thread."""
    torch.set_num_threads(1)
    loaded = checkpoint.load(repository / workload.model / "1", torch.device("cpu"))
    limits: Any = {"max_batch_size": max(BATCHES), "graphs": Graphs(None)}
    runtime = choice.choose(loaded, "auto", "float32", 1, **limits).runtime
    input = loaded.card.input

    def decoded() -> Pixels:
        return preprocessing.read(workload.image, input)

    pixels = decoded()
    forward = {}
    for size in BATCHES:
        batch = np.array([pixels] * size)
        forward[size] = _microseconds(lambda batch=batch: runtime(batch)) / size  # type: ignore[misc]

    def single() -> None:
        runtime(np.array([decoded()]))

    return Limit(_microseconds(decoded), forward, _microseconds(single, sleep=_SLEEP))


def _microseconds(work: Callable[[], object], sleep: float = 0) -> float:
    """Return the median microseconds of `work`, repeated for a quarter of a second."""
    work()
    taken: list[float] = []
    until = time.perf_counter() + 0.25
    while time.perf_counter() < until or len(taken) < 3:
        if sleep:
            time.sleep(sleep)
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return 1e6 * median(taken)
