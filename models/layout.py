"""The memory layout of a network: channels_last where it can, in which convolutions are quicker.

`x.view(len(x), -1)`, which many networks have after their convolutions, fails on maps that are laid
out so. Such a network stays contiguous.
"""

import torch
from torch import nn

from models.preprocessing import InputSpec


def channels_last(network: nn.Module, input: InputSpec) -> torch.memory_format:
    """Lay out the network's weights as channels_last if it can run so; return its memory format.

    Batches must have that format, too. The network must be in evaluation mode, on its device.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    _lay_out(network, torch.channels_last)
    batch = torch.zeros(2, *input.shape, device=device)
    try:
        with torch.inference_mode():
            network(batch.contiguous(memory_format=torch.channels_last))
    except torch.OutOfMemoryError:
        raise
    except Exception:  # networks raise of many kinds; `models.checkpoint.trial` tells which
        _lay_out(network, torch.contiguous_format)
        return torch.contiguous_format
    return torch.channels_last


def _lay_out(network: nn.Module, format: torch.memory_format) -> None:
    """Change the layout of tensors with four axes; `Module.to` would fail on one with five."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=format)
