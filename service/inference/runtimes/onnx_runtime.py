"""ONNX Runtime on the CPU: a graph that is exported from the verified network.

It gives the same probabilities as torch in a half to a sixth of the time. A graph that an earlier
start has exported is tried first.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from models.graphs.session import session
from models.permission import is_reference
from service.inference.runtimes.registry import Attempt, RuntimeEntry, Setup, register

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.checkpoint import Checkpoint
    from models.graphs.network import OnnxNetwork
    from models.preprocessing import InputSpec, Pixels

NAME = "onnx"


class Onnx:
    """A session of ONNX Runtime on the CPU, for the network with normalisation and softmax."""

    name = NAME
    independent = True

    def __init__(self, graph: bytes | Path, threads: int) -> None:
        self._session = session(graph, threads)

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32]
        [probabilities] = self._session.run(None, {"pixels": batch})
        return probabilities


class FixedBatches(Onnx):
    """The same for a graph that takes so many images at a time: the rest of a batch is filled."""

    def __init__(self, graph: bytes, threads: int, size: int) -> None:
        super().__init__(graph, threads)
        self._size = size

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        import numpy as np

        rest = np.zeros((-len(batch) % self._size, *batch.shape[1:]), np.uint8)
        whole = np.concatenate([batch, rest])
        parts = [super(FixedBatches, self).__call__(part) for part in self._split(whole)]
        return np.concatenate(parts)[: len(batch)]

    def _split(self, batch: Pixels) -> list[Pixels]:
        return [batch[at : at + self._size] for at in range(0, len(batch), self._size)]


def imported(network: OnnxNetwork, input: InputSpec, threads: int) -> Onnx:
    """The runtime of a graph that was imported, with normalisation and softmax put around it."""
    from models.graphs import editing, parsing

    graph = parsing.serialized(editing.whole(network.model, input))
    if network.batch_size is None:
        return Onnx(graph, threads)
    return FixedBatches(graph, threads, network.batch_size)


def export(checkpoint: Checkpoint) -> bytes:
    """The network as an ONNX graph for batches of any size: uint8 pixels to probabilities."""
    import torch
    from torch import Tensor, nn

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = checkpoint.network

        def forward(self, pixels: Tensor) -> Tensor:
            logits: Tensor = self.network(checkpoint.card.input.normalize(pixels))
            return logits.softmax(1)

    batch = torch.zeros((2, *checkpoint.card.input.shape), dtype=torch.uint8)
    graph = io.BytesIO()
    # where values decide what is computed, a graph has one way only: unknown code may do that
    is_own = is_reference(checkpoint.card.architecture)
    tracer_warning = torch.jit._trace.TracerWarning
    quietly = warnings.catch_warnings(record=is_own)
    with quietly as seen, torch.inference_mode(False), torch.no_grad():
        # the exporter that is to replace this one takes seconds a network instead of milliseconds
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("always" if is_own else "ignore", category=tracer_warning)
        torch.onnx.export(
            Whole().eval(),
            (batch,),
            graph,  # type: ignore[arg-type] # the old exporter writes to files of any kind
            dynamo=False,
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_axes={"pixels": {0: "n"}, "probabilities": {0: "n"}},
        )
    if found := [str(each.message) for each in seen or () if each.category is tracer_warning]:
        raise RuntimeError(f"what it computes may depend on values ({found[0].partition('. ')[0]})")
    return graph.getvalue()


def _attempts(setup: Setup) -> Iterator[Attempt]:
    """With a kept graph, if there is one; then with a new one, which is kept if it is accepted."""
    from models.graphs.network import OnnxNetwork

    card, threads, network = setup.checkpoint.card, setup.threads, setup.checkpoint.network
    if isinstance(network, OnnxNetwork):
        yield Attempt(lambda: imported(network, card.input, threads))
        return
    kept = setup.graphs.find(card)
    if kept is not None:
        yield Attempt(lambda: Onnx(kept, threads))
    exported: list[bytes] = []

    def make() -> Onnx:
        exported.append(export(setup.checkpoint))
        return Onnx(exported[0], threads)

    yield Attempt(make, accepted=lambda: setup.graphs.write(card, exported[0]))


def _unavailable() -> str | None:
    missing = [package for package in ("onnx", "onnxruntime") if find_spec(package) is None]
    return f"install {' and '.join(missing)}" if missing else None


register(
    RuntimeEntry(
        name=NAME,
        title="ONNX Runtime",
        description="ONNX Runtime, two to six times as quick as torch on a CPU.",
        product="ONNX graph",
        devices=("cpu",),
        precisions=("float32",),
        rank=1,
        attempts=_attempts,
        unavailable=_unavailable,
    )
)
