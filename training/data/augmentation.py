"""Random views of a batch, computed for all its pictures at once on their device.

The idea of batched flips and reflected crops is that of cifar10-airbench (Jordan 2024).
"""

import math
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
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


def turn(batch: Tensor, rotation: float, scaling: float, generator: torch.Generator) -> Tensor:
    """Turn and scale each picture of the float batch (N, C, H, W) about its centre, at random.

    The angle is at most `rotation` degrees either way, and the factor lies in 1 - scaling to
    1 + scaling. What comes from outside of the picture repeats its border.
    """
    count, _, height, width = batch.shape
    random = 2 * torch.rand(2, count, generator=generator) - 1
    angle, factor = math.radians(rotation) * random[0], 1 + scaling * random[1]
    cosine, sine = angle.cos() / factor, angle.sin() / factor
    across, zero = width / height, torch.zeros(count)
    matrix = torch.stack(  # (N, 2, 3): a place in the view → the place in the picture, in [-1, 1]
        [
            torch.stack([cosine, -sine / across, zero], 1),
            torch.stack([sine * across, cosine, zero], 1),
        ],
        1,
    )
    grid = F.affine_grid(matrix.to(batch.device), list(batch.shape), align_corners=False)
    return F.grid_sample(batch, grid, padding_mode="border", align_corners=False)


_EVEN = 0.9  # part of the outermost pixels that are near their median where the ground is even
_NEAR = 40  # levels of 255
_LIGHT = 240  # levels of a white ground, and above


def ground(batch: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Replace the background of some pictures (N, C, H, W), uint8, by a random colour for each.

    A picture is chosen with the given probability, and left alone if its border has more than one
    colour. Its background are all pixels near the border's median colour. The new colour is nearly
    white in half of the cases, grey in a quarter, any colour in a quarter.
    """
    count, channels = batch.shape[:2]
    chosen, kind = torch.rand(2, count, generator=generator)
    colour = torch.randint(256, (count, channels), generator=generator)
    light = torch.randint(_LIGHT, 256, (count, 1), generator=generator)
    kind = kind.unsqueeze(1)
    colour = torch.where(kind < 0.5, light, torch.where(kind < 0.75, colour[:, :1], colour))
    levels = batch.short()
    edges = torch.cat(
        [levels[:, :, 0], levels[:, :, -1], levels[:, :, :, 0], levels[:, :, :, -1]], 2
    )  # (N, C, 2 H + 2 W)
    middle = edges.median(2, keepdim=True).values  # (N, C, 1)
    is_near = ((edges - middle).abs() <= _NEAR).all(1)
    even = is_near.float().mean(1) >= _EVEN
    is_ground = ((levels - middle.unsqueeze(3)).abs() <= _NEAR).all(1, keepdim=True)
    where = is_ground & (even & (chosen < probability).to(batch.device)).view(-1, 1, 1, 1)
    painted = colour.to(batch.device, torch.uint8).view(count, channels, 1, 1)
    return torch.where(where, painted, batch)


_QUALITY = (5, 50)  # of 100, of a JPEG
_ENLARGED = 4  # times at most, before it is saved


def compress(batch: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Compress pictures (N, C, H, W), uint8, as JPEG of low quality, each with this probability.

    A chosen picture is enlarged 1 to 4 times before, and scaled back afterwards. It then looks like
    a larger picture that was compressed and made smaller.
    """
    count = len(batch)
    chosen = torch.rand(count, generator=generator) < probability
    quality = torch.randint(*_QUALITY, (count,), generator=generator).tolist()
    times = torch.randint(1, _ENLARGED + 1, (count,), generator=generator).tolist()
    changed = batch.cpu().clone()
    for index in chosen.nonzero().flatten().tolist():
        changed[index] = _compressed(changed[index], times[index], quality[index])
    return changed.to(batch.device)


def _compressed(picture: Tensor, times: int, quality: int) -> Tensor:
    channels, height, width = picture.shape
    levels = picture.permute(1, 2, 0).squeeze(2).numpy()  # (H, W), or (H, W, 3)
    file = BytesIO()
    large = Image.fromarray(levels).resize((times * width, times * height))
    large.save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        small = np.array(image.resize((width, height), Image.Resampling.BILINEAR))
    return torch.from_numpy(small).view(height, width, channels).permute(2, 0, 1)


_ERASED_AREA = (0.02, 0.4)  # fractions of the picture, as in random erasing
_ERASED_ASPECT = 0.3  # height to width is in 0.3 to 1 / 0.3


def erase(batch: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Fill a random rectangle of normalised pictures (N, C, H, W) with noise.

    A picture is chosen with the given probability. The noise is normal, with mean 0 and deviation 1
    (Zhong et al. 2020, Random Erasing Data Augmentation).
    """
    count, _, height, width = batch.shape
    chosen, area, aspect, top, left = torch.rand(5, count, generator=generator)
    low, high = _ERASED_AREA
    area = (low + (high - low) * area) * height * width
    aspect = torch.exp((2 * aspect - 1) * math.log(1 / _ERASED_ASPECT))
    high_side = (area * aspect).sqrt().clamp(1, height)
    wide_side = (area / aspect).sqrt().clamp(1, width)
    rows = _inside(top * (height - high_side), high_side, height)  # (N, H)
    columns = _inside(left * (width - wide_side), wide_side, width)  # (N, W)
    where = rows.unsqueeze(2) & columns.unsqueeze(1) & (chosen < probability).view(-1, 1, 1)
    noise = torch.randn(batch.shape, generator=generator).to(batch.device)
    return torch.where(where.unsqueeze(1).to(batch.device), noise, batch)


def _inside(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Return a mask bool (N, size): which of `size` positions lie in each of N intervals.

    `start` (N,) and `length` (N,) are rounded.
    """
    places = torch.arange(size)
    begin = start.round().unsqueeze(1)
    return (places >= begin) & (places < begin + length.round().unsqueeze(1))
