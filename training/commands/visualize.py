"""`visualize`: data sets, pictures, trainings and networks → plots as PNG files."""

import re
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from models import features, files, repositories
from models.checkpoint import read_card
from models.convolutional import class_map
from models.convolutional.errors import NotConvolutionalError
from models.features import Layer
from models.preprocessing import InputSpec
from models.registry import Completion, listed
from models.structure import receptive_field
from training import plots
from training.commands import options
from training.commands.demonstrations import Dropout, Saturation
from training.commands.drawing import (
    ImageFile,
    OfModel,
    Shown,
    dataset_of,
    decoded,
    name_of,
    split_seed,
)
from training.data import corner, datasets
from training.data import registry as data_sets
from training.data.files import sources
from training.data.files.splits import Split
from training.fitting import evaluation, predicting
from training.fitting.records.run_folder import Run, RunError
from training.recipes import auto, catalogue

MAX_LAYERS = 48  # in one picture


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Ten random pictures of each class of a data set, a row per class."""

    name: Annotated[str, options.Positional(), data_sets.COMPLETION]
    """A data set by name, or a folder of pictures."""
    split: Split = "train"
    """Which part of the data set."""
    seed: int = 0
    """Decides which pictures, and the split of a folder that has none."""
    data_root: options.DataRoot = field(default_factory=options.data_root)

    def draw(self) -> Shown:
        spec = _own_input(self.name, self.data_root)
        images = datasets.load(self.name, self.split, self.data_root, spec, self.seed)
        title = f"{self.name} ({self.split}, {len(images):,} pictures)"
        if images.left_out:
            title += f"; {len(images.left_out):,} files are left out"
        generator = torch.Generator().manual_seed(self.seed)
        name = Path(self.name).resolve().name if Path(self.name).is_dir() else self.name
        yield f"dataset-{name}-{self.split}", plots.samples(images, title, generator)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """How a picture becomes numbers, and its classical features: histograms, gradients, edges."""

    file: ImageFile
    row: int = 0
    """Where the 3×3 pixels lie whose numbers are shown, counted from the top."""
    column: int = 0
    """The same, from the left."""
    model: Annotated[str | None, Completion(options.model_names)] = None
    """A model whose input these pixels are of; by default they are of the picture as it was sent,
    divided by 255."""
    repository: options.Repositories = field(default_factory=options.readable_repositories)

    def draw(self) -> Shown:
        image, name = decoded(self.file), self.file.name
        found = self._corner(image)
        shown = plots.representation(image, name, found)
        yield f"picture-{self.file.stem}-representation", shown
        yield f"picture-{self.file.stem}-features", plots.classical(image, name)
        yield found.table()

    def _corner(self, image: Image.Image) -> corner.Corner:
        if self.model is not None:
            card = read_card(repositories.find(self.repository, self.model))
            pixels, spec = card.input.pixels(image), card.input
            of = f"the input of {card.name}/{card.version}, {spec.height} × {spec.width}"
        else:
            array = np.atleast_3d(np.asarray(image))  # (H, W, C)
            pixels = torch.from_numpy(array.copy()).permute(2, 0, 1)
            spec = InputSpec.model_validate({"channels": len(pixels), "height": 1, "width": 1})
            of = f"the picture, {image.height} × {image.width}"
        return corner.cut(pixels, spec, self.row, self.column, of)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Loss and accuracy of a training over its epochs, also while it runs."""

    run: Annotated[Path, options.Positional()]
    """A run folder: `fit` prints its path."""

    def draw(self) -> Shown:
        run = Run(self.run)
        try:
            history = run.history()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(
                f"{self.run} holds no history.csv: give a run folder, as fit prints it, in which "
                "an epoch has ended"
            ) from error
        recipe, result = run.recipe() or {}, run.result() or {}
        selected = next((e for e in history if e.number == result.get("selected_epoch")), None)
        name = recipe.get("name", self.run.resolve().name)
        title = f"{name}, seed {recipe['seed']}" if "seed" in recipe else name
        drawn = plots.curves(history, title, selected, run.steps())
        yield f"curves-{name}-{self.run.resolve().name}", drawn


