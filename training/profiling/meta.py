"""A network's tensors on torch's meta device: shapes without values, which cost nothing."""

from torch import Tensor, nn


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers on the meta device, for `torch.func.functional_call`.

    They require gradients where those of the network do.
    """
    return {
        name: tensor.detach().to("meta").requires_grad_(tensor.requires_grad)
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]
    }
