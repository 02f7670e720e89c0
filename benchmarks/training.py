"""An epoch of birds-vs-planes' base network, Fanlight's way against the usual way, in one run.

    python -m benchmarks.training

The usual way is a `DataLoader` over a list of (float tensor, label) pairs, tanh before pooling, and
`loss.item()` after every step. Both train 10,000 pictures in batches of 64 with the same gradient
steps on the same threads, in turn, so that a machine whose speed drifts slows both. Pictures are
noise: their content doesn't change the time.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from training.data.datasets import ImageSet
from training.fitting import loop, state
from training.recipes import catalogue

PICTURES = 10_000
RECIPE = catalogue.recipe("birds-vs-planes-base")


class UsualNet(nn.Module):
    """The network as it was first described."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 8, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(8 * 8 * 8, 32)
        self.fc2 = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        out = F.max_pool2d(torch.tanh(self.conv1(x)), 2)
        out = F.max_pool2d(torch.tanh(self.conv2(out)), 2)
        out = torch.tanh(self.fc1(out.view(-1, 8 * 8 * 8)))
        logits: Tensor = self.fc2(out)
        return logits


class UsualWay:
    def __init__(self, images: ImageSet) -> None:
        pairs = [
            (x.float() / 255, int(y)) for x, y in zip(images.in_memory, images.targets, strict=True)
        ]
        self._loader: DataLoader[tuple[Tensor, int]] = DataLoader(
            pairs,  # type: ignore[arg-type]  # a list is a data set to DataLoader
            batch_size=RECIPE.batch_size,
            shuffle=True,
        )
        self._network = UsualNet()
        self._optimizer = torch.optim.SGD(self._network.parameters(), lr=0.01)  # the recipe's

    def epoch(self) -> None:
        total = 0.0
        for batch, targets in self._loader:
            loss = F.cross_entropy(self._network(batch), targets)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            total += loss.item()


class FanlightsWay:
    def __init__(self, images: ImageSet) -> None:
        self._images = images
        generator = torch.Generator().manual_seed(0)
        device = torch.device("cpu")
        self._training = state.Training(RECIPE, images, RECIPE.input, device, generator)

    def epoch(self) -> None:
        loop.train_one_epoch(self._training, self._images, RECIPE.input)


def seconds(way: UsualWay | FanlightsWay) -> float:
    started = time.perf_counter()
    way.epoch()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--epochs", type=int, default=7, help="measured epochs of each (default 7)")
    epochs = parser.parse_args().epochs
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (PICTURES, 3, 32, 32), dtype=torch.uint8)
    images = ImageSet(pixels, torch.randint(0, 2, (PICTURES,)), ("airplane", "bird"))
    usual, fanlight = UsualWay(images), FanlightsWay(images)
    seconds(usual), seconds(fanlight)  # warm-up
    pairs = [(seconds(usual), seconds(fanlight)) for _ in range(epochs)]
    ratios = sorted(u / f for u, f in pairs)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {epochs} epochs of each")
    print(f"usual way   {statistics.median(u for u, _ in pairs):.2f} s an epoch (median)")
    print(f"Fanlight    {statistics.median(f for _, f in pairs):.2f} s an epoch (median)")
    print(f"ratio       {statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
