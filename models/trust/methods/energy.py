"""Energy: -log Σ exp(logits) (Liu et al. 2020). It needs no features."""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.trust.errors import TrustError
from models.trust.methods.method import METHODS, Method, Statistic


class Energy(Statistic):
    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        return -torch.logsumexp(logits.float(), dim=1)


def _fit(logits: Tensor, features: Tensor, targets: Tensor, strangers: Tensor | None) -> Energy:
    return Energy()


def _build(tensors: Mapping[str, Tensor], num_classes: int) -> Energy:
    if tensors:
        raise TrustError(f"the method energy has no tensors, not {', '.join(sorted(tensors))}")
    return Energy()


METHODS.register(Method("energy", "Energy of the logits alone (Liu et al. 2020).", _fit, _build))
