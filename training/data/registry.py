"""Data sets by name: what they hold, where they come from, and how they are loaded.

Each module of `training/data/sets` registers one `DatasetEntry` or several. A folder of pictures
needs no entry; see `training/data/datasets.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from models.preprocessing import InputSpec
from models.registry import Completion, Parameters, Registry

if TYPE_CHECKING:
    from training.data.datasets import ImageSet


@dataclass(frozen=True)
class DatasetEntry:
    """A data set that is downloaded or drawn.

    `shape` is (C, H, W) of a picture, and `pictures` their number in (train, test). `source` says
    where they come from; `licence` is None if it is not known. `load(train, root, spec)` reads one
    split, scaled to the network's input; it raises `OSError` or `RuntimeError` if the files are
    missing and can't be downloaded. `version_of` is the name of a data set that has the same
    pictures in another form and the same order: both versions of a picture are held out, or
    neither.
    """

    name: str
    description: str
    shape: tuple[int, int, int]
    labels: tuple[str, ...]
    pictures: tuple[int, int]
    source: str
    load: Callable[[bool, Path, InputSpec], "ImageSet"]
    licence: str | None = None
    version_of: str | None = None
    parameters: Parameters = field(default_factory=dict)

    @property
    def input(self) -> InputSpec:
        """The input that takes the pictures as they are, neither scaled nor normalised."""
        channels, height, width = self.shape
        return InputSpec.model_validate({"channels": channels, "height": height, "width": width})


DATASETS = Registry[DatasetEntry]("data set", package="training.data.sets")
COMPLETION = Completion(DATASETS.names, or_folder=True)


def register(entry: DatasetEntry) -> DatasetEntry:
    """Add a data set; raises `ValueError` if its name is taken."""
    return DATASETS.register(entry, stacklevel=2)


def describe() -> str:
    """The help of options that take a data set."""
    return (
        f"A data set by name ({', '.join(DATASETS.names())}), a folder of pictures, or several of "
        'them joined by " + ".'
    )


def table() -> str:
    """The data sets as a Markdown table."""
    return DATASETS.table(
        {
            "data set": lambda each: f"`{each.name}`",
            "what it is": lambda each: each.description,
            "pictures": lambda each: "×".join(map(str, each.shape)),
            "classes": lambda each: str(len(each.labels)),
            "train, test": lambda each: " + ".join(f"{count:,}" for count in each.pictures),
            "from": lambda each: each.source,
            "licence": lambda each: "not stated" if each.licence is None else each.licence,
        }
    )
