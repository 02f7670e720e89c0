"""A program of torch.export: network and weights in one file, which needs torch alone."""

import io
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import Checkpoint
from models.graphs import exchange
from training.exporting.format import FORMATS, ExportFormat, Options, probabilities


def write(loaded: Checkpoint, options: Options) -> bytes:
    """Return a program of torch.export: normalised images float32 (N, C, H, W) → logits.

    Labels and input are its extra files.
    """
    batch = torch.zeros(2, *loaded.card.input.shape)
    program = torch.export.export(
        loaded.network, (batch,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    )
    content = io.BytesIO()
    entries: dict[str, Any] = dict(exchange.entries(loaded.card, preprocessing=False))
    torch.export.save(program, content, extra_files=entries)
    return content.getvalue()


def read(content: bytes, loaded: Checkpoint, options: Options) -> Callable[[Tensor], Tensor]:
    network = torch.export.load(io.BytesIO(content)).module()
    return lambda pixels: probabilities(network(loaded.card.input.normalize(pixels)))


FORMATS.register(
    ExportFormat(
        name="torch-export",
        description="A program of torch.export, which torch runs without the code of the network.",
        suffix=".pt2",
        write=write,
        open=read,
    )
)
