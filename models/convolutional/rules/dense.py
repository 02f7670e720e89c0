"""Dense layers become convolutions; normalisation of features is applied at each place."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.convolutional.layout import Axes, Layout, Sizes
from models.convolutional.rules.registry import rule
from models.convolutional.tracing import Call, Tracer, Value


@rule("linear")
def linear(tracer: Tracer, call: Call) -> Value:
    return _dense(tracer, call, call.value("input"), call.constant("weight"), call["bias"])


@rule("addmm")
def addmm(tracer: Tracer, call: Call) -> Value:
    if call["alpha"] != 1 or call["beta"] != 1:
        raise call.obstacle()
    return _dense(tracer, call, call.value("mat1"), call.constant("mat2").T, call.constant("self"))


@rule("mm", "matmul")
def product(tracer: Tracer, call: Call) -> Value:
    """Convert a product of features and weights.

    A product of two values that both depend on the image mixes its places, and is an obstacle.
    """
    second = call["mat2" if call.name == "mm" else "other"]
    if not isinstance(second, Tensor) or second.ndim != 2:
        raise call.obstacle("mixes the places of an image")
    return _dense(tracer, call, call.value(), second.T, None)


def _dense(tracer: Tracer, call: Call, value: Value, weight: Tensor, bias: Tensor | None) -> Value:
    """Add a dense layer of weight (out, in). On flattened maps it is a convolution of their size;
    on the channels of each place it is a 1×1 convolution."""
    outputs = len(weight)
    layout = value.layout
    if layout.is_flat:
        kernel = _kernel(weight, layout)
        sizes = Sizes(outputs, 1, 1)
        seen = Layout.seen_as(sizes, ("c",))
    else:
        found = tracer.arranged(value)
        if found is None or found[1][-1] != "c":
            raise call.obstacle()
        value, axes = found
        kernel = weight[:, :, None, None]
        sizes = value.sizes._replace(c=outputs)
        seen = Layout.seen_as(sizes, axes)
    return tracer.add(
        lambda x: F.conv2d(x, kernel, bias), [value], seen, multiply_adds=kernel.numel()
    )


def _kernel(weight: Tensor, layout: Layout) -> Tensor:
    """Return the kernel (out, C, h, w) that gives, on the maps, the result of the weight (out, in)
    on what the network sees of them."""
    sizes = layout.sizes
    where = layout.where.to(weight.device)
    if not torch.equal(where, torch.arange(sizes.numel, device=where.device)):
        whole = weight.new_zeros(len(weight), sizes.numel)
        weight = whole.index_add_(1, where, weight)
    return weight.reshape(len(weight), *sizes)


@rule("batch_norm", "native_batch_norm", "cudnn_batch_norm")
def batch_norm(tracer: Tracer, call: Call) -> Value:
    value, axes = _features(tracer, call, call.value("input"), 0)
    training, mean = call["training"], call["running_mean"]
    if training or mean is None:
        raise call.obstacle("normalises by the image's own statistics")
    weight, bias, variance = (call.constant(name) for name in ("weight", "bias", "running_var"))
    epsilon = call["eps"]
    return tracer.add(
        lambda x: F.batch_norm(x, mean, variance, weight, bias, False, 0.0, epsilon),
        [value],
        Layout.seen_as(value.sizes, axes),
    )


@rule("layer_norm")
def layer_norm(tracer: Tracer, call: Call) -> Value:
    if len(call["normalized_shape"]) != 1:
        raise call.obstacle("normalises by the image's own statistics")
    value, axes = _features(tracer, call, call.value("input"), -1)
    weight, bias, epsilon = call.constant("weight"), call.constant("bias"), call["eps"]

    def run(x: Tensor) -> Tensor:
        last = x.movedim(1, -1)  # (N, H, W, C)
        return F.layer_norm(last, last.shape[-1:], weight, bias, epsilon).movedim(-1, 1)

    return tracer.add(run, [value], Layout.seen_as(value.sizes, axes))


_OVER_CHANNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(1),
}


@rule(*_OVER_CHANNELS)
def softmax(tracer: Tracer, call: Call) -> Value:
    own = call.value()
    dim = call["dim"] % (own.layout.where.ndim + 1)
    value, axes = _features(tracer, call, own, dim - 1 if dim else None)
    return tracer.add(_OVER_CHANNELS[call.name], [value], Layout.seen_as(value.sizes, axes))


def _features(tracer: Tracer, call: Call, value: Value, axis: int | None) -> tuple[Value, Axes]:
    """Return a value whose `axis`, as the network sees it, is the channels, and all its axes.

    Raises `NotConvolutionalError` if that axis is another one.
    """
    vector = tracer.as_vector(value)
    found: Any = (vector, ("c",)) if vector is not None else tracer.arranged(value)
    if found is None or axis is None or found[1][axis] != "c":
        raise call.obstacle()
    arranged: tuple[Value, Axes] = found
    return arranged
