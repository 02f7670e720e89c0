"""What runs a network for predictions: uint8 batch → probabilities, as quickly as is right.

torch, eager, is the reference: it runs on any device, and alone gives activations and gradients. On
a CPU ONNX Runtime gives the same probabilities in a half to a sixth of the time. The graph is
exported from the verified network when it is loaded, and only taken if it answers as torch does.
"""

import io
import warnings
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoint import Checkpoint
from models.preprocessing import InputSpec, Pixels

Choice = Literal["auto", "torch", "onnx"]
TOLERANCE = 1e-4  # that probabilities may differ by from those of eager torch
_COMPARED = 8  # pictures
_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Runtime(Protocol):
    """Takes a uint8 batch (N, C, H, W), gives float32 probabilities (N, num_classes)."""

    @property
    def name(self) -> str: ...

    def __call__(self, batch: Pixels) -> NDArray[np.float32]: ...


class Torch:
    """The network itself; `precision` other than float32 runs it under autocast."""

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        self._checkpoint, self._autocast = checkpoint, _PRECISIONS[precision]
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
        normalized = self._checkpoint.card.input.normalize(pixels.to(device, non_blocking=True))
        normalized = normalized.contiguous(memory_format=self._format)
        with torch.autocast(device.type, self._autocast, enabled=self._autocast is not None):
            logits: Tensor = self._checkpoint.network(normalized)
        probabilities: NDArray[np.float32] = logits.float().softmax(1).cpu().numpy()
        return probabilities


class Onnx:
    """A session of ONNX Runtime on the CPU, for the network with normalisation and softmax."""

    name = "onnx"

    def __init__(self, graph: bytes, threads: int) -> None:
        import onnxruntime  # seconds are saved where it isn't wanted

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32]
        [probabilities] = self._session.run(None, {"pixels": batch})
        return probabilities


@dataclass(frozen=True)
class Chosen:
    """The runtime of a version, and why it is not the one that was wanted, if so."""

    runtime: Runtime
    fallback: str | None = None


def choose(checkpoint: Checkpoint, wanted: Choice, precision: str, threads: int) -> Chosen:
    """ONNX Runtime on a CPU in float32, if it answers as eager torch does; else torch."""
    eager = Torch(checkpoint, precision)
    if wanted == "torch" or (wanted == "auto" and not _suits(checkpoint, precision)):
        return Chosen(eager)
    if not _suits(checkpoint, precision):
        return Chosen(eager, "ONNX Runtime is for float32 on the CPU")
    try:
        quick = Onnx(export(checkpoint), threads)
        difference = _difference(eager, quick, checkpoint.card.input)
    except Exception as error:  # exporter and runtime raise whatever they meet
        return Chosen(eager, f"no ONNX graph: {' '.join(str(error).split())[:500]}")
    if not difference <= TOLERANCE:  # nor if it is not a number
        return Chosen(eager, f"the ONNX graph answers otherwise, by {difference:.2g}")
    return Chosen(quick)


def _suits(checkpoint: Checkpoint, precision: str) -> bool:
    return checkpoint.device.type == "cpu" and precision == "float32"


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


def _difference(one: Runtime, other: Runtime, input: InputSpec) -> float:
    """The largest of any probability, for seeded noise and flat pictures, batched and alone."""
    noise = np.random.default_rng(0)
    pictures = noise.integers(0, 256, (_COMPARED, *input.shape), dtype=np.uint8)
    pictures[0], pictures[1] = 0, 255
    parts = (pictures, pictures[:1], pictures[3:6])
    return float(np.max([np.abs(one(part) - other(part)).max() for part in parts]))
