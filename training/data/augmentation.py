"""Random views of a batch, computed for all its pictures at once on their device.

The idea of batched flips and reflected crops is that of cifar10-airbench (Jordan 2024).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.errors import OptionError


def flip(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each picture of (N, C, H, W) left to right with probability 1/2."""
    mirrored = torch.rand(len(batch), generator=generator) < 0.5
    return torch.where(mirrored.to(batch.device).view(-1, 1, 1, 1), batch.flip(-1), batch)


def crop(batch: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pad each picture of (N, C, H, W) by reflection and crop it back at a random place.

    `padding` is in pixels; raises `OptionError` unless it is smaller than height and width.
    """
    count, _, height, width = batch.shape
    if padding >= min(height, width):
        raise OptionError(
            f"{height} × {width} pixels can't be padded by {padding} reflected ones: "
            "lower crop_padding"
        )
    padded = F.pad(batch, (padding,) * 4, mode="reflect")
    offsets = torch.randint(2 * padding + 1, (2, count, 1), generator=generator).to(batch.device)
    rows = offsets[0] + torch.arange(height, device=batch.device)  # (N, H)
    columns = offsets[1] + torch.arange(width, device=batch.device)  # (N, W)
    pictures = torch.arange(count, device=batch.device).view(-1, 1, 1)
    views = padded[pictures, :, rows.unsqueeze(2), columns.unsqueeze(1)]  # (N, H, W, C)
    return views.permute(0, 3, 1, 2)
