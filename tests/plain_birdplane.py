"""A program of its own, in plain PyTorch and without Fanlight, that saves a state_dict.

    python plain_birdplane.py PICTURE FOLDER

It builds the birds-vs-planes network with batch normalisation as it was first described, with tanh
before pooling, runs a 32×32 picture through it, and writes weights.pt and logits.pt to the folder.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, n_channel: int = 32) -> None:
        super().__init__()
        self.n_channel = n_channel
        self.conv1 = nn.Conv2d(3, n_channel, kernel_size=3, padding=1)
        self.conv1_batchnorm = nn.BatchNorm2d(n_channel)
        self.conv2 = nn.Conv2d(n_channel, n_channel // 2, kernel_size=3, padding=1)
        self.conv2_batchnorm = nn.BatchNorm2d(n_channel // 2)
        self.fc1 = nn.Linear(8 * 8 * n_channel // 2, 32)
        self.fc2 = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        out = F.max_pool2d(torch.tanh(self.conv1_batchnorm(self.conv1(x))), 2)
        out = F.max_pool2d(torch.tanh(self.conv2_batchnorm(self.conv2(out))), 2)
        out = torch.tanh(self.fc1(out.view(-1, 8 * 8 * self.n_channel // 2)))
        logits: Tensor = self.fc2(out)
        return logits


if __name__ == "__main__":
    image, folder = Path(sys.argv[1]), Path(sys.argv[2])
    torch.manual_seed(7)
    net = Net()
    net(torch.rand(64, 3, 32, 32))  # so that the running statistics are not those of a new network
    net.eval()
    pixels = torch.from_numpy(np.array(Image.open(image).convert("RGB"))).permute(2, 0, 1)
    with torch.no_grad():
        torch.save(net(pixels.unsqueeze(0).float() / 255), folder / "logits.pt")
    torch.save(net.state_dict(), folder / "weights.pt")
