"""Networks small enough to train and serve in a test, and the files that tests feed them."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from models import checkpoint
from models.architectures.registry import register
from models.checkpoint import Card
from models.preprocessing import InputSpec

DATA = Path(__file__).parent / "data"
SPEC = InputSpec(channels=3, height=8, width=8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
LABELS = ("blue", "green", "red")


class Tiny(nn.Module):
    """A convolution, a pooling over the whole picture and a linear layer: 3×8×8 to logits."""

    def __init__(self, num_classes: int, n_channel: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, n_channel, kernel_size=3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(n_channel, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv(x)))  # (N, 4, 1, 1)
        logits: Tensor = self.fc(x.flatten(1))
        return logits


@register("tiny", SPEC)
def tiny(num_classes: int = 3, n_channel: int = 4) -> Tiny:
    return Tiny(num_classes, n_channel)


def publish_tiny(repository: Path, name: str = "colors", seed: int = 0, **card: Any) -> Card:
    """Publish a `Tiny` with seeded random weights as the next version."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Tiny(len(LABELS))
    arguments = {"architecture": "tiny", "labels": LABELS, "input": SPEC, **card}
    return checkpoint.publish(repository, network, name=name, **arguments)


def picture(seed: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    """A colour picture of seeded noise."""
    levels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(levels)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """The picture as the bytes of a file."""
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, each a kind and its content, with their check sums."""
    encoded = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks:
        checksum = zlib.crc32(kind + content)
        encoded += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    return encoded


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header says that size, and that has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png((b"IHDR", header), (b"IEND", b""))
