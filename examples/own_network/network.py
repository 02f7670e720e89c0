"""A network in plain torch, trained by a loop of its own. It knows nothing of Fanlight."""

import torch
from torch import Tensor, nn


class Stripes(nn.Module):
    """Tells apart which way stripes run, in grey images of 16×16 pixels."""

    def __init__(self, num_classes: int = 2, channels: int = 4) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, channels, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(channels * 7 * 7, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x).flatten(1))
        return logits


def images(count: int) -> tuple[Tensor, Tensor]:
    """Stripes of random phase and width (N, 1, 16, 16) in [0, 1], and whether they stand (N)."""
    standing = torch.randint(0, 2, (count,))
    phase, width = torch.rand(count, 1, 1) * 6, 0.5 + torch.rand(count, 1, 1)
    across = torch.sin(torch.arange(16.0).expand(count, 16, 16) * width + phase) / 2 + 0.5
    return torch.where(standing[:, None, None] == 1, across, across.mT)[:, None], standing


if __name__ == "__main__":
    torch.manual_seed(0)
    network = Stripes()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(200):
        batch, targets = images(64)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch), targets).backward()
        optimizer.step()
    torch.save(network.state_dict(), "stripes.pt")
