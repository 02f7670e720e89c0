"""Convolutions and padding stay as they are: they slide already."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from models.convolutional.layout import Layout, Sizes
from models.convolutional.rules.registry import rule
from models.convolutional.tracing import Call, Tracer, Value


@rule("convolution")
def convolution(tracer: Tracer, call: Call) -> Value:
    maps = tracer.as_maps(call.value("input"))
    weight, bias = call.constant("weight"), call.constant("bias")
    padding, dilation, groups = call["padding"], call["dilation"], call["groups"]
    if maps is None or call["transposed"] or weight.ndim != 4:
        raise call.obstacle()
    stride = strides(maps.sizes, weight.shape[2:], pair(call["stride"]), padding, dilation)

    def run(x: Tensor) -> Tensor:
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    return tracer.add(
        run,
        [maps],
        Layout(call.output),
        (maps.stride[0] * stride[0], maps.stride[1] * stride[1]),
        multiply_adds=weight.numel(),
    )


@rule("constant_pad_nd", "pad", "reflection_pad2d", "replication_pad2d")
def padding(tracer: Tracer, call: Call) -> Value:
    maps = tracer.as_maps(call.value())
    if maps is None or (call.name == "pad" and len(call["pad"]) > 6):
        raise call.obstacle()
    func, further = call.func, [each for name, each in call.given.items() if name != "self"]
    return tracer.add(lambda x: func(x, *further), [maps], Layout(call.output))


def strides(
    sizes: Sizes,
    kernel: Sequence[int],
    given: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, int]:
    """Return the stride of a window. It is 1 along a side that the window covers whole at the
    input's own size, where the network has a single place."""
    down, across = (
        1 if side + 2 * pad == spread * (wide - 1) + 1 else step
        for side, wide, step, pad, spread in zip(
            sizes[1:], *map(pair, (kernel, given, padding, dilation)), strict=True
        )
    )
    return down, across


def pair(given: Sequence[int]) -> tuple[int, int]:
    """Return (rows, columns) from a list of one number for both, or of two."""
    return given[0], given[-1]
