"""Data sets in memory: files → uint8 pixels (N, C, H, W), targets (N,) and labels.

A data set is an image folder, `<root>/<name>/{train,test}/<class>/…` or a folder by its path, or
one that torchvision downloads to the root unless it is there. Every picture goes through
`InputSpec.pixels`, as it does in the service.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
from PIL import Image
from rich.markup import escape
from rich.progress import track
from torch import Tensor

from models.preprocessing import FORMATS, ImageError, InputSpec, decode
from models.vision import torchvision

Split = Literal["train", "test"]


class DatasetError(ValueError):
    """The data set is not there, or not usable; the message says what to do."""


@dataclass(frozen=True)
class ImageSet:
    """`images` uint8 (N, C, H, W), `targets` int64 (N,) in the order of `labels`."""

    images: Tensor
    targets: Tensor
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> Self:
        return replace(self, images=self.images.to(device), targets=self.targets.to(device))

    def subset(self, indices: Tensor) -> Self:
        return replace(self, images=self.images[indices], targets=self.targets[indices])

    def hold_out(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        """Split into (rest, held out) at random, with the same fraction of every class."""
        held_out = torch.zeros(len(self), dtype=torch.bool)
        for target in range(len(self.labels)):
            members = (self.targets == target).nonzero().flatten()
            order = torch.randperm(len(members), generator=generator)
            held_out[members[order[: round(len(members) * fraction)]]] = True
        return self.subset((~held_out).nonzero().flatten()), self.subset(
            held_out.nonzero().flatten()
        )

    def relabel(self, labels: tuple[str, ...]) -> Self:
        """The same pictures with their targets in the order of the given labels.

        Raises `DatasetError` if the set has a label that is not among them.
        """
        if unknown := sorted(set(self.labels) - set(labels)):
            raise DatasetError(
                f"the data set has the labels {', '.join(unknown)}, "
                f"which the model doesn't: it has {', '.join(labels)}"
            )
        order = torch.tensor([labels.index(label) for label in self.labels])
        return replace(self, targets=order[self.targets], labels=labels)


def load(name: str, split: Split, root: Path, spec: InputSpec) -> ImageSet:
    """Read one split of a data set, scaled to the network's input.

    Raises `DatasetError` if it is neither a folder nor can be downloaded.
    """
    folder = next((f for f in (root / name, Path(name)) if (f / split).is_dir()), None)
    if folder is not None:
        return _image_folder(folder / split, spec)
    if name not in _TORCHVISION:
        raise DatasetError(
            f"no data set {name!r}: there is no folder {root / name / split}, and torchvision is "
            f"asked for {', '.join(_TORCHVISION)} only; see --data-root"
        )
    try:
        return _TORCHVISION[name](split == "train", root, spec)
    except (OSError, RuntimeError) as error:
        raise DatasetError(
            f"{name} is not under {root} and could not be downloaded ({error}); "
            "give the folder that holds it as --data-root"
        ) from error


def _image_folder(folder: Path, spec: InputSpec) -> ImageSet:
    labels = tuple(sorted(f.name for f in folder.iterdir() if f.is_dir() and f.name[0] != "."))
    if not labels:
        raise DatasetError(f"{folder} has no folders of pictures, one a class")
    suffixes = {s for s, format in Image.registered_extensions().items() if format in FORMATS}
    files = [
        (path, target)
        for target, label in enumerate(labels)
        for path in sorted((folder / label).rglob("*"))
        if path.suffix.lower() in suffixes
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    images, broken = [], []
    description = f"reading {escape(str(folder))}"
    for path, _ in track(files, description, transient=True, disable=len(files) < 1000):
        try:
            images.append(spec.pixels(decode(path.read_bytes())))
        except ImageError as error:
            broken.append(f"{path}: {error}")
    if broken:
        raise DatasetError("pictures that can't be read:\n  " + "\n  ".join(broken))
    if not images:
        raise DatasetError(f"{folder} has no pictures")
    targets = torch.tensor([target for _, target in files])
    return ImageSet(torch.stack(images), targets, labels)


def _scaled(pictures: Any, spec: InputSpec) -> Tensor:
    """uint8 arrays (N, H, W) or (N, H, W, C) as pictures of the network's input."""
    return torch.stack([spec.pixels(Image.fromarray(picture)) for picture in pictures])


def _fashion_mnist(train: bool, root: Path, spec: InputSpec) -> ImageSet:
    data = torchvision("datasets").FashionMNIST(root, train=train, download=True)
    return ImageSet(_scaled(data.data.numpy(), spec), data.targets, tuple(data.classes))


def _mnist(train: bool, root: Path, spec: InputSpec) -> ImageSet:
    data = torchvision("datasets").MNIST(root, train=train, download=True)
    return ImageSet(_scaled(data.data.numpy(), spec), data.targets, tuple("0123456789"))


def _birds_vs_planes(train: bool, root: Path, spec: InputSpec) -> ImageSet:
    """CIFAR-10's airplanes and birds (Krizhevsky 2009), each in its order.

    Airplanes come first, as in an image folder: a seed means the same with either.
    """
    data = torchvision("datasets").CIFAR10(root, train=train, download=True)
    labels = ("airplane", "bird")
    classes = torch.tensor(data.targets)
    wanted = [data.class_to_idx[label] for label in labels]
    chosen = torch.cat([(classes == each).nonzero().flatten() for each in wanted])
    targets = (classes[chosen] == wanted[1]).long()
    return ImageSet(_scaled(data.data[chosen.numpy()], spec), targets, labels)


_TORCHVISION: dict[str, Callable[[bool, Path, InputSpec], ImageSet]] = {
    "birds-vs-planes": _birds_vs_planes,
    "fashion-mnist": _fashion_mnist,
    "mnist": _mnist,
}
