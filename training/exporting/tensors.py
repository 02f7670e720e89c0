"""The weights alone, as safetensors or as a state_dict of torch.save."""

import io
from collections.abc import Callable

import safetensors.torch
import torch
from torch import Tensor

from models import checkpoint
from models.checkpoint import Checkpoint
from models.graphs import exchange
from training.exporting.format import FORMATS, ExportFormat, Options, probabilities, rebuilt


def write_safetensors(loaded: Checkpoint, options: Options) -> bytes:
    """Return a safetensors file: each tensor by its name, with labels and input in the metadata."""
    entries = exchange.entries(loaded.card, preprocessing=False)
    entries["fanlight.architecture"] = loaded.card.architecture
    # of tensors that share their memory, each is written
    tensors = {name: value.contiguous().clone() for name, value in _weights(loaded).items()}
    content: bytes = safetensors.torch.save(tensors, metadata=entries)
    return content


def read_safetensors(
    content: bytes, loaded: Checkpoint, options: Options
) -> Callable[[Tensor], Tensor]:
    return _run(loaded, safetensors.torch.load(content))


def write_state_dict(loaded: Checkpoint, options: Options) -> bytes:
    """Return the state_dict as `torch.save` writes it, to read by torch.load(…,
    weights_only=True)."""
    content = io.BytesIO()
    torch.save(_weights(loaded), content)
    return content.getvalue()


def read_state_dict(
    content: bytes, loaded: Checkpoint, options: Options
) -> Callable[[Tensor], Tensor]:
    return _run(loaded, checkpoint.read_state_dict(io.BytesIO(content), torch.device("cpu")))


def _weights(loaded: Checkpoint) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in loaded.network.state_dict().items()}


def _run(loaded: Checkpoint, state_dict: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    network = rebuilt(loaded, state_dict)
    return lambda pixels: probabilities(network(loaded.card.input.normalize(pixels)))


FORMATS.register(
    ExportFormat(
        name="safetensors",
        description="The weights alone, in a file that holds nothing but tensors.",
        suffix=".safetensors",
        write=write_safetensors,
        open=read_safetensors,
    )
)
FORMATS.register(
    ExportFormat(
        name="state_dict",
        description="The weights alone, as torch.save writes them.",
        suffix=".pt",
        write=write_state_dict,
        open=read_state_dict,
    )
)
