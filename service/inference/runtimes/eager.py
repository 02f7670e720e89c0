"""Eager torch, the reference: runs on any device, and alone gives activations and gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.inference.runtimes.registry import Attempt, RuntimeEntry, Setup, register

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from models.checkpoint import Checkpoint
    from models.preprocessing import Pixels

NAME = "torch"
PRECISIONS = ("float32", "bfloat16", "float16")


class Torch:
    """The network itself; `precision` other than float32 runs it under autocast.

    The network may also be an imported graph, which ONNX Runtime runs.
    """

    independent = False

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        import torch

        from models import layout

        self._checkpoint = checkpoint
        self.name = NAME if checkpoint.has_gradients else "onnx"
        self._autocast = None if precision == "float32" else getattr(torch, precision)
        self.input = checkpoint.card.input
        self._format = torch.contiguous_format
        if checkpoint.has_gradients:
            self._format = layout.channels_last(checkpoint.network, self.input)

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        import torch

        device = self._checkpoint.device
        with torch.inference_mode():
            pixels = torch.from_numpy(batch)
            if device.type == "cuda":
                pixels = pixels.pin_memory()  # a quarter of what it is as float32
            columns: NDArray[np.float32]
            columns = self.forward(pixels.to(device, non_blocking=True)).cpu().numpy()
        return columns

    def settle(self) -> None:
        """Free nothing: torch keeps no memory on a CPU, and the next batch reuses that of a GPU."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the columns of a batch on its device; the caller need not wait for the device.

        uint8 pixels are normalised first. Values of a floating-point type must be normalised
        already.
        """
        import torch

        from service.inference import outputs

        half = self._autocast is not None
        values = pixels if pixels.is_floating_point() else self.input.normalize(pixels)
        normalized = values.contiguous(memory_format=self._format)
        # casts of the weights are not kept: what captures them would keep their memory
        with torch.autocast(pixels.device.type, self._autocast, enabled=half, cache_enabled=False):
            logits, embedding = outputs.logits_and_embedding(self._checkpoint, normalized)
        return outputs.joined(self._checkpoint, logits, embedding)


def _attempts(setup: Setup) -> list[Attempt]:
    return [Attempt(lambda: setup.eager)]


register(
    RuntimeEntry(
        name=NAME,
        title="torch",
        description="The network in eager torch, the reference for all others.",
        product="eager network",
        devices=("cpu", "cuda"),
        precisions=PRECISIONS,
        rank=0,
        attempts=_attempts,
    )
)
