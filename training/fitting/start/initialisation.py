"""Initialisation of the weights by other methods than torch's own: Xavier, whitening."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import OptionError


def xavier(network: nn.Module) -> None:
    """Set the weights of convolutions and linear layers, uniform with Xavier's variance (Glorot and
    Bengio 2010, Understanding the difficulty of training deep feedforward neural networks)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)


@torch.no_grad()
def whiten(network: nn.Module, batch: Tensor) -> None:
    """Fill the first convolution with filters that whiten its patches of the batch; freeze them.

    Each filter is an eigenvector of the patches' covariance about 0 divided by its deviation; the
    negatives follow, so that nothing is lost in the ReLU behind (Jordan 2024, airbench94). The bias
    stays free.

    Raises `OptionError` if the network doesn't begin with a convolution of twice as many channels
    as its patches have values.
    """
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    values = first.weight[0].numel() if first is not None else 0
    if first is None or first.out_channels != 2 * values:
        raise OptionError(
            "the initialisation whitening needs a first convolution with twice as many channels as "
            "a patch has values; the architecture convnet has one"
        )
    variances, directions = torch.linalg.eigh(_covariance(batch, first))
    filters = (
        (directions / (variances + _FLOOR).sqrt()).T.flip(0).view(values, *first.weight[0].shape)
    )
    first.weight.copy_(torch.cat([filters, -filters]))
    first.weight.requires_grad_(False)


def _covariance(batch: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Return the covariance about 0 of all patches, (values, values) in float64.

    It is summed over parts of the batch, which limits the memory.
    """
    values = convolution.weight[0].numel()
    total, count = torch.zeros((), dtype=torch.float64, device=batch.device), 0
    for part in batch.split(max(1, MAX_PATCH_VALUES // (values * batch[0, 0].numel()))):
        patches = F.unfold(part, convolution.kernel_size).transpose(1, 2).flatten(0, 1).double()
        total = total + patches.T @ patches  # patches: (N · places, values)
        count += len(patches)
    return total / count


MAX_PATCH_VALUES = 100_000_000  # of patches that are in memory at once, eight bytes each
_FLOOR = 5e-4  # keeps flat directions, which are noise, from being blown up
