"""Twenty-three networks as their tutorials write them: plain torch, with the names they used.

`TUTORIALS` says of each how `fanlight import` takes it: as code, by the name of this module, or by
an architecture of Fanlight's whose weights it has. tests/e2e/test_tutorial_networks.py tries it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.registry import markdown_table

MODULE = "tests.tutorial_networks"


class Birds(nn.Module):
    """Birds and planes."""

    def __init__(self, n_channel: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, n_channel, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(n_channel, n_channel // 2, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(n_channel // 2 * 8 * 8, 32)
        self.fc2 = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.max_pool2d(torch.tanh(self.conv2(x)), 2)
        x = torch.tanh(self.fc1(x.view(x.shape[0], -1)))
        return self.fc2(x)  # type: ignore[no-any-return]


def birds_width() -> nn.Module:
    return Birds(n_channel=32)


class BirdsDropout(Birds):
    def __init__(self) -> None:
        super().__init__(32)
        self.conv1_dropout = nn.Dropout2d(p=0.4)
        self.conv2_dropout = nn.Dropout2d(p=0.4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1_dropout(F.max_pool2d(torch.tanh(self.conv1(x)), 2))
        x = self.conv2_dropout(F.max_pool2d(torch.tanh(self.conv2(x)), 2))
        x = torch.tanh(self.fc1(x.view(x.shape[0], -1)))
        return self.fc2(x)  # type: ignore[no-any-return]


class BirdsBatchnorm(Birds):
    def __init__(self) -> None:
        super().__init__(32)
        self.conv1_batchnorm = nn.BatchNorm2d(num_features=32)
        self.conv2_batchnorm = nn.BatchNorm2d(num_features=16)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.tanh(self.conv1_batchnorm(self.conv1(x))), 2)
        x = F.max_pool2d(torch.tanh(self.conv2_batchnorm(self.conv2(x))), 2)
        x = torch.tanh(self.fc1(x.view(x.shape[0], -1)))
        return self.fc2(x)  # type: ignore[no-any-return]


# these take images that were flattened before, (N, 784)
def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 10))


def no_hidden_layer() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 10))


def two_hidden_layers() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 10))
    )


def perceptron_dropout() -> nn.Module:
    return nn.Sequential(
        *(nn.Dropout(0.25), nn.Linear(784, 1000), nn.ReLU(), nn.Dropout(0.25), nn.Linear(1000, 10))
    )


class Perceptron(nn.Module):
    """The study of batch normalisation, without it."""

    def __init__(self) -> None:
        super().__init__()
        self.input_to_hidden_layer = nn.Linear(784, 1000)
        self.hidden_layer_activation = nn.ReLU()
        self.hidden_to_output_layer = nn.Linear(1000, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.input_to_hidden_layer(x.reshape(-1, 784))
        return self.hidden_to_output_layer(self.hidden_layer_activation(x))  # type: ignore[no-any-return]


class PerceptronBatchnorm(nn.Module):
    """The same study, with it."""

    def __init__(self) -> None:
        super().__init__()
        self.input_to_hidden_layer = nn.Linear(784, 1000)
        self.batch_norm = nn.BatchNorm1d(1000)
        self.hidden_layer_activation = nn.ReLU()
        self.hidden_to_output_layer = nn.Linear(1000, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.batch_norm(self.input_to_hidden_layer(x.reshape(-1, 784)))
        return self.hidden_to_output_layer(self.hidden_layer_activation(x))  # type: ignore[no-any-return]


def alexnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=1), nn.ReLU()),
        nn.MaxPool2d(kernel_size=3, stride=2),
        *(nn.Conv2d(96, 256, kernel_size=5, padding=2), nn.ReLU()),
        nn.MaxPool2d(kernel_size=3, stride=2),
        *(nn.Conv2d(256, 384, kernel_size=3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, kernel_size=3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU()),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Flatten(),
        *(nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(p=0.5)),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(p=0.5)),
        nn.Linear(4096, 10),
    )


def alexnet_simplified() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 24, kernel_size=11, stride=4, padding=1), nn.ReLU()),
        nn.MaxPool2d(kernel_size=3, stride=2),
        *(nn.Conv2d(24, 48, kernel_size=3, padding=1), nn.ReLU()),
        nn.MaxPool2d(kernel_size=3, stride=2),
        *(nn.Conv2d(48, 96, kernel_size=3, padding=1), nn.ReLU()),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Flatten(),
        *(nn.Linear(2400, 256), nn.ReLU(), nn.Dropout(p=0.5)),
        nn.Linear(256, 10),
    )


class Residual(nn.Module):
    def __init__(
        self, input_channels: int, num_channels: int, use_1x1conv: bool = False, strides: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            input_channels, num_channels, kernel_size=3, padding=1, stride=strides
        )
        self.conv2 = nn.Conv2d(num_channels, num_channels, kernel_size=3, padding=1)
        self.conv3 = (
            nn.Conv2d(input_channels, num_channels, kernel_size=1, stride=strides)
            if use_1x1conv
            else None
        )
        self.bn1 = nn.BatchNorm2d(num_channels)
        self.bn2 = nn.BatchNorm2d(num_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (self.conv3(x) if self.conv3 else x))


def resnet_block(
    input_channels: int, num_channels: int, num_residuals: int, first_block: bool = False
) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    for i in range(num_residuals):
        if i == 0 and not first_block:
            blocks.append(Residual(input_channels, num_channels, use_1x1conv=True, strides=2))
        else:
            blocks.append(Residual(num_channels, num_channels))
    return blocks


resnet = nn.Sequential(
    *(nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3), nn.BatchNorm2d(64), nn.ReLU()),
    nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    nn.Sequential(*resnet_block(64, 64, 2, first_block=True)),
    nn.Sequential(*resnet_block(64, 128, 2)),
    nn.Sequential(*resnet_block(128, 256, 2)),
    *(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(256, 10)),
)
"""A network at the top of a file, as notebooks have it."""


def lenet_dropout() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5)),
        *(nn.Conv2d(6, 16, kernel_size=5), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU()),
        *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def lenet_normalised() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, kernel_size=5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU()),
        *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def lenet_plain() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, stride=2)),
        *(nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(2, stride=2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid()),
        *(nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10)),
    )


class CNN(nn.Module):
    """MNIST."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels=1, out_channels=16, kernel_size=5, stride=1, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2),
        )
        self.conv2 = nn.Sequential(nn.Conv2d(16, 32, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(2))
        self.out = nn.Linear(32 * 7 * 7, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x))
        return self.out(x.view(x.size(0), -1))  # type: ignore[no-any-return]


