"""A network that takes images of its own size alone → maps of logits, window by window.

It does what the fully convolutional form does, as `Form`, with all the work for each window anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models.features import first


@dataclass(frozen=True)
class Windows:
    """The network on each window of an image, at most `batch_size` at once.

    `multiply_adds_each` are those of one window. A map may have a place at each pixel.
    """

    network: nn.Module = field(repr=False)
    window: tuple[int, int]
    num_classes: int
    multiply_adds_each: int
    batch_size: int

    @property
    def stride(self) -> tuple[int, int]:
        """The image's pixels from place to place, down and across: windows side by side."""
        return self.window

    @torch.inference_mode()
    def __call__(self, images: Tensor, check: Callable[[], None] = lambda: None) -> Tensor:
        """Normalised images (N, C, H, W) to logits (N, num_classes, rows, columns).

        `check` is called before each batch, and may raise to end the work.
        """
        (height, width), (down, across) = self.window, self.stride
        cut = images.unfold(2, height, down).unfold(3, width, across)  # (N, C, rows, columns, …)
        count, rows, columns = len(images), cut.shape[2], cut.shape[3]
        windows = cut.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
        logits = []
        for start in range(0, len(windows), self.batch_size):
            check()
            batch = windows[start : start + self.batch_size].clone()  # it may change it in place
            logits.append(first(self.network(batch)))
        return torch.cat(logits).view(count, rows, columns, -1).permute(0, 3, 1, 2)

    def multiply_adds(self, height: int, width: int) -> int:
        """Of an image of that size; at least one for each pixel of a window."""
        rows, columns = height // self.window[0], width // self.window[1]
        pixels = self.window[0] * self.window[1]
        return rows * columns * max(self.multiply_adds_each, pixels)

    def largest(self, height: int, width: int) -> int:
        """How many values the largest maps have, for an image of that size: the image itself."""
        return 3 * height * width
