"""Shared parts of the kinds of `visualize`: options of a model, and the output to write or
print."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from PIL import Image
from rich.table import Table
from typing_extensions import Doc

from models import devices, repositories
from models.checkpoint import Checkpoint
from models.images import formats as image_formats
from models.preprocessing import ImageError, decode
from training.commands import options
from training.data import datasets

ImageFile = Annotated[Path, options.Positional(), Doc(f"An image: {image_formats.readable()}.")]
Drawing = tuple[str, bytes]
"""The name of a picture, without its ending, and its PNG."""
Shown = Iterator[Drawing | Table | str]
"""Pictures to write, and tables and lines to print."""


@dataclass(frozen=True, kw_only=True)
class OfModel:
    """What pictures of a model take."""

    model: options.ModelName
    """The model's name in the repository."""
    version: int | None = None
    """Its version; by default the highest."""
    repository: options.Repositories = field(default_factory=options.readable_repositories)
    architectures: options.Architectures = field(default_factory=options.architectures)
    device: options.Device = "auto"

    def load(self) -> Checkpoint:
        device, permission = devices.resolve(self.device), options.permission(self.architectures)
        return repositories.load_named(
            self.repository, self.model, self.version, device, permission
        )


def name_of(loaded: Checkpoint) -> str:
    return f"{loaded.card.name}/{loaded.card.version}"


def dataset_of(loaded: Checkpoint, given: str | None) -> str:
    """Return the given data set, or the one of the training; raises `DatasetError` without
    either."""
    training = loaded.card.training
    dataset = given if given is not None or training is None else training.dataset
    if dataset is None:
        raise datasets.DatasetError(
            f"the card of {name_of(loaded)} names no data set; give one as --dataset"
        )
    return dataset


def split_seed(loaded: Checkpoint) -> int:
    """Return the seed that splits a folder into training and test pictures as the training did."""
    return loaded.card.training.seed if loaded.card.training else 0


def decoded(file: Path) -> Image.Image:
    """Read and decode an image; raises `ImageError` with the file's name, or `OSError`."""
    try:
        return decode(file.read_bytes())
    except ImageError as error:
        raise ImageError(f"{file}: {error}") from error