class XO(nn.Module):
    """Crosses and circles."""

    def __init__(self, channels: int = 9, pool: bool = True) -> None:
        super().__init__()
        side = 27 if pool else 112
        self.conv1 = nn.Conv2d(1, channels, 3)
        self.conv2 = nn.Conv2d(channels, 5, 3)
        self.pool = nn.MaxPool2d(2, 2) if pool else nn.Identity()
        self.fc1 = nn.Linear(side * side * 5, 1200)
        self.fc2 = nn.Linear(1200, 64)
        self.fc3 = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = F.relu(self.fc1(x.view(x.size(0), -1)))
        return self.fc3(F.relu(self.fc2(x)))  # type: ignore[no-any-return]


class XOThree(nn.Module):
    """With a third convolution, of so many channels."""

    def __init__(self, third: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 9, 3)
        self.conv2 = nn.Conv2d(9, 5, 3)
        self.conv3 = nn.Conv2d(5, third, 3)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(12 * 12 * third, 480)
        self.fc2 = nn.Linear(480, 320)
        self.fc3 = nn.Linear(320, 2)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2, self.conv3):
            x = self.pool(F.relu(conv(x)))
        x = F.relu(self.fc1(x.view(x.size(0), -1)))
        return self.fc3(F.relu(self.fc2(x)))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Tutorial:
    """A network: `code` and `ours` are what `fanlight import` is told after --architecture, as
    code by its name in this module, and as an architecture of Fanlight's with those weights."""

    name: str
    network: Callable[[], nn.Module]
    input: tuple[int, int, int]
    classes: int
    code: str
    ours: str | None
    half: bool = False
    """Whether pixels are normalised by 0.5 and 0.5."""

    @property
    def is_flat(self) -> bool:
        """Whether its author flattens images before the network, which then takes no images."""
        return self.network in (perceptron, no_hidden_layer, two_hidden_layers, perceptron_dropout)

    @property
    def ways(self) -> dict[str, list[str]]:
        """What to import it as: the model's name → the options."""
        _, height, width = self.input
        options = ["--height", str(height), "--width", str(width)]
        options += ["--mean", "0.5", "--std", "0.5"] if self.half else []
        options += ["--labels", *map(str, range(self.classes))]
        told = {"code": f"{MODULE}:{self.code}", "ours": self.ours}
        return {
            f"{self.name}-{way}": ["--architecture", *architecture.split(), *options]
            for way, architecture in told.items()
            if architecture
        }