@dataclass(frozen=True, kw_only=True)
class Confusion(OfModel):
    """The confusion matrix of a model on a data set."""

    dataset: Annotated[str | None, data_sets.COMPLETION] = None
    """A data set by name, or a folder of pictures; by default the one that the model was trained
    on."""
    split: Split = "test"
    """Which part of the data set."""
    data_root: options.DataRoot = field(default_factory=options.data_root)

    def draw(self) -> Shown:
        loaded = self.load()
        card = loaded.card
        dataset, seed = dataset_of(loaded, self.dataset), split_seed(loaded)
        images = datasets.load(dataset, self.split, self.data_root, card.input, seed)
        images = images.relabel(card.labels).to(loaded.device)
        logits = predicting.predict(loaded.network, images, card.input)
        result = evaluation.score(logits.cpu(), images.targets.cpu(), card.labels)
        title = (
            f"{name_of(loaded)} on {dataset} ({self.split}, {len(images):,} pictures): "
            f"accuracy {result.accuracy:.4f}"
        )
        yield f"confusion-{name_of(loaded)}", plots.confusion(result, title)


@dataclass(frozen=True, kw_only=True)
class Weights(OfModel):
    """Histograms of a model's weights and biases, one a tensor."""

    def draw(self) -> Shown:
        loaded = self.load()
        parameters = dict(loaded.network.named_parameters())
        if not parameters:
            raise features.LayerError(f"{name_of(loaded)} has no parameters to draw")
        title = f"{name_of(loaded)}, {loaded.card.parameters:,} parameters"
        yield f"weights-{name_of(loaded)}", plots.histograms(parameters, title)


@dataclass(frozen=True, kw_only=True)
class Kernels(OfModel):
    """The kernels of a model's convolutions; of one without any, what its first layer looks for.

    All kernels are drawn. A layer whose kernels need more than 3,600 pixels across or down, at 3
    pixels a weight, gets several files: name.png, name-2.png, …
    """

    layer: str | None = None
    """A convolution or linear layer; by default each convolution, a file each."""

    def draw(self) -> Shown:
        loaded = self.load()
        there = {layer.name: layer for layer in loaded.layers if layer.kernels is not None}
        if not there or self.layer not in (None, *there):
            wanted = "" if self.layer is None else f" {self.layer!r}"
            raise features.LayerError(
                f"{name_of(loaded)} has no convolution or linear layer{wanted}; "
                f"there are: {listed(list(there))}"
            )
        convolutions = [name for name, layer in there.items() if layer.is_convolution]
        first = next(iter(there))
        for name in [self.layer] if self.layer is not None else convolutions or [first]:
            weight = features.kernels(loaded.network, there[name])
            title, file = f"{name_of(loaded)}, layer {name}", f"kernels-{name_of(loaded)}-{name}"
            # of the last layer, whose outputs are the classes
            labels = loaded.card.labels if name == features.embedding_layer(loaded.layers) else ()
            if weight.ndim != 4:
                yield file, plots.matrix(weight, title, labels)
                continue
            for number, page in enumerate(plots.kernels(weight, title, labels), start=1):
                yield f"{file}-{number}" if number > 1 else file, page


@dataclass(frozen=True, kw_only=True)
class Features(OfModel):
    """What every layer of a model makes of a picture, from low to high level."""

    file: ImageFile
    layers: tuple[str, ...] = ()
    """Some layers; by default all, or evenly some of more than 48."""

    def draw(self) -> Shown:
        image, loaded = decoded(self.file), self.load()
        card, network = loaded.card, loaded.network
        picture = card.input.pixels(image)
        names = self.layers or [layer.name for layer in loaded.layers]
        title = f"{name_of(loaded)} on {self.file.name}"
        if not self.layers and len(names) > MAX_LAYERS:
            steps = torch.linspace(0, len(names) - 1, MAX_LAYERS).round().int().tolist()
            title += f" ({MAX_LAYERS} of {len(names)} layers)"
            names = [names[step] for step in steps]
        known = loaded.structure
        taken = features.capture(network, names, known.layers, known.blocks)
        with taken as activations, torch.inference_mode():
            logits = network(card.input.normalize(picture[None].contiguous().to(loaded.device)))
        scores = dict(zip(card.labels, logits[0].float().softmax(0).tolist(), strict=True))
        label = max(scores, key=lambda label: scores[label])
        outputs, embedding_of = known.outputs(), features.embedding_layer(loaded.layers)
        fields = receptive_field.measure(
            network,
            card.input.shape,
            [each for n, each in outputs.items() if n in (*activations, embedding_of)],
        )

        def named(name: str) -> str:
            output = outputs.get(name)
            kinds = [output.type] if output and output.type else []
            if output and output.calls > 1:
                kinds.append(f"last of {output.calls} calls")
            return f"{name} ({', '.join(kinds)})" if kinds else name

        yield (
            f"features-{name_of(loaded)}-{self.file.stem}",
            plots.feature_maps(
                picture,
                scores,
                {named(n): _shown(outputs.get(n), value)[0] for n, value in activations.items()},
                f"{title}: {label} {scores[label]:.3f}",
                {named(name): field for name, field in fields.items()},
                [named(name) for name, value in activations.items() if _is(value, logits)],
            ),
        )
        yield from known.unseen


