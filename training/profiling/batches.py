"""Memory traffic by batch size: which bytes grow with the batch, and which don't.

Weights, their gradients and the optimizer's state are moved once a step, whatever the number of
images; activations are moved for each image. So the operations per byte grow with the batch size,
up to those of the activations alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from training.profiling import traffic
from training.profiling.machine import Machine
from training.profiling.traffic import LayerTraffic, StepTraffic, Traffic

OPTIMIZERS = {"SGD": 3, "momentum": 5, "Adam": 7}
"""Name → bytes that an optimizer's step moves, in multiples of the trained parameters' bytes.

The parameter is read and written, its gradient read; momentum reads and writes one more value, Adam
two.
"""
_Pass = Callable[[LayerTraffic], Traffic]
_PAIR = 2, 4  # batches that are compared if no two others are asked for


@dataclass(frozen=True)
class Affine:
    """Bytes of one pass: `fixed` for any batch, and `per_image` for each of its images."""

    fixed: int
    per_image: int
    multiply_adds: int
    """Multiply-adds for each image."""

    @property
    def limit(self) -> float:
        """Operations per byte in the limit of very large batches."""
        return 2 * self.multiply_adds / self.per_image if self.per_image else math.inf

    def crossing(self, machine: Machine) -> int | None:
        """Return the smallest batch size with which arithmetic is the bound; None if memory always
        is."""
        surplus = 2 * self.multiply_adds - machine.ridge * self.per_image
        if surplus <= 0:
            return None
        return max(1, math.ceil(machine.ridge * self.fixed / surplus))


@dataclass(frozen=True)
class Batches:
    """Memory traffic of training steps: `own` for the given batch, `steps` for each batch size.

    `forward` and `backward` split the bytes of a pass into fixed ones and those of each image.
    """

    own: StepTraffic
    steps: tuple[StepTraffic, ...]
    forward: Affine
    backward: Affine


def measure(
    network: nn.Module, batch: Tensor, layers: Mapping[str, str], sizes: Sequence[int]
) -> Batches:
    """Measure a step at each batch size; see `traffic.measure`.

    Only the shape of the batch (N, C, H, W) is used.
    """
    wanted = sorted({len(batch), *sizes})
    pair = [size for size in wanted if size > 1][:2]  # one image may be laid out in another way
    small, large = pair if len(pair) == 2 else _PAIR
    steps = {
        size: traffic.measure(network, _like(batch, size), layers)
        for size in {*wanted, small, large}
    }
    return Batches(
        own=steps[len(batch)],
        steps=tuple(steps[size] for size in sizes),
        forward=_affine(steps[small], steps[large], lambda row: row.forward),
        backward=_affine(steps[small], steps[large], lambda row: row.backward),
    )


def intensity(step: StepTraffic, optimizer: str) -> float | None:
    """Return the operations per byte of a training step: both passes and the optimizer's step.

    Returns None if nothing is moved.
    """
    total = step.total
    passes = total.forward + total.backward
    moved = passes.bytes + OPTIMIZERS[optimizer] * step.trained
    return passes.operations / moved if moved else None


def memory_bound(step: StepTraffic, machine: Machine, of: _Pass) -> list[str]:
    """Return the names of the layers with multiply-adds that memory bounds in a pass."""
    return [
        row.name
        for row in step.layers
        if of(row).multiply_adds and machine.bound(of(row)) == "memory"
    ]


def _like(batch: Tensor, size: int) -> Tensor:
    return batch.new_empty((size, *batch.shape[1:]), device="meta")


def _affine(small: StepTraffic, large: StepTraffic, of: _Pass) -> Affine:
    images, one, other = large.batch_size - small.batch_size, of(small.total), of(large.total)
    per_image = (other.bytes - one.bytes) // images
    return Affine(
        fixed=max(0, one.bytes - small.batch_size * per_image),
        per_image=per_image,
        multiply_adds=(other.multiply_adds - one.multiply_adds) // images,
    )
