"""Small networks that go from maps to logits in ways of their own, for 3×16×16 images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHAPE = (1, 3, 16, 16)


class FlattensByRows(nn.Module):
    """Channels last, normalised over channels, then flattened row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.pool = nn.MaxPool2d(2)
        self.norm = nn.LayerNorm(6)
        self.mix = nn.Linear(6, 4)
        self.fc = nn.Linear(7 * 7 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.conv(x)).permute(0, 2, 3, 1)  # (N, 7, 7, 6)
        x = F.gelu(self.mix(self.norm(x)))
        return self.fc(x.reshape(-1, 196))  # type: ignore[no-any-return]


class NormalisesFeatures(nn.Module):
    """BatchNorm, dropout, weights and a skip connection between dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5, stride=2)
        self.act = nn.PReLU(4)
        self.scale = nn.Parameter(torch.rand(144))
        self.bn1 = nn.BatchNorm1d(144)
        self.fc1 = nn.Linear(144, 8)
        self.fc2 = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.fc3 = nn.Linear(8, 5)
        self.bn1.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
        self.bn1.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x)).flatten(1) * self.scale
        x = F.dropout(torch.tanh(self.fc1(self.bn1(x))), 0.5, self.training)
        x = self.norm(x + F.relu_(self.fc2(x)))
        return self.fc3(x).log_softmax(1)  # type: ignore[no-any-return]


class PoolsUnevenly(nn.Module):
    """Adaptive pooling to windows that overlap, of 14×14 to 3×4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.pool = nn.AdaptiveMaxPool2d((3, 4))
        self.fc = nn.Linear(4 * 3 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(F.hardswish(self.conv(x))).view(x.size(0), -1))  # type: ignore[no-any-return]


class Means(nn.Module):
    """A mean of rows, then of columns, beside a maximum; shuffled halves; channels cut out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.fc = nn.Linear(8 + 6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.elu(self.conv(x))  # (N, 8, 7, 7)
        halves = x.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)
        first, second = halves.chunk(2, dim=1)
        means = torch.cat([second, first], 1).mean(3).mean(-1)
        return self.fc(torch.cat([means, x[:, 1:7, 1:-1].amax((2, 3))], 1))  # type: ignore[no-any-return]


class AllConvolutional(nn.Sequential):
    """No dense layer: a map a class, averaged with a window of its size."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.Conv2d(5, 5, 1)),
            *(nn.AvgPool2d(7), nn.Flatten()),
        )


UNPADDED = (FlattensByRows, NormalisesFeatures, PoolsUnevenly, Means, AllConvolutional)
"""Each place of their maps is what the network says of that crop."""


class Excites(nn.Module):
    """Squeeze and excitation, and group normalisation: maps times what was pooled of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 4, 3, stride=2, padding="valid")
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        x = x * torch.sigmoid(self.squeeze(x.mean((2, 3), keepdim=True)))
        return self.fc(self.last(x).mean((2, 3)))  # type: ignore[no-any-return]


class Perceptron(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(768, 8), nn.ReLU(), nn.Linear(8, 5))


class Attends(nn.Module):
    """Places look at each other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, stride=4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).flatten(2).transpose(1, 2)  # (N, 16, 8)
        return self.fc(self.attention(x, x, x)[0].mean(1))  # type: ignore[no-any-return]


class KnowsPlaces(nn.Module):
    """Weights of its own for each place of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.places = nn.Parameter(torch.rand(4, 16, 16))
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.conv(x) + self.places).mean((2, 3)))  # type: ignore[no-any-return]


class MixesImages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return (x - x.mean(0, keepdim=True)).mean((2, 3))


class TakesOneImage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3)).reshape(1, 5)  # type: ignore[no-any-return]


def built(kind: type[nn.Module]) -> nn.Module:
    """The network with seeded weights, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind().eval()
