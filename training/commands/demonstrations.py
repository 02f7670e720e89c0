"""Kinds of `visualize` that show what a network's functions do: saturation, dropout."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from models import features, repositories
from models.architectures import registry
from models.checkpoint import Checkpoint, read_card
from models.errors import FanlightError
from training import plots
from training.activations import dropout, saturation
from training.commands import options
from training.commands.drawing import (
    ImageFile,
    OfModel,
    Shown,
    dataset_of,
    decoded,
    name_of,
    split_seed,
)
from training.data import datasets
from training.data import registry as data_sets
from training.data.files.splits import Split
from training.fitting import predicting
from training.recipes import catalogue


@dataclass(frozen=True, kw_only=True)
class Saturation(OfModel):
    """Where the activation functions of a model are flat, and pass no gradient on."""

    files: tuple[Path, ...] = ()
    """Images to look at; by default pictures of the data set."""
    dataset: Annotated[str | None, data_sets.COMPLETION] = None
    """A data set by name, or a folder of pictures; by default the one that the model was trained
    on."""
    split: Split = "test"
    """Which part of the data set."""
    count: int = 256
    """How many pictures of it, drawn at random."""
    seed: int = 0
    """Decides which pictures."""
    data_root: options.DataRoot = field(default_factory=options.data_root)

    def draw(self) -> Shown:
        loaded = self.load()
        unseen = sorted(saturation.FUNCTIONS & {*loaded.structure.between})
        note = (
            f"not seen: {', '.join(unseen)}, which the network calls between layers as functions"
            if unseen
            else ""
        )
        if not saturation.modules(loaded.network):
            raise features.LayerError(
                f"{name_of(loaded)} has no activation function that is a layer"
                + (f"; {note}: make them modules, such as nn.Tanh()" if unseen else "")
            )
        pictures, of = self._pictures(loaded)
        batches = pictures.to(loaded.device).split(predicting.batch_size(loaded.card.input))
        found = saturation.measure(
            loaded.network, (loaded.card.input.normalize(batch) for batch in batches)
        )
        title = f"{name_of(loaded)} on {of}"
        yield f"saturation-{name_of(loaded)}", plots.saturation(found, title)
        yield saturation.table(found)
        yield saturation.function_table(found)
        if note:
            yield note

    def _pictures(self, loaded: Checkpoint) -> tuple[Tensor, str]:
        """Load the pictures, uint8 (N, C, H, W), and describe them for the title."""
        spec = loaded.card.input
        if self.files:
            images = [spec.pixels(decoded(file)) for file in self.files]
            return torch.stack(images), ", ".join(file.name for file in self.files)
        options.at_least_one(self, "count")
        dataset = dataset_of(loaded, self.dataset)
        images_of = datasets.load(dataset, self.split, self.data_root, spec, split_seed(loaded))
        generator = torch.Generator().manual_seed(self.seed)
        some = torch.randperm(len(images_of), generator=generator)[: self.count]
        return images_of.images[some], f"{len(some):,} pictures of {dataset} ({self.split})"


@dataclass(frozen=True, kw_only=True)
class Dropout(OfModel):
    """What a model's dropout layers do to a picture: in training, drawn anew each time, and in
    evaluation."""

    file: ImageFile
    draws: int = 200
    """How often dropout is drawn."""
    seed: int = 0
    """Decides what is dropped."""

    def draw(self) -> Shown:
        options.at_least_one(self, "draws")
        image, loaded = decoded(self.file), self.load()
        if not dropout.modules(loaded.network):
            raise features.LayerError(f"{name_of(loaded)} has no dropout layer; {self._others()}")
        batch = loaded.card.input.normalize(loaded.card.input.pixels(image)[None].to(loaded.device))
        found = dropout.demonstrate(loaded.network, batch, self.draws, self.seed)
        title = f"{name_of(loaded)} on {self.file.name}"
        drawn = plots.dropout(found, loaded.card.labels, title)
        yield f"dropout-{name_of(loaded)}-{self.file.stem}", drawn
        for layer in found.layers:
            yield dropout.layer_table(layer)
        yield dropout.probability_table(found, loaded.card.labels)

    def _others(self) -> str:
        """Name models and recipes whose networks have dropout."""
        models = [name for name in repositories.names(self.repository) if self._has_dropout(name)]
        recipes = [
            name
            for name, entry in catalogue.CATALOGUE.items()
            if _drops(entry.recipe.architecture, entry.recipe.arguments)
        ]
        return (
            f"models that have one: {', '.join(models) or 'none'}; "
            f"recipes that train one: {', '.join(recipes)} (fanlight fit {recipes[0]})"
        )

    def _has_dropout(self, name: str) -> bool:
        """Return whether a model has dropout; False for a model that can't be loaded.

        For an architecture of Fanlight the card is enough, and the model is not loaded.
        """
        try:
            card = read_card(repositories.find(self.repository, name))
            if card.architecture in registry.names():
                return _drops(card.architecture, card.arguments)
            return bool(dropout.modules(replace(self, model=name, version=None).load().network))
        except FanlightError:
            return False


def _drops(architecture: str, arguments: Mapping[str, Any]) -> bool:
    """Return whether an architecture of Fanlight has dropout; False for any other architecture."""
    if architecture not in registry.names():
        return False
    with torch.device("meta"):
        return bool(dropout.modules(registry.architecture(architecture).build(2, **arguments)))
