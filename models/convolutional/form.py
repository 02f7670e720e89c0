"""A network's fully convolutional form: images (N, C, H, W) of any size → maps of logits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.convolutional.errors import NotConvolutionalError
from models.convolutional.rules.registry import rule_of
from models.convolutional.tracing import Step, Tracer
from models.features import OpaqueNetwork, first

_SAME = 1e-3  # of the largest logit, by which the form may differ from the network


@dataclass(frozen=True)
class Form:
    """A fully convolutional form: steps for images of `window` pixels (rows, columns) or more.

    For an image whose sides are those of `window` plus multiples of `stride`, the output has one
    place for each window that begins at a multiple of `stride`.
    """

    steps: Sequence[Step]
    window: tuple[int, int]

    @property
    def num_classes(self) -> int:
        return self.steps[-1].sizes.c

    @property
    def stride(self) -> tuple[int, int]:
        """The distance between neighbouring places, in pixels of the image, down and across."""
        return self.steps[-1].stride

    @torch.inference_mode()
    def __call__(self, images: Tensor, check: Callable[[], None] = lambda: None) -> Tensor:
        """Turn normalised images (N, C, H, W) into logits (N, num_classes, rows, columns).

        `check` is called before each step, and may raise to end the work.
        """
        last_use = {
            index: number for number, step in enumerate(self.steps) for index in step.inputs
        }
        values: dict[int, Tensor] = {0: images}
        for number, step in enumerate(self.steps):
            check()
            values[number + 1] = step.run(*(values[index] for index in step.inputs))
            for index in step.inputs:
                if last_use[index] == number:
                    values.pop(index, None)
        return values[len(self.steps)]

    def multiply_adds(self, height: int, width: int) -> int:
        """Count the multiply-adds of convolutions and dense layers, for an image of that size."""
        return sum(step.multiply_adds * self._places(step, height, width) for step in self.steps)

    def largest(self, height: int, width: int) -> int:
        """Count the values of the largest maps, for an image of that size."""
        return max(step.sizes.c * self._places(step, height, width) for step in self.steps)

    def _places(self, step: Step, height: int, width: int) -> int:
        down, across = (
            own + (side - window) // stride
            for own, side, window, stride in zip(
                step.sizes[1:], (height, width), self.window, step.stride, strict=True
            )
        )
        return down * across


@torch.inference_mode()
def form_of(network: nn.Module, image: Tensor) -> Form:
    """Return the fully convolutional form of a network in evaluation mode.

    `image` (1, C, H, W) has the size of the network's input. Raises `NotConvolutionalError` if
    there is no such form: if something in the network takes an image of one size alone, if nothing
    in it is a convolution, or if the form's answer differs from the network's.
    """
    if isinstance(network, OpaqueNetwork):
        raise NotConvolutionalError("a network of torch's operators")
    tracer = Tracer(rule_of, both := torch.cat([image, image.flip(-1)]))
    with tracer:
        answer = first(network(both))
    value = tracer.value(answer)
    vector = tracer.as_vector(value) if value is not None else None
    if vector is None:
        raise NotConvolutionalError("a fully convolutional form (its answer is no logits of maps)")
    form = Form(_needed(tracer.steps, vector.index), (image.shape[2], image.shape[3]))
    if all(step.sizes.is_vector for step in form.steps if step.multiply_adds):
        raise NotConvolutionalError("a convolution over parts of the image")
    given, expected = form(image)[:, :, 0, 0], answer[:1]
    if not torch.allclose(given, expected, rtol=0, atol=_SAME * float(expected.abs().max())):
        raise NotConvolutionalError("a fully convolutional form (its answers would be others)")
    return form


def _needed(steps: Sequence[Step], output: int) -> tuple[Step, ...]:
    """Return the steps that an output depends on, renumbered so that the output is the last."""
    waiting, needed = [output], set[int]()
    while waiting:
        index = waiting.pop()
        if index and index not in needed:
            needed.add(index)
            waiting += steps[index - 1].inputs
    order = sorted(needed)
    numbers = {0: 0} | {index: number for number, index in enumerate(order, start=1)}
    return tuple(
        steps[index - 1]._replace(inputs=tuple(numbers[each] for each in steps[index - 1].inputs))
        for index in order
    )
