"""The interface of methods that measure how familiar an image is, and their registry.

A method fits a `Statistic` on images that were trained on, some also on images of no class, and
rebuilds it from its tensors.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from models.registry import Parameters, Registry
from models.trust.errors import TrustError


class Statistic(nn.Module, ABC):
    """A module that computes how strange each image is, from a network's outputs; larger is
    stranger."""

    @abstractmethod
    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Turn logits (N, K) and penultimate features (N, D) into the statistic (N,)."""

    def width(self) -> int | None:
        """Return the number D of features that `forward` needs; None if it uses none."""
        return None


@dataclass(frozen=True)
class Method:
    """A method of familiarity.

    `fit(logits, features, targets, strangers)` fits its statistic. The first three are of images
    that were trained on; `strangers` are the features (M, D) of images of no class, or None.
    `build(tensors, num_classes)` rebuilds a fitted statistic from its buffers; it raises
    `TrustError` for tensors of other names or shapes.
    """

    name: str
    description: str
    fit: Callable[[Tensor, Tensor, Tensor, Tensor | None], Statistic]
    build: Callable[[Mapping[str, Tensor], int], Statistic]
    parameters: Parameters = field(default_factory=dict)


METHODS = Registry[Method]("method", package="models.trust.methods", error=TrustError)
