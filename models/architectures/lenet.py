"""LeNet-5 for 1×28×28 pictures (LeCun et al. 1998, Gradient-based learning applied to document
recognition): plain, with sigmoid and mean-pooling, or with ReLU and max-pooling."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from models.architectures.registry import register
from models.preprocessing import InputSpec


class LeNet(nn.Module):
    """LeNet-5. `dropout` is the probability that a value is dropped after each pooling; `plain`
    takes sigmoid and mean-pooling in place of ReLU and max-pooling."""

    def __init__(self, num_classes: int, *, dropout: float = 0.0, plain: bool = False) -> None:
        super().__init__()
        activation, pooling = (nn.Sigmoid, nn.AvgPool2d) if plain else (nn.ReLU, nn.MaxPool2d)
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.activation1 = activation()
        self.pool1 = pooling(2)
        self.dropout1 = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.activation2 = activation()
        self.pool2 = pooling(2)
        self.dropout2 = nn.Dropout(dropout)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.activation3 = activation()
        self.fc2 = nn.Linear(120, 84)
        self.activation4 = activation()
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) to logits (N, num_classes)."""
        x = self.dropout1(self.pool1(self.activation1(self.conv1(x))))  # (N, 6, 14, 14)
        x = self.dropout2(self.pool2(self.activation2(self.conv2(x))))  # (N, 16, 5, 5)
        x = self.activation3(self.fc1(x.flatten(1)))  # (N, 120)
        x = self.activation4(self.fc2(x))  # (N, 84)
        logits: Tensor = self.fc3(x)
        return logits


@register("lenet", InputSpec(channels=1, height=28, width=28, mean=(0.5,), std=(0.5,)))
def lenet(
    num_classes: int = 10,
    dropout: Annotated[float, Field(ge=0, le=1, description="of values after each pooling")] = 0.0,
) -> LeNet:
    """LeNet-5 with ReLU and max-pooling; pixels normalised to [-1, 1]."""
    return LeNet(num_classes, dropout=dropout)


@register("lenet-plain", InputSpec(channels=1, height=28, width=28))
def plain(num_classes: int = 10) -> LeNet:
    """LeNet-5 with sigmoid and mean-pooling; pixels in [0, 1]."""
    return LeNet(num_classes, plain=True)
