"""A class map without a fully convolutional form: the network runs on each window by itself.

A window is a part of the image of the size of the network's input. The result has the form of
`Form`'s, but costs more, since nothing that windows share is computed only once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models.features import first

_CALL = 2 * 10**7  # multiply-adds that take as long as a call of a network that computes nothing


@dataclass(frozen=True)
class Windows:
    """A network, and the size of the `window` that it takes, (rows, columns) in pixels.

    `batch_size` windows run at once. `multiply_adds_each` are those of one window. With `is_fixed`
    the network computes a whole batch even if it gets fewer images.
    """

    network: nn.Module = field(repr=False)
    window: tuple[int, int]
    num_classes: int
    multiply_adds_each: int
    batch_size: int
    is_fixed: bool = False

    @property
    def stride(self) -> tuple[int, int]:
        """The largest step between windows, in pixels down and across: they lie side by side."""
        return self.window

    @torch.inference_mode()
    def slide(
        self, image: Tensor, step: tuple[int, int], check: Callable[[], None] = lambda: None
    ) -> Tensor:
        """Run the network on every window of a normalised image (1, C, H, W).

        Returns logits (num_classes, rows, columns): those at row r and column c are of the window
        whose upper left corner is r·step[0] pixels below and c·step[1] pixels right of the image's.
        `check` is called before each batch; an error that it raises ends the work.
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
        """Estimate the multiply-adds of a map of an image of that size, with overhead per call.

        Without a `step`, windows lie side by side.
        """
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
        """The number of values of the largest tensor that grows with the image: the image."""
        return 3 * height * width
