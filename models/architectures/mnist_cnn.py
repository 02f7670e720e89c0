"""The two-convolution network for MNIST's 1×28×28 digits in [0, 1].

Parameter names (`conv1.0`, `conv2.0`, `out`) are those of its first description, so its
checkpoints load unchanged.
"""

from torch import Tensor, nn

from models.architectures.registry import register
from models.preprocessing import InputSpec


class MnistCNN(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.conv2 = nn.Sequential(
            nn.Conv2d(16, 32, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.out = nn.Linear(32 * 7 * 7, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) to logits (N, num_classes)."""
        x = self.conv1(x)  # (N, 16, 14, 14)
        x = self.conv2(x)  # (N, 32, 7, 7)
        logits: Tensor = self.out(x.flatten(1))
        return logits


@register("mnist-cnn", InputSpec(channels=1, height=28, width=28))
def mnist_cnn(num_classes: int = 10) -> MnistCNN:
    """Two convolutions of 16 and 32 feature maps and a linear layer."""
    return MnistCNN(num_classes)
