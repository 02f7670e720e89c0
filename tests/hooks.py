"""Hooks of networks, without the one that every network of others gets when it is built."""

from torch import nn

from models.architectures import outputs


def hooks(network: nn.Module) -> list[object]:
    """The forward and backward hooks of a network and of the modules in it."""
    return [
        hook
        for module in network.modules()
        for there in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        for hook in there.values()
        if getattr(hook, "__module__", None) != outputs.__name__
    ]
