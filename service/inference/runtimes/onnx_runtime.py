"""ONNX Runtime on the CPU: a graph that is exported from the verified network.

It gives the same answers as torch in a half to a sixth of the time. A graph that an earlier
start has exported is tried first.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from models.graphs.session import give_back, session
from models.permission import is_reference
from service.inference.runtimes.registry import Attempt, RuntimeEntry, Setup, register

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from models.checkpoint import Checkpoint
    from models.graphs.network import OnnxNetwork
    from models.preprocessing import Pixels

NAME = "onnx"
BEHIND = ("logits", "embedding")  # what an imported graph gives


class Onnx:
    """A session of ONNX Runtime on the CPU: uint8 pixels → network → columns."""

    name = NAME
    independent = True

    def __init__(self, graph: bytes | Path, threads: int) -> None:
        self._session = session(graph, threads)

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        columns: NDArray[np.float32]
        [columns] = self._session.run(None, {"pixels": batch})
        return columns

    def settle(self) -> None:
        """Shrink what the session keeps: half a gigabyte after 64 images of an EfficientNet."""
        give_back(self._session)


class Imported:
    """Two sessions: one for an imported graph with preprocessing, one from its outputs to columns.

    If the graph has a fixed batch size, the last batch is filled up with zeros.
    """

    name = NAME
    independent = True

    def __init__(self, checkpoint: Checkpoint, network: OnnxNetwork, threads: int) -> None:
        from models.graphs import editing, parsing
        from service.inference import outputs

        layer = outputs.embedding_layer(checkpoint)
        tensors = [] if layer is None else [network.tensor(layer)]
        graph, self._given = editing.prepared(network.model, checkpoint.card.input, tensors)
        self._session = session(parsing.serialized(graph), threads)
        self._behind = session(behind(checkpoint), threads)
        self._taken = [each.name for each in self._behind.get_inputs()]
        self._size = network.batch_size

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        found = dict(zip(BEHIND, self._run(batch), strict=False))
        columns: NDArray[np.float32]
        [columns] = self._behind.run(None, {name: found[name] for name in self._taken})
        return columns

    def settle(self) -> None:
        """Free memory that both sessions keep."""
        give_back(self._session)
        give_back(self._behind)

    def _run(self, batch: Pixels) -> list[NDArray[np.float32]]:
        """Run the imported graph: logits (N, K), and the embedding (N, D) if it is needed."""
        import numpy as np

        size = self._size
        if size is None:
            return list(self._session.run(self._given, {"pixels": batch}))
        rest = np.zeros((-len(batch) % size, *batch.shape[1:]), np.uint8)
        whole = np.concatenate([batch, rest])
        parts = [
            self._session.run(self._given, {"pixels": whole[at : at + size]})
            for at in range(0, len(whole), size)
        ]
        return [np.concatenate(each)[: len(batch)] for each in zip(*parts, strict=True)]


def export(checkpoint: Checkpoint) -> bytes:
    """Export the network as an ONNX graph for batches of any size: uint8 pixels to columns.

    Raises `RuntimeError` for the user's own code if what it computes may depend on values.
    """
    import torch
    from torch import nn

    from service.inference import outputs

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = checkpoint.network

        def forward(self, pixels: Tensor) -> Tensor:
            batch = checkpoint.card.input.normalize(pixels)
            return outputs.joined(checkpoint, *outputs.logits_and_embedding(checkpoint, batch))

    batch = torch.zeros((2, *checkpoint.card.input.shape), dtype=torch.uint8)
    # where values decide what is computed, a graph has one way only: unknown code may do that
    is_own = is_reference(checkpoint.card.architecture)
    return _exported(Whole(), {"pixels": batch}, strict=is_own)


def behind(checkpoint: Checkpoint) -> bytes:
    """Export the ONNX graph that runs after an imported one: its outputs `BEHIND` → columns."""
    import torch
    from torch import nn

    from models import features
    from service.inference import outputs

    class Behind(nn.Module):
        def forward(self, logits: Tensor, embedding: Tensor | None = None) -> Tensor:
            return outputs.joined(checkpoint, logits, embedding)

    widths = [len(checkpoint.card.labels)]
    if (layer := outputs.embedding_layer(checkpoint)) is not None:
        widths.append(math.prod(features.shapes(checkpoint.layers)[layer]))
    return _exported(
        Behind(), {name: torch.zeros(2, width) for name, width in zip(BEHIND, widths, strict=False)}
    )


def _exported(module: nn.Module, inputs: Mapping[str, Tensor], *, strict: bool = False) -> bytes:
    """Export the module as an ONNX graph, for batches of any size, from these inputs to columns.

    With `strict`, raises `RuntimeError` if what is computed may depend on values.
    """
    import torch

    graph = io.BytesIO()
    tracer_warning = torch.jit._trace.TracerWarning
    quietly = warnings.catch_warnings(record=strict)
    with quietly as seen, torch.inference_mode(False), torch.no_grad():
        # the exporter that is to replace this one takes seconds a network instead of milliseconds
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("always" if strict else "ignore", category=tracer_warning)
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            graph,  # type: ignore[arg-type] # the old exporter writes to files of any kind
            dynamo=False,
            input_names=list(inputs),
            output_names=["columns"],
            dynamic_axes={name: {0: "n"} for name in (*inputs, "columns")},
        )
    if found := [str(each.message) for each in seen or () if each.category is tracer_warning]:
        raise RuntimeError(f"what it computes may depend on values ({found[0].partition('. ')[0]})")
    return graph.getvalue()


def _attempts(setup: Setup) -> Iterator[Attempt]:
    """Yield the kept graph first, if there is one, then a new export.

    A new export is kept if it is accepted. For an imported graph there is one attempt.
    """
    from models.graphs.network import OnnxNetwork

    card, threads, network = setup.checkpoint.card, setup.threads, setup.checkpoint.network
    if isinstance(network, OnnxNetwork):
        yield Attempt(lambda: Imported(setup.checkpoint, network, threads))
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
