"""The multiply-adds of a forward pass, counted operator by operator.

Counted are convolutions, linear layers, matrix products and attention, by torch's own formulas
(`torch.utils.flop_counter`). Additions of biases, normalisation, activations and pooling count as
nothing, as is the custom (fvcore, ptflops).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from models.dispatch import DispatchMode


class MultiplyAdds(DispatchMode):
    """A mode that counts in `total` the multiply-adds of the thread inside the `with` block.

    torch's FlopCounterMode has the same formulas, but hooks every module of the process, including
    those that serve requests in other threads.
    """

    def __init__(self) -> None:  # torch sets up the rest on entering
        self.total = 0

    def run(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func.overloadpacket not in _FLOPS:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        self.computed(func, args, kwargs, result)
        return result

    def computed(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """Add the multiply-adds of an operator that has run, save one that consists of others."""
        formula = _FLOPS.get(func.overloadpacket)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=result) // 2


def _self_attention(
    query: Tensor, key: Tensor, value: Tensor, width: int, *_: Any, **__: Any
) -> int:
    """Count the operations of attention as one operator, for a query (N, L, E) that is its own key.

    Four projections of E × E, and two products of (L, E) with (E, L) and (L, L) with (L, E).
    """
    count, length, _width = query.shape
    return 2 * count * length * width * (4 * width + 2 * length)


def _convolution_backward(
    gradient: Tensor, taken: Tensor, weight: Tensor, *others: Any, out_val: Any
) -> int:
    """Count the operations of a convolution's gradients: for each, as many as it has itself.

    The two gradients are of its input, where that is asked for, and of its weight. torch's own
    formula counts G times as many for a convolution of G groups.
    """
    *_, transposed, _padding, _groups, (of_input, of_weight, _of_bias) = others
    places = math.prod((taken if transposed else gradient).shape[2:])
    return 2 * len(taken) * places * weight.numel() * (int(of_input) + int(of_weight))


_aten = torch.ops.aten
_FLOPS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    # what evaluation on a CPU calls, and torch's table lacks
    _aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[
        _aten._scaled_dot_product_flash_attention
    ],
    _aten._native_multi_head_attention: _self_attention,
    _aten.convolution_backward: _convolution_backward,
}
