"""MNIST (LeCun et al. 1998) and FashionMNIST (Xiao et al. 2017), which torchvision downloads."""

import math
import struct
from pathlib import Path
from typing import Any

from models.errors import FanlightError
from models.preprocessing import InputSpec
from models.torchvision_import import torchvision
from training.data.datasets import DatasetError, ImageSet, scaled
from training.data.registry import DatasetEntry, register

DIGITS = tuple("0123456789")
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def _read(kind: str, train: bool, root: Path) -> Any:
    """Load a data set of torchvision; raises `DatasetError` if its files are damaged.

    torchvision verifies their checksums only after a download.
    """
    part = "train" if train else "t10k"
    try:
        return getattr(torchvision("datasets"), kind)(root, train=train, download=True)
    except (OSError, FanlightError):
        raise
    except Exception as error:  # whatever its reader meets
        files = sorted((root / kind / "raw").glob(f"{part}-*-ubyte"))
        damaged = [file for file in files if not _is_whole(file)]
        if not damaged:
            raise
        raise DatasetError(
            f"{', '.join(map(str, damaged))}: damaged; remove the folder {damaged[0].parent}, "
            "and it is downloaded anew"
        ) from error


def _is_whole(file: Path) -> bool:
    """Whether a file in the IDX format has as many bytes as its header says."""
    with file.open("rb") as opened:
        magic = opened.read(4)
        if len(magic) < 4 or magic[:3] != b"\0\0\x08" or not magic[3]:
            return False
        sizes = opened.read(4 * magic[3])
    values = math.prod(struct.unpack(f">{len(sizes) // 4}I", sizes[: len(sizes) // 4 * 4]))
    return file.stat().st_size == 4 + 4 * int(magic[3]) + int(values)


def _mnist(train: bool, root: Path, spec: InputSpec) -> ImageSet:
    data = _read("MNIST", train, root)
    return ImageSet(scaled(data.data.numpy(), spec), data.targets, DIGITS)


def _fashion_mnist(train: bool, root: Path, spec: InputSpec) -> ImageSet:
    data = _read("FashionMNIST", train, root)
    return ImageSet(scaled(data.data.numpy(), spec), data.targets, tuple(data.classes))


MNIST = register(
    DatasetEntry(
        name="mnist",
        description="Handwritten digits, white on black.",
        shape=(1, 28, 28),
        labels=DIGITS,
        pictures=(60_000, 10_000),
        source="torchvision's MNIST",
        load=_mnist,
    )
)
FASHION_MNIST = register(
    DatasetEntry(
        name="fashion-mnist",
        description="Pieces of clothing, in the form of MNIST.",
        shape=(1, 28, 28),
        labels=CLOTHES,
        pictures=(60_000, 10_000),
        source="torchvision's FashionMNIST",
        load=_fashion_mnist,
        licence="MIT",
    )
)
