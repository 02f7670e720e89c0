"""What runs a network for predictions: uint8 batch → probabilities, as quickly as is right.

torch, eager, is the reference: it runs on any device, and alone gives activations and gradients. On
a CPU ONNX Runtime gives the same probabilities in a half to a sixth of the time; its graph is
exported from the verified network. On a GPU the network is captured as CUDA graphs. Either is only
taken if it answers as torch does.
"""

import io
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoint import Checkpoint
from models.preprocessing import InputSpec, Pixels
from service.captured import Captured, sizes
from service.graphs import Graphs

Choice = Literal["auto", "torch", "onnx"]
# that probabilities may differ by from those of eager torch; half precision rounds that much
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}
_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Runtime(Protocol):
    """Takes a uint8 batch (N, C, H, W), gives float32 probabilities (N, num_classes).

    One that is `independent` may run in any thread, and beside the network itself.
    """

    @property
    def name(self) -> str: ...

    @property
    def independent(self) -> bool: ...

    def __call__(self, batch: Pixels) -> NDArray[np.float32]: ...


class Torch:
    """The network itself; `precision` other than float32 runs it under autocast."""

    name = "torch"
    independent = False

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        self._checkpoint, self._autocast = checkpoint, _PRECISIONS[precision]
        self.input = checkpoint.card.input
        self._format = torch.contiguous_format
        if checkpoint.device.type == "cuda":  # what tensor cores want; no GPU has run this yet
            self._format = torch.channels_last
            checkpoint.network.to(memory_format=self._format)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        device = self._checkpoint.device
        pixels = torch.from_numpy(batch)
        if device.type == "cuda":
            pixels = pixels.pin_memory()  # a quarter of what it is as float32
        probabilities: NDArray[np.float32]
        probabilities = self.forward(pixels.to(device, non_blocking=True)).cpu().numpy()
        return probabilities

    def forward(self, pixels: Tensor) -> Tensor:
        """The same on the device, which need not be waited for."""
        half = self._autocast is not None
        normalized = self.input.normalize(pixels).contiguous(memory_format=self._format)
        # casts of the weights are not kept: what captures them would keep their memory
        with torch.autocast(pixels.device.type, self._autocast, enabled=half, cache_enabled=False):
            logits: Tensor = self._checkpoint.network(normalized)
        return logits.float().softmax(1)


class Onnx:
    """A session of ONNX Runtime on the CPU, for the network with normalisation and softmax."""

    name = "onnx"
    independent = True

    def __init__(self, graph: bytes | Path, threads: int) -> None:
        # its official builds report to their makers unless told not to, before they are imported
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime  # seconds are saved where it isn't wanted

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # it plans a block of memory for each size of batch
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph),  # a file is not held in memory twice
            options,
            providers=["CPUExecutionProvider"],
        )

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32]
        [probabilities] = self._session.run(None, {"pixels": batch})
        return probabilities


@dataclass(frozen=True)
class Chosen:
    """The runtime of a version, and why it is not the one that was wanted, if so.

    `eager` is the network itself, which activations come from; it is the runtime if no other is.
    """

    eager: "Torch"
    quick: Runtime | None = None
    fallback: str | None = None

    @property
    def runtime(self) -> Runtime:
        return self.quick or self.eager


def choose(
    checkpoint: Checkpoint,
    wanted: Choice,
    precision: str,
    threads: int,
    *,
    max_batch_size: int,
    graphs: Graphs,
) -> Chosen:
    """The quickest that answers as eager torch does, unless torch or ONNX Runtime is wanted."""
    eager = Torch(checkpoint, precision)
    if wanted == "torch":
        return Chosen(eager)
    on_cpu = checkpoint.device.type == "cpu"
    if on_cpu and precision == "float32":
        return _onnx(checkpoint, eager, threads, graphs)
    if wanted == "onnx":
        return Chosen(eager, fallback="ONNX Runtime is for float32 on the CPU")
    if on_cpu:
        return Chosen(eager)

    def captured() -> Runtime:
        shape = checkpoint.card.input.shape
        return Captured(eager.forward, shape, checkpoint.device, counts[-1])

    counts = sizes(max(max_batch_size, 4))
    return _tried(captured, "CUDA graph", eager, precision, (*counts, 3))


def _onnx(checkpoint: Checkpoint, eager: Torch, threads: int, graphs: Graphs) -> Chosen:
    """With a graph that is known from an earlier start, unless it is of no use any more."""
    known = graphs.find(checkpoint.card)
    if known is not None:
        chosen = _tried(lambda: Onnx(known, threads), "ONNX graph", eager, "float32")
        if chosen.fallback is None:
            return chosen
    try:
        graph = export(checkpoint)
    except Exception as error:  # it raises whatever it meets
        return Chosen(eager, fallback=_failed("ONNX graph", error))
    chosen = _tried(lambda: Onnx(graph, threads), "ONNX graph", eager, "float32")
    if chosen.fallback is None:
        graphs.write(checkpoint.card, graph)
    return chosen


def _tried(
    make: Callable[[], Runtime],
    what: str,
    eager: Torch,
    precision: str,
    counts: Sequence[int] = (8, 1, 3),
) -> Chosen:
    """What is made, if it can be and answers as eager torch does, for batches of these counts."""
    try:
        quick = make()
        difference = _difference(eager, quick, eager.input, counts)
    except Exception as error:  # runtimes raise whatever they meet, too
        return Chosen(eager, fallback=_failed(what, error))
    if not difference <= TOLERANCE[precision]:  # nor if it is not a number
        return Chosen(eager, fallback=f"the {what} answers otherwise, by {difference:.2g}")
    return Chosen(eager, quick)


def _failed(what: str, error: Exception) -> str:
    return f"no {what}: {' '.join(str(error).split())[:500]}"


class _Whole(nn.Module):
    """From uint8 pixels to probabilities."""

    def __init__(self, network: nn.Module, input: InputSpec) -> None:
        super().__init__()
        self.network, self.input = network, input

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(self.input.normalize(pixels))
        return logits.softmax(1)


def export(checkpoint: Checkpoint) -> bytes:
    """The network as an ONNX graph for batches of any size."""
    whole = _Whole(checkpoint.network, checkpoint.card.input).eval()
    batch = torch.zeros((2, *checkpoint.card.input.shape), dtype=torch.uint8)
    graph = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # the exporter that is to replace this one takes seconds a network instead of milliseconds
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
        torch.onnx.export(
            whole,
            (batch,),
            graph,  # type: ignore[arg-type] # the old exporter writes to files of any kind
            dynamo=False,
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_axes={"pixels": {0: "n"}, "probabilities": {0: "n"}},
        )
    return graph.getvalue()


def _difference(one: Runtime, other: Runtime, input: InputSpec, counts: Sequence[int]) -> float:
    """The largest of any probability, for flat pictures and noise, in batches of the counts."""
    noise = np.random.default_rng(0)
    pictures = noise.integers(0, 256, (max(counts), *input.shape), dtype=np.uint8)
    pictures[-1], pictures[-2] = 0, 255
    parts = [pictures[-count:] for count in counts]
    return float(np.max([np.abs(one(part) - other(part)).max() for part in parts]))
