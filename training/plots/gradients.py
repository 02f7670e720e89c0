"""Classical image features, from before networks learned them: gradients, edges, corners.

Grey levels are float32 (H, W); beyond the border, the outermost levels are repeated.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_SMOOTHING = 1.0  # standard deviation in pixels
_NEIGHBOURHOOD = 1.5
_LEAST = 4.0  # grey levels per pixel; what is below is noise, or a shade
_STRONG, _WEAK = 0.2, 0.1  # of the largest magnitude
_HARRIS = 0.05
_LEAST_CORNER = 0.02  # of the largest response
_APART = 2  # pixels


@dataclass(frozen=True)
class Gradients:
    """Change in grey levels a pixel, to the right (`across`) and downwards (`down`), (H, W)."""

    across: Tensor
    down: Tensor

    @property
    def magnitude(self) -> Tensor:
        return torch.hypot(self.across, self.down)


def sobel(levels: Tensor) -> Gradients:
    """The derivatives by Sobel's kernels, divided by 8 so that a ramp of 1 a pixel gives 1."""
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    across, down = _convolve(levels, torch.stack([kernel, kernel.T]))
    return Gradients(across, down)


def edges(levels: Tensor) -> Tensor:
    """Canny's edges (1986) as bool (H, W): smoothed, thinned, and followed from strong to weak."""
    gradients = sobel(_smooth(levels, _SMOOTHING))
    magnitude = gradients.magnitude
    ahead, behind = _along(gradients, magnitude)
    ridge = (magnitude >= ahead) & (magnitude > behind) & (magnitude > _LEAST)
    weak = ridge & (magnitude > _WEAK * magnitude.max())
    found = ridge & (magnitude > _STRONG * magnitude.max())
    while True:
        grown = weak & (_highest(found.float(), 1) > 0)
        if torch.equal(grown, found):
            return found
        found = grown


def corners(levels: Tensor) -> Tensor:
    """Corners by Harris and Stephens (1988): (N, 2) rows and columns, the strongest first."""
    gradients = sobel(levels)
    products = (gradients.across**2, gradients.down**2, gradients.across * gradients.down)
    xx, yy, xy = (_smooth(product, _NEIGHBOURHOOD) for product in products)
    response = xx * yy - xy**2 - _HARRIS * (xx + yy) ** 2
    highest = response.max().clamp(min=torch.finfo(response.dtype).eps)
    peaks = (response == _highest(response, _APART)) & (response > _LEAST_CORNER * highest)
    found = peaks.nonzero()
    return found[response[peaks].argsort(descending=True)]


def _along(gradients: Gradients, magnitude: Tensor) -> tuple[Tensor, Tensor]:
    """Return the magnitudes of each pixel's two neighbours along its gradient, forward and back.

    The direction is rounded to the nearest of the eight neighbours.
    """
    turns = torch.atan2(gradients.down, gradients.across) / (torch.pi / 4)
    direction = (turns.round().long() % 4)[None]  # opposite directions are one
    padded = F.pad(magnitude, (1, 1, 1, 1))
    height, width = magnitude.shape

    def shifted(x: int, y: int) -> Tensor:
        return padded[1 + y : 1 + y + height, 1 + x : 1 + x + width]

    ways = ((1, 0), (1, 1), (0, 1), (-1, 1))
    ahead = torch.stack([shifted(x, y) for x, y in ways])  # (4, H, W)
    behind = torch.stack([shifted(-x, -y) for x, y in ways])
    return ahead.gather(0, direction)[0], behind.gather(0, direction)[0]


def _smooth(levels: Tensor, deviation: float) -> Tensor:
    """Smooth with a Gaussian that is cut off at three standard deviations."""
    reach = round(3 * deviation)
    weights = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * deviation**2))
    weights /= weights.sum()
    return _convolve(levels, torch.outer(weights, weights)[None])[0]


def _highest(values: Tensor, reach: int) -> Tensor:
    """For each pixel, the maximum within `reach` pixels."""
    return F.max_pool2d(values[None], 2 * reach + 1, stride=1, padding=reach)[0]


def _convolve(levels: Tensor, kernels: Tensor) -> Tensor:
    """Cross-correlate levels (H, W) with kernels (N, k, k); returns (N, H, W)."""
    border = kernels.shape[-1] // 2
    padded = F.pad(levels[None, None], (border,) * 4, mode="replicate")
    return F.conv2d(padded, kernels[:, None])[0]
