"""The workloads of the benchmark, on networks with seeded random weights.

Such networks are as fast as trained ones.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from models import checkpoint
from models.architectures import registry

BOUNDARY = "fanlight-benchmark"


@dataclass(frozen=True)
class Workload:
    """Requests with `images` copies of an image each, over `connections` connections."""

    name: str
    about: str
    model: str
    image: bytes
    media_type: str
    images: int
    connections: int

    @property
    def multipart(self) -> tuple[bytes, str]:
        """The body and its Content-Type."""
        suffix = self.media_type.removeprefix("image/")
        part = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; '
            f'filename="a.{suffix}"\r\nContent-Type: {self.media_type}\r\n\r\n'
        ).encode()
        body = b"".join(part + self.image + b"\r\n" for _ in range(self.images))
        return body + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


def publish(repository: Path) -> None:
    """Publish the networks of the workloads, each under its architecture's name."""
    for architecture, classes in (("mnist-cnn", 10), ("birdplane-batchnorm", 2), ("xo", 2)):
        _publish(repository, architecture, architecture, classes, seed=0)


def publish_many(repository: Path, count: int) -> None:
    """Publish `count` networks of the first workload, each with weights of its own."""
    for seed in range(count):
        _publish(repository, f"model-{seed}", "mnist-cnn", 10, seed)


def _publish(repository: Path, name: str, architecture: str, classes: int, seed: int) -> None:
    known = registry.architecture(architecture)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = known.build(classes)
    checkpoint.publish(
        repository,
        network,
        name=name,
        architecture=architecture,
        labels=[str(label) for label in range(classes)],
        input=known.input_for({}),
    )


def workloads() -> list[Workload]:
    small, photo, sign = _clothes(), _photograph(), _cross()
    return [
        Workload("W1", "a 28×28 PNG a request", "mnist-cnn", small, "image/png", 1, 64),
        Workload("W2", "64 of them a request", "mnist-cnn", small, "image/png", 64, 8),
        Workload(
            "W3", "a 1280×720 JPEG a request", "birdplane-batchnorm", photo, "image/jpeg", 1, 16
        ),
        Workload("W4", "a 116×116 PNG a request", "xo", sign, "image/png", 1, 64),
    ]


def _encoded(image: Image.Image, format: str) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def _clothes() -> bytes:
    """A PNG of about 600 bytes, as those of FashionMNIST are: a textured shape on black."""
    levels = np.zeros((28, 28), np.uint8)
    noise = np.random.default_rng(0).integers(150, 255, (24, 18), dtype=np.uint8)
    levels[2:26, 5:23] = noise
    return _encoded(Image.fromarray(levels), "PNG")


def _photograph() -> bytes:
    """A JPEG of soft shapes with grain, about as large as a photograph's."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (36, 64, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((1280, 720), Image.Resampling.BICUBIC)
    grain = generator.integers(-12, 12, (720, 1280, 3))
    grainy = np.clip(np.asarray(image, np.int16) + grain, 0, 255).astype(np.uint8)
    return _encoded(Image.fromarray(grainy).filter(ImageFilter.SMOOTH), "JPEG")


def _cross() -> bytes:
    levels = np.full((116, 116), 255, np.uint8)
    for offset in range(-2, 3):
        for i in range(20, 96):
            levels[i, np.clip(i + offset, 0, 115)] = 0
            levels[i, np.clip(115 - i + offset, 0, 115)] = 0
    return _encoded(Image.fromarray(levels), "PNG")