BIRDS, CLOTHES, WIDE, CROSSES = (3, 32, 32), (1, 28, 28), (1, 224, 224), (1, 116, 116)
TUTORIALS = (
    Tutorial("birds-base", Birds, BIRDS, 2, "Birds", "birdplane-base"),
    Tutorial("birds-width", birds_width, BIRDS, 2, "birds_width", "birdplane-width"),
    Tutorial("birds-dropout", BirdsDropout, BIRDS, 2, "BirdsDropout", "birdplane-dropout"),
    Tutorial("birds-batchnorm", BirdsBatchnorm, BIRDS, 2, "BirdsBatchnorm", "birdplane-batchnorm"),
    Tutorial("perceptron", perceptron, CLOTHES, 10, "perceptron", "mlp"),
    Tutorial(
        *("no-hidden-layer", no_hidden_layer, CLOTHES, 10, "no_hidden_layer"),
        "mlp --arguments hidden=[]",
    ),
    Tutorial(
        *("two-hidden-layers", two_hidden_layers, CLOTHES, 10, "two_hidden_layers"),
        "mlp --arguments hidden=[1000,1000]",
    ),
    Tutorial(
        *("perceptron-dropout", perceptron_dropout, CLOTHES, 10, "perceptron_dropout"),
        "mlp --arguments dropout=0.25",
    ),
    Tutorial("perceptron-class", Perceptron, CLOTHES, 10, "Perceptron", "mlp"),
    Tutorial(
        *("perceptron-batchnorm", PerceptronBatchnorm, CLOTHES, 10, "PerceptronBatchnorm"),
        "mlp --arguments batchnorm=true",
    ),
    Tutorial("alexnet", alexnet, WIDE, 10, "alexnet", "alexnet"),
    Tutorial(
        "alexnet-simplified", alexnet_simplified, WIDE, 10, "alexnet_simplified", "alexnet-small"
    ),
    Tutorial("resnet", lambda: resnet, CLOTHES, 10, "resnet", "resnet"),
    Tutorial(
        *("lenet-dropout", lenet_dropout, CLOTHES, 10, "lenet_dropout"),
        *("lenet --arguments dropout=0.5", True),
    ),
    Tutorial("lenet-normalised", lenet_normalised, CLOTHES, 10, "lenet_normalised", "lenet", True),
    Tutorial("lenet-plain", lenet_plain, CLOTHES, 10, "lenet_plain", "lenet-plain"),
    Tutorial("mnist", CNN, CLOTHES, 10, "CNN", "mnist-cnn"),
    Tutorial("xo-base", XO, CROSSES, 2, "XO", "xo"),
    Tutorial(
        *("xo-three-convolutions", XOThree, CROSSES, 2, "XOThree", "xo-three-convolutions"),
    ),
    Tutorial(
        *("xo-no-pooling", lambda: XO(pool=False), CROSSES, 2, "XO --arguments pool=false"),
        "xo --arguments pooling=false",
    ),
    Tutorial(
        *("xo-11-channels", lambda: XO(11), CROSSES, 2, "XO --arguments channels=11"),
        "xo --arguments n_channel=11",
    ),
    Tutorial(
        *("xo-15-channels", lambda: XO(15), CROSSES, 2, "XO --arguments channels=15"),
        "xo --arguments n_channel=15",
    ),
    Tutorial(
        *("xo-third-of-3", lambda: XOThree(3), CROSSES, 2, "XOThree --arguments third=3"),
        "xo-three-convolutions --arguments third=3",
    ),
)


def table() -> str:
    """The networks, and what --architecture is for each, as a Markdown table."""
    rows = [
        [
            each.name,
            "×".join(map(str, each.input)),
            f"`{MODULE}:{each.code}`",
            f"`{each.ours}`" if each.ours else "none has these layers",
        ]
        for each in TUTORIALS
    ]
    return markdown_table(["network", "input", "as code", "as one of Fanlight's"], rows)
