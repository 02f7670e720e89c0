"""A network's tensors on torch's meta device: shapes without values, which cost nothing."""

from torch import Tensor, nn


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, for `torch.func.functional_call`.

    Those that are trained require gradients.
    """
    return {
        name: tensor.detach().to("meta").requires_grad_(tensor.requires_grad)
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]
    }
