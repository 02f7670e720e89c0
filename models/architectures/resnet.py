"""A residual network for 28×28 pictures (He et al. 2015, Deep Residual Learning for Image
Recognition; the form is that of Zhang et al., Dive into Deep Learning, section 8.6, with three
stages instead of four, since 28 pixels leave no more)."""

from torch import Tensor, nn

from models.architectures.registry import register
from models.preprocessing import InputSpec


class Residual(nn.Module):
    """Two 3×3 convolutions added to their input, or to a 1×1 convolution of it (`conv3`) where
    the shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, kernel_size=3, padding=1, stride=stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.conv3 = nn.Conv2d(channels_in, channels, kernel_size=1, stride=stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Turn maps (N, channels_in, H, W) into maps (N, channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        summed: Tensor = self.relu2(y + self.conv3(x))
        return summed


@register("resnet", InputSpec(channels=1, height=28, width=28))
def resnet(num_classes: int = 10) -> nn.Sequential:
    """A residual network of three stages with two blocks each."""
    return nn.Sequential(
        nn.Sequential(
            nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        ),  # (64, 7, 7)
        nn.Sequential(Residual(64, 64), Residual(64, 64)),
        nn.Sequential(Residual(64, 128, stride=2), Residual(128, 128)),  # (128, 4, 4)
        nn.Sequential(Residual(128, 256, stride=2), Residual(256, 256)),  # (256, 2, 2)
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(256, num_classes),
    )
