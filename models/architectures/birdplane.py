"""Birds against planes: small convolutional networks for 3×32×32 pictures in [0, 1].

Two convolutions, each followed by max-pooling and tanh, then two linear layers. Pooling comes
before tanh: tanh is monotone, so the order changes nothing but rounding, and a quarter of the
evaluations is left. Parameter names are those of the networks' first description, so its
checkpoints load unchanged.
"""

from torch import Tensor, nn

from models.architectures.registry import register
from models.preprocessing import InputSpec

INPUT = InputSpec(channels=3, height=32, width=32)


class BirdPlane(nn.Module):
    """A network with `n_channel` feature maps after the first convolution, half as many after the
    second.

    `batchnorm` normalises each convolution's output; `dropout` drops whole feature maps after each
    pooling (Tompson et al. 2015, Efficient Object Localization Using Convolutional Networks).
    """

    def __init__(
        self, n_channel: int, num_classes: int, *, batchnorm: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        half = n_channel // 2
        self.conv1 = nn.Conv2d(3, n_channel, kernel_size=3, padding=1)
        self.conv1_batchnorm = nn.BatchNorm2d(n_channel) if batchnorm else nn.Identity()
        self.pool1 = nn.MaxPool2d(2)
        self.tanh1 = nn.Tanh()
        self.conv1_dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(n_channel, half, kernel_size=3, padding=1)
        self.conv2_batchnorm = nn.BatchNorm2d(half) if batchnorm else nn.Identity()
        self.pool2 = nn.MaxPool2d(2)
        self.tanh2 = nn.Tanh()
        self.conv2_dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.fc1 = nn.Linear(half * 8 * 8, 32)
        self.tanh3 = nn.Tanh()
        self.fc2 = nn.Linear(32, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) to logits (N, num_classes)."""
        x = self.tanh1(self.pool1(self.conv1_batchnorm(self.conv1(x))))
        x = self.conv1_dropout(x)  # (N, n_channel, 16, 16)
        x = self.tanh2(self.pool2(self.conv2_batchnorm(self.conv2(x))))
        x = self.conv2_dropout(x)  # (N, n_channel / 2, 8, 8)
        x = self.tanh3(self.fc1(x.flatten(1)))  # (N, 32)
        logits: Tensor = self.fc2(x)
        return logits


@register("birdplane-base", INPUT)
def base(num_classes: int = 2) -> BirdPlane:
    """Two convolutions of 16 and 8 feature maps."""
    return BirdPlane(16, num_classes)


@register("birdplane-width", INPUT)
def width(num_classes: int = 2) -> BirdPlane:
    """Two convolutions of 32 and 16 feature maps."""
    return BirdPlane(32, num_classes)


@register("birdplane-dropout", INPUT)
def dropout(num_classes: int = 2) -> BirdPlane:
    """As `birdplane-width`, with dropout 0.4 of whole feature maps after each pooling."""
    return BirdPlane(32, num_classes, dropout=0.4)


@register("birdplane-batchnorm", INPUT)
def batchnorm(num_classes: int = 2) -> BirdPlane:
    """As `birdplane-width`, with batch normalisation after each convolution."""
    return BirdPlane(32, num_classes, batchnorm=True)
