"""A convolutional network that trains in minutes on a CPU, for pictures of any size.

A 2×2 stem that `training.fitting.start.initialisation.whiten` can fill with whitening filters, then
blocks of two 3×3 convolutions with batch normalisation, the first of each followed by pooling,
and a maximum over the whole map. The plan is that of airbench94
(Jordan 2024, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU) with fewer channels and ReLU.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from models.architectures.registry import register
from models.preprocessing import InputSpec


class Block(nn.Module):
    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, kernel_size=3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels, H / 2, W / 2)."""
        x = self.relu1(self.bn1(self.pool(self.conv1(x))))
        halved: Tensor = self.relu2(self.bn2(self.conv2(x)))
        return halved


class ConvNet(nn.Module):
    """A stem, blocks, a maximum over the whole map and a linear layer.

    `widths` are the channels of the blocks. Each block halves height and width. Raises `ValueError`
    if there is no block, or a block without channels.
    """

    def __init__(self, num_classes: int, channels: int, widths: Sequence[int]) -> None:
        if not widths or min(widths) < 1:
            raise ValueError(f"blocks need 1 channel or more each, not {list(widths)}")
        super().__init__()
        stem = 2 * channels * 2 * 2  # each whitening filter and its negative
        self.stem = nn.Conv2d(channels, stem, kernel_size=2)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(*(Block(*pair) for pair in pairwise([stem, *widths])))
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to logits (N, num_classes)."""
        x = self.blocks(self.relu(self.stem(x)))
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits


@register("convnet", InputSpec(channels=3, height=32, width=32, mean=(0.5,) * 3, std=(0.25,) * 3))
def convnet(
    num_classes: int = 10,
    channels: Annotated[Literal[1, 3], Field(description="of the input")] = 3,
    widths: Annotated[
        Sequence[Annotated[int, Field(ge=1)]],
        Field(min_length=1, description="channels of each block, which halves height and width"),
    ] = (32, 128, 128),
) -> ConvNet:
    """Blocks of two 3×3 convolutions with batch normalisation, for pictures of any size."""
    return ConvNet(num_classes, channels, widths)
