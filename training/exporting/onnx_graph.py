"""ONNX: a graph for ONNX Runtime and others, on request with the preprocessing inside."""

import io
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from models.checkpoint import Checkpoint
from models.graphs import editing, exchange, parsing
from models.graphs.errors import needed
from models.graphs.network import OnnxNetwork
from models.graphs.session import session
from training.exporting.format import FORMATS, ExportFormat, Options, probabilities

INPUT, OUTPUT = "image", "logits"


def write(loaded: Checkpoint, options: Options) -> bytes:
    """Return the bytes of the graph: `image` float32 (n, C, H, W) → `logits`.

    With preprocessing inside, it is uint8 `pixels` → `probabilities`.
    """
    onnx = needed("onnx")
    if isinstance(loaded.network, OnnxNetwork):
        model = onnx.ModelProto()
        model.CopyFrom(loaded.network.model)
    else:
        model = onnx.ModelProto.FromString(_traced(loaded))
    if options.preprocessing:
        model = editing.whole(model, loaded.card.input, options.layout)
    editing.describe(model, exchange.entries(loaded.card, preprocessing=options.preprocessing))
    onnx.checker.check_model(model)
    return parsing.serialized(model)


def _traced(loaded: Checkpoint) -> bytes:
    graph = io.BytesIO()
    with warnings.catch_warnings():
        # the exporter that is to replace this one needs another package, and seconds a network
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
        torch.onnx.export(
            loaded.network,
            (torch.zeros(2, *loaded.card.input.shape),),
            graph,  # type: ignore[arg-type] # the old exporter writes to files of any kind
            dynamo=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: editing.BATCH}, OUTPUT: {0: editing.BATCH}},
        )
    return graph.getvalue()


def read(content: bytes, loaded: Checkpoint, options: Options) -> Callable[[Tensor], Tensor]:
    running = session(content, 1)
    [given] = running.get_inputs()
    size = given.shape[0] if isinstance(given.shape[0], int) else None

    def ask(batch: Tensor) -> Tensor:
        [answer] = running.run(None, {given.name: batch.contiguous().numpy()})
        return torch.from_numpy(answer)

    def run(pixels: Tensor) -> Tensor:
        if options.preprocessing:
            batch = pixels if options.layout == "nchw" else pixels.permute(0, 2, 3, 1)
        else:
            batch = loaded.card.input.normalize(pixels)
        if size is None:
            answers = ask(batch)
        else:  # a graph that was imported with a batch of this size
            rest = batch.new_zeros(-len(batch) % size, *batch.shape[1:])
            parts = torch.cat([batch, rest]).split(size)
            answers = torch.cat([ask(part) for part in parts])[: len(batch)]
        return answers if options.preprocessing else probabilities(answers)

    return run


FORMATS.register(
    ExportFormat(
        name="onnx",
        description="A graph for ONNX Runtime and others.",
        suffix=".onnx",
        write=write,
        open=read,
        preprocessing=True,
        graphs=True,
    )
)
