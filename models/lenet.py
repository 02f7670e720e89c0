"""LeNet-5 with ReLU and max-pooling, for 1×28×28 pictures (LeCun et al. 1998, Gradient-based
learning applied to document recognition; there with sigmoids and mean-pooling)."""

from torch import Tensor, nn

from models.preprocessing import InputSpec
from models.registry import register


class LeNet(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.relu4 = nn.ReLU()
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) to logits (N, num_classes)."""
        x = self.pool1(self.relu1(self.conv1(x)))  # (N, 6, 14, 14)
        x = self.pool2(self.relu2(self.conv2(x)))  # (N, 16, 5, 5)
        x = self.relu3(self.fc1(x.flatten(1)))  # (N, 120)
        x = self.relu4(self.fc2(x))  # (N, 84)
        logits: Tensor = self.fc3(x)
        return logits


@register("lenet", InputSpec(channels=1, height=28, width=28, mean=(0.5,), std=(0.5,)))
def lenet(num_classes: int = 10) -> LeNet:
    """Pixels normalised to [-1, 1]."""
    return LeNet(num_classes)
