"""A network that takes images of its own size alone → maps of logits, window by window.

It does what the fully convolutional form does, as `Form`, with all the work for each window anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models.features import first

_CALL = 2 * 10**7  # multiply-adds that take as long as a call of a network that computes nothing


@dataclass(frozen=True)
class Windows:
    """The network on each window of an image, `batch_size` at once.

    `multiply_adds_each` are those of one window. `is_fixed` says that the network computes a whole
    batch whatever it gets. A map may have a place at each pixel.
    """

    network: nn.Module = field(repr=False)
    window: tuple[int, int]
    num_classes: int
    multiply_adds_each: int
    batch_size: int
    is_fixed: bool = False

    @property
    def stride(self) -> tuple[int, int]:
        """The largest step between two places, in pixels down and across: side by side."""
        return self.window

    @torch.inference_mode()
    def slide(
        self, image: Tensor, step: tuple[int, int], check: Callable[[], None] = lambda: None
    ) -> Tensor:
        """A normalised image (1, C, H, W) to logits (num_classes, rows, columns).

        Windows begin `step` pixels behind each other. `check` is called before each batch, and may
        raise to end the work.
        """
        (height, width), (down, across) = self.window, step
        windows = image[0].unfold(1, height, down).unfold(2, width, across)
        windows = windows.permute(1, 2, 0, 3, 4)  # (rows, columns, C, height, width), a view
        rows, columns = windows.shape[:2]
        logits = []
        for start in range(0, rows * columns, self.batch_size):
            check()
            at = torch.arange(start, min(start + self.batch_size, rows * columns))
            logits.append(first(self.network(windows[at // columns, at % columns])))
        return torch.cat(logits).T.reshape(-1, rows, columns)

    def multiply_adds(self, height: int, width: int, step: tuple[int, int] | None = None) -> int:
        """Of an image of that size, and what calls cost; by default with windows side by side."""
        rows, columns = (
            (side - own) // apart + 1
            for side, own, apart in zip(
                (height, width), self.window, step or self.stride, strict=True
            )
        )
        windows = rows * columns
        calls = -(-windows // self.batch_size)
        computed = calls * self.batch_size if self.is_fixed else windows
        return calls * _CALL + computed * self.multiply_adds_each

    def largest(self, height: int, width: int) -> int:
        """How many values the largest maps have, for an image of that size: the image itself."""
        return 3 * height * width
