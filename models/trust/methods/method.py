"""How familiar an image is, by a method; and the registry of all methods.

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
    """How strange each image is, from what the network gave for it; larger is stranger."""

    @abstractmethod
    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Logits (N, K) and penultimate features (N, D) to the statistic (N,)."""

    def width(self) -> int | None:
        """The number D of features that `forward` needs; None where it uses none."""
        return None


@dataclass(frozen=True)
class Method:
    """`fit(logits, features, targets, strangers)` fits the statistic.

    The first three are of images that were trained on; `strangers` are the features (M, D) of
    images of no class, or None.
    `build(tensors, num_classes)` makes it of the buffers that `fit` gave it; it raises `TrustError`
    for tensors of other names or shapes.
    """

    name: str
    description: str
    fit: Callable[[Tensor, Tensor, Tensor, Tensor | None], Statistic]
    build: Callable[[Mapping[str, Tensor], int], Statistic]
    parameters: Parameters = field(default_factory=dict)


METHODS = Registry[Method]("method", package="models.trust.methods", error=TrustError)
