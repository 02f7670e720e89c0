"""The networks that explain the answers of one version, and the sizes of their batches.

Batches of explanations have bounded memory and take about `BATCH_SECONDS` each. That is how long it
can take until the work of a client that has left ends, and between two reports of progress.
"""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.checkpoint import Checkpoint
from models.features import first
from models.preprocessing import InputSpec, Pixels
from models.trust import Trust
from service.inference.engine import MAX_BATCH_VALUES, Engine
from service.inference.explain_methods.method import ExplainMethod, Parameters
from service.inference.outputs import split
from service.inference.runtimes.registry import Runtime

BATCH_SECONDS = 0.25
MAX_GRADIENT_BATCH = 128  # images of a pass forwards and back
MAX_GRADIENT_BATCH_ON_CPU = 16  # a thread's memory for 32 was given back, and faulted in again
MAX_MULTIPLY_ADDS = (
    2 * 10**9
)  # multiply-adds of a batch, which take so long in torch forwards and back


@dataclass(frozen=True)
class Explainer:
    """A twin of the network in torch, and the version's runtime if that may run in any thread.

    Without a `runtime`, the twin also computes passes that need no gradients. `num_classes` is used
    to split the runtime's columns.
    """

    network: nn.Module = field(repr=False)
    spec: InputSpec
    device: torch.device
    trust: Trust | None = None
    runtime: Runtime | None = None
    num_classes: int = 0
    batch_size: int = 16  # images of a forward pass
    gradient_batch_size: int = 16  # images of a pass forwards and back

    @classmethod
    def of(cls, checkpoint: Checkpoint, network: nn.Module, engine: Engine) -> Self:
        """Make the explainer of a version, with a twin of its network; the engine must be warm."""
        return cls(
            network,
            checkpoint.card.input,
            checkpoint.device,
            checkpoint.trust,
            engine.runtime if engine.runtime.independent else None,
            len(checkpoint.card.labels),
            *batch_sizes(checkpoint, engine),
        )

    def room(self, method: ExplainMethod[Parameters]) -> int:
        """The most images that the method runs as one batch."""
        return self.gradient_batch_size if method.needs_gradients else self.batch_size

    def logits(self, batch: Pixels) -> NDArray[np.float32]:
        """The logits (N, num_classes) of a uint8 batch (N, C, H, W), without gradients."""
        if self.runtime is not None:
            return split(self.runtime(batch), self.num_classes).logits
        with torch.inference_mode():
            normalized = self.spec.normalize(torch.from_numpy(batch).to(self.device))
            logits: NDArray[np.float32] = first(self.network(normalized)).float().cpu().numpy()
        return logits


def batch_sizes(checkpoint: Checkpoint, engine: Engine) -> tuple[int, int]:
    """Return the most images of a forward pass, and of a forward and backward pass.

    Batches of a forward pass are no larger than those of predictions, whose time the engine has
    measured. Torch has one thread for gradients, and keeps all activations for the backward pass.
    On a CPU the time for that is computed from the network, not measured, so that it doesn't depend
    on how busy the machine was at the start.
    """
    forward = min(engine.batch_size, int(BATCH_SECONDS / max(engine.seconds_per_image, 1e-9)))
    layers = checkpoint.layers
    values = sum(math.prod(layer.output_shape) for layer in layers)
    both = min(MAX_GRADIENT_BATCH, MAX_BATCH_VALUES // max(1, values))
    if checkpoint.device.type == "cpu":
        operations = sum(layer.multiply_adds for layer in layers)
        both = min(both, MAX_GRADIENT_BATCH_ON_CPU, MAX_MULTIPLY_ADDS // max(1, operations))
    return max(1, forward), max(1, both)
