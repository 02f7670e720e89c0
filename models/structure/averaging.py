"""Forward passes in which each operation averages what it takes, whatever the weights are.

So a gradient is 0 only where there is no connection: units that are not active, and weights that
are 0, hide nothing. Convolutions, linear layers and maximum pooling (without dilation) average;
activations and batch normalisation do nothing; layer normalisation only scales; learned scales are
1, and gates of whole maps pass no gradient on.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Averaging(TorchFunctionMode):
    """A context in which torch's functions average what they take, in the current thread."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        name = str(getattr(func, "__name__", "")).strip("_")
        if not args or not isinstance(args[0], Tensor):
            return func(*args, **named)
        if name in _IDLE:
            return args[0]
        if name in _SCALED:
            return args[0] / args[0].detach().abs().mean().clamp_min(_MIN_MEAN)
        if name in _WEIGHTED and len(args) > 1:
            weight = torch.full_like(args[1], 1 / max(1, args[1][0].numel()))
            return func(args[0], weight, *args[2:], **named)
        if name in _POOLED and named.get("dilation", 1) in (1, (1, 1)):
            own = {key: value for key, value in named.items() if key not in _OF_MAXIMUM}
            averaged = _POOLED[name](*args, **own)
            return (averaged, func(*args, **named)[1]) if named.get("return_indices") else averaged
        if name in _PRODUCTS and len(args) == 2:
            return func(*_without_gate(*args), **named)
        return func(*args, **named)


def _without_gate(one: Any, other: Any) -> tuple[Any, Any]:
    """Return the two factors of a product as the measurement of receptive fields needs them.

    The measurement follows gradients from an output back to the pixels. A learned scale
    (`nn.Parameter`) is replaced by 1, because a scale near 0 would hide its gradient. A channel
    gate, as in squeeze-and-excitation, depends on every pixel of the image; it is detached, so that
    no gradient passes through it.
    """
    factors = [one, other]
    for at, each in enumerate(factors):
        rest = factors[1 - at]
        if isinstance(each, nn.Parameter):
            factors[at] = torch.ones_like(each)
        elif isinstance(each, Tensor) and isinstance(rest, Tensor) and _is_gate(each, rest):
            factors[at] = each.detach()
    return factors[0], factors[1]


def _is_gate(one: Tensor, other: Tensor) -> bool:
    """Return whether `one` has one value per channel, for maps (N, C, H, W) or (N, H, W, C)."""
    if one.ndim != 4 or other.ndim != 4:
        return False
    return any(
        one.shape[axis] == one.shape[axis + 1] == 1 < other.shape[axis] * other.shape[axis + 1]
        for axis in (1, 2)
    )


_MIN_MEAN = 1e-12  # of a divisor
_SCALED = frozenset(("layer_norm", "rms_norm"))  # which keep attention's logits small
_IDLE = frozenset(
    (
        *("alpha_dropout", "batch_norm", "celu", "clamp", "clamp_max", "clamp_min", "dropout"),
        *("dropout1d", "dropout2d", "dropout3d", "elu", "feature_alpha_dropout", "gelu"),
        *("group_norm", "hardsigmoid", "hardswish", "hardtanh", "instance_norm", "leaky_relu"),
        *("local_response_norm", "log_sigmoid", "logsigmoid", "mish", "prelu", "relu", "relu6"),
        *("rrelu", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh", "tanhshrink"),
        *("threshold", "hardshrink", "softshrink"),
    )
)
_WEIGHTED = frozenset(
    ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "linear")
)
_POOLED: Mapping[str, Callable[..., Tensor]] = {
    "adaptive_max_pool2d": F.adaptive_avg_pool2d,
    "amax": torch.mean,
    "max_pool2d": F.avg_pool2d,
    "max_pool2d_with_indices": F.avg_pool2d,
}
_OF_MAXIMUM = frozenset(("dilation", "return_indices"))
_PRODUCTS = frozenset(("mul", "imul", "rmul", "multiply"))