@dataclass(frozen=True, kw_only=True)
class ClassMap(OfModel):
    """Which class a model sees where in a picture of any size: labels in colours, heat a class."""

    file: ImageFile
    step: int | None = None
    """Pixels between two places of the map, as far as the network's stride can be divided; by
    default an eighth of its input, or more where that would take seconds."""

    def draw(self) -> Shown:
        image, loaded = decoded(self.file), self.load()
        options.at_least_one(self, "step")
        form, trust = loaded.structure.form, loaded.trust
        if form is None:
            raise NotConvolutionalError(
                f"a class map needs {loaded.structure.lacks}, and {name_of(loaded)} has none"
            )
        found = class_map.class_map(
            form,
            image,
            loaded.card.input,
            trust.probabilities if trust else partial(torch.softmax, dim=1),
            device=loaded.device,
            step=self.step,
            second_look=trust.second_look if trust else None,
        )
        title = f"{name_of(loaded)} on {self.file.name}"
        title += "".join(f". {change.removesuffix('.')}" for change in found.picture.changes)
        yield (
            f"class-map-{name_of(loaded)}-{self.file.stem}",
            plots.class_map(found, loaded.card.labels, title),
        )
        yield from (*loaded.structure.windowed, *found.picture.changes)


@dataclass(frozen=True)
class Visualize:
    """Plot data, training curves, weights and feature maps as PNG files."""

    what: (
        Dataset
        | Picture
        | Curves
        | Confusion
        | Weights
        | Kernels
        | Features
        | ClassMap
        | Saturation
        | Dropout
    )
    output: Path = Path("pictures")
    """The folder that the files are written to."""

    def __call__(self, console: Console) -> None:
        for shown in self.what.draw():
            if not isinstance(shown, tuple):
                if isinstance(shown, Table):  # as wide as it is: half a figure is none
                    wide = console.options.update(width=1000)
                    shown.width = console.measure(shown, options=wide).maximum
                console.print(shown, highlight=False)
                continue
            name, content = shown
            files.make_folder(self.output)
            path = self.output / (re.sub(r"[^\w.-]+", "-", name) + ".png")
            files.write(path, content)
            console.print(str(path))


def _shown(layer: Layer | None, activation: Tensor) -> Tensor:
    """Return the activation (N, …), as feature maps (N, C, H, W) if the layer has any."""
    return activation if layer is None or layer.maps is None else features.maps(layer, activation)


def _is(activation: Tensor, logits: Tensor) -> bool:
    """Whether an activation is the logits, with a value a class."""
    return activation.shape == logits.shape and torch.equal(activation, logits)


def _own_input(dataset: str, root: Path) -> InputSpec:
    """Return the input with which a data set is drawn: the smallest of the recipes for it.

    A registered data set without a recipe has its own input.
    """
    recipes = [entry.recipe for entry in catalogue.CATALOGUE.values()]
    known = [recipe for recipe in recipes if dataset in sources.parts(recipe.dataset)]
    if not known and dataset in data_sets.DATASETS and sources.source_of(dataset, root) is None:
        return data_sets.DATASETS.get(dataset).input
    complete = [
        auto.fill_input(auto.fill_start(recipe, root)[0], root)
        for recipe in known or [replace(catalogue.OWN, dataset=dataset)]
    ]
    return min((recipe.input for recipe in complete), key=lambda spec: spec.height * spec.width)
