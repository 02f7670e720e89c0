"""Crosses and circles: small convolutional networks for 1×116×116 drawings in [0, 1].

Parameter names are those of the networks' first description, so its checkpoints load unchanged.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from models.architectures.registry import register
from models.preprocessing import InputSpec

INPUT = InputSpec(channels=1, height=116, width=116)


class XO(nn.Module):
    """3×3 convolutions without padding, each with ReLU and pooling, then three linear layers.

    `channels` are the feature maps of each convolution, `hidden` the two widths before the last
    layer; without `pooling` the maps keep their size. Raises `ValueError` for a convolution
    without feature maps.
    """

    def __init__(
        self,
        num_classes: int,
        channels: Sequence[int],
        hidden: tuple[int, int],
        *,
        pooling: bool = True,
    ) -> None:
        super().__init__()
        if min(channels) < 1:
            raise ValueError(f"convolutions need 1 feature map or more, not {list(channels)}")
        side = INPUT.height
        before: int = INPUT.channels
        self._stages = len(channels)
        for number, after in enumerate(channels, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, kernel_size=3))
            self.add_module(f"relu{number}", nn.ReLU())
            self.add_module(f"pool{number}", nn.MaxPool2d(2) if pooling else nn.Identity())
            side, before = (side - 2) // (2 if pooling else 1), after
        self.fc1 = nn.Linear(before * side * side, hidden[0])
        self.fc1_relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.fc2_relu = nn.ReLU()
        self.fc3 = nn.Linear(hidden[1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 116, 116) to logits (N, num_classes)."""
        for number in range(1, self._stages + 1):
            for kind in ("conv", "relu", "pool"):
                x = self.get_submodule(f"{kind}{number}")(x)
        x = self.fc1_relu(self.fc1(x.flatten(1)))
        x = self.fc2_relu(self.fc2(x))
        logits: Tensor = self.fc3(x)
        return logits


@register("xo", INPUT)
def base(
    num_classes: int = 2,
    n_channel: Annotated[int, Field(ge=1, description="feature maps of the first convolution")] = 9,
    pooling: Annotated[bool, Field(description="halve the maps after each convolution")] = True,
) -> XO:
    """Two convolutions, `n_channel` and 5 feature maps."""
    return XO(num_classes, (n_channel, 5), (1200, 64), pooling=pooling)


@register("xo-three-convolutions", INPUT)
def three_convolutions(
    num_classes: int = 2,
    third: Annotated[int, Field(ge=1, description="feature maps of the third convolution")] = 5,
) -> XO:
    """Three convolutions of 9, 5 and `third` feature maps, the last of 12×12 when pooled."""
    return XO(num_classes, (9, 5, third), (480, 320))
