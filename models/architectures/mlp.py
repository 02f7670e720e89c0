"""Multilayer perceptrons: a picture flattened to its pixels, then linear layers with ReLU.

Parameter names are those of the `nn.Sequential` in which such networks are usually written
(`0.weight`, `2.weight`, …), so that its checkpoints load unchanged.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from models.architectures.registry import register
from models.preprocessing import InputSpec


class MLP(nn.Sequential):
    """Layers in a row; the hidden values after each ReLU can be captured by the layer's number.

    `hidden` are the widths of the hidden layers; `batchnorm` normalises before each ReLU;
    `dropout` drops values before each linear layer. Raises `ValueError` for a width or a
    probability that can't be.
    """

    def __init__(
        self,
        pixels: int,
        num_classes: int,
        hidden: Sequence[int] = (1000,),
        *,
        batchnorm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        if any(width < 1 for width in hidden):
            raise ValueError(f"hidden layers need a width of 1 or more, not {list(hidden)}")
        layers: list[nn.Module] = []
        for width_in, width in pairwise([pixels, *hidden]):
            layers += [nn.Dropout(dropout)] if dropout else []
            layers += [nn.Linear(width_in, width)]
            layers += [nn.BatchNorm1d(width)] if batchnorm else []
            layers += [nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
        layers += [nn.Linear(hidden[-1] if hidden else pixels, num_classes)]
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, num_classes)."""
        x = x.flatten(1)
        for layer in self:
            x = layer(x)
        return x


@register("mlp", InputSpec(channels=1, height=28, width=28))
def mlp(
    num_classes: int = 10,
    hidden: Annotated[
        Sequence[Annotated[int, Field(ge=1)]], Field(description="widths of the hidden layers")
    ] = (1000,),
    batchnorm: Annotated[bool, Field(description="normalise before each ReLU")] = False,
    dropout: Annotated[
        float, Field(ge=0, le=1, description="of values before each linear layer")
    ] = 0.0,
) -> MLP:
    """A multilayer perceptron: linear layers with ReLU."""
    return MLP(28 * 28, num_classes, hidden, batchnorm=batchnorm, dropout=dropout)
