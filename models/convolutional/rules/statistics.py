"""Norms by an image's own statistics: each place is normalised by the statistics of its window."""

import torch
from torch import Tensor

from models.convolutional.layout import Layout
from models.convolutional.rules.pointwise import around
from models.convolutional.rules.pooling import average
from models.convolutional.rules.registry import rule
from models.convolutional.tracing import Call, Tracer, Value


@rule("group_norm", "native_group_norm")
def group_norm(tracer: Tracer, call: Call) -> Value:
    return _normalised(tracer, call, call["num_groups" if "num_groups" in call.given else "group"])


@rule("instance_norm")
def instance_norm(tracer: Tracer, call: Call) -> Value:
    if not call["use_input_stats"]:
        raise call.obstacle()
    return _normalised(tracer, call, call.value("input").sizes.c)


def _normalised(tracer: Tracer, call: Call, groups: int) -> Value:
    maps = tracer.as_maps(call.value("input"))
    if maps is None:
        raise call.obstacle()
    weight, bias, epsilon = call.constant("weight"), call.constant("bias"), call["eps"]
    own, window = maps.sizes, maps.sizes._replace(h=1, w=1)

    def run(x: Tensor) -> Tensor:
        grouped = x.double().unflatten(1, (groups, -1))  # (N, G, C / G, H, W)
        moments = torch.cat([grouped.mean(2), grouped.square().mean(2)], 1)  # (N, 2 · G, H, W)
        moments = around([x, average(moments, own.h, own.w)], [own, window], own)[1]
        mean, square = moments.unsqueeze(2).chunk(2, 1)  # (N, G, 1, H, W)
        scale = (square - mean.square()).clamp(min=0).add(epsilon).rsqrt()
        found: Tensor = ((grouped - mean) * scale).flatten(1, 2).to(x.dtype)
        if weight is not None:
            found = found * weight[:, None, None]
        return found if bias is None else found + bias[:, None, None]

    return tracer.add(run, [maps], Layout(own))
