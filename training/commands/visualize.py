"""`visualize`: what goes in, what comes out and what lies between → PNG files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
from PIL import Image
from rich.console import Console
from torch import Tensor
from typing_extensions import Doc

from models import devices, features, files, repositories
from models.checkpoint import Checkpoint
from models.features import Layer
from models.images import formats as image_formats
from models.preprocessing import ImageError, InputSpec, decode
from models.structure import receptive_field
from training import plots
from training.commands import options
from training.data import datasets
from training.data import registry as data_sets
from training.data.files import sources
from training.data.files.splits import Split
from training.fitting import evaluation, loop
from training.fitting.run_folder import Run, RunError
from training.recipes import auto, catalogue

MAX_LAYERS = 48  # in one picture
ImageFile = Annotated[Path, options.Positional(), Doc(f"An image: {image_formats.readable()}.")]


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

    def draw(self) -> Iterator[tuple[str, bytes]]:
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

    def draw(self) -> Iterator[tuple[str, bytes]]:
        image, name = _decoded(self.file), self.file.name
        yield f"picture-{self.file.stem}-representation", plots.representation(image, name)
        yield f"picture-{self.file.stem}-features", plots.classical(image, name)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Loss and accuracy of a training over its epochs, also while it runs."""

    run: Annotated[Path, options.Positional()]
    """A run folder: `fit` prints its path."""

    def draw(self) -> Iterator[tuple[str, bytes]]:
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
        yield f"curves-{name}-{self.run.resolve().name}", plots.curves(history, title, selected)


@dataclass(frozen=True, kw_only=True)
class _OfModel:
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


@dataclass(frozen=True, kw_only=True)
class Confusion(_OfModel):
    """The confusion matrix of a model on a data set."""

    dataset: Annotated[str | None, data_sets.COMPLETION] = None
    """A data set by name, or a folder of pictures; by default the one that the model was trained
    on."""
    split: Split = "test"
    """Which part of the data set."""
    data_root: options.DataRoot = field(default_factory=options.data_root)

    def draw(self) -> Iterator[tuple[str, bytes]]:
        loaded = self.load()
        card = loaded.card
        dataset = self.dataset
        if dataset is None and card.training is not None:
            dataset = card.training.dataset
        if dataset is None:
            raise datasets.DatasetError(
                f"the card of {_name(loaded)} names no data set; give one as --dataset"
            )
        seed = card.training.seed if card.training else 0
        images = datasets.load(dataset, self.split, self.data_root, card.input, seed)
        images = images.relabel(card.labels).to(loaded.device)
        logits = loop.predict(loaded.network, images, card.input)
        result = evaluation.score(logits.cpu(), images.targets.cpu(), card.labels)
        title = (
            f"{_name(loaded)} on {dataset} ({self.split}, {len(images):,} pictures): "
            f"accuracy {result.accuracy:.4f}"
        )
        yield f"confusion-{_name(loaded)}", plots.confusion(result, title)


@dataclass(frozen=True, kw_only=True)
class Weights(_OfModel):
    """Histograms of a model's weights and biases, one a tensor."""

    def draw(self) -> Iterator[tuple[str, bytes]]:
        loaded = self.load()
        parameters = dict(loaded.network.named_parameters())
        if not parameters:
            raise features.LayerError(f"{_name(loaded)} has no parameters to draw")
        title = f"{_name(loaded)}, {loaded.card.parameters:,} parameters"
        yield f"weights-{_name(loaded)}", plots.histograms(parameters, title)


@dataclass(frozen=True, kw_only=True)
class Kernels(_OfModel):
    """The kernels of a model's convolutions; of one without any, what its first layer looks for.

    All kernels are drawn. A layer whose kernels need more than 3,600 pixels across or down, at 3
    pixels a weight, gets several files: name.png, name-2.png, …
    """

    layer: str | None = None
    """A convolution or linear layer; by default each convolution, a file each."""

    def draw(self) -> Iterator[tuple[str, bytes]]:
        loaded = self.load()
        there = {layer.name: layer for layer in loaded.layers if layer.kernels is not None}
        if not there or self.layer not in (None, *there):
            wanted = "" if self.layer is None else f" {self.layer!r}"
            raise features.LayerError(
                f"{_name(loaded)} has no convolution or linear layer{wanted}; "
                f"there are: {', '.join(there) or 'none'}"
            )
        convolutions = [name for name, layer in there.items() if layer.is_convolution]
        first = next(iter(there))
        for name in [self.layer] if self.layer is not None else convolutions or [first]:
            weight = features.kernels(loaded.network, there[name])
            title, file = f"{_name(loaded)}, layer {name}", f"kernels-{_name(loaded)}-{name}"
            # of the last layer, whose outputs are the classes
            labels = loaded.card.labels if name == features.embedding_layer(loaded.layers) else ()
            if weight.ndim != 4:
                yield file, plots.matrix(weight, title, labels)
                continue
            for number, page in enumerate(plots.kernels(weight, title, labels), start=1):
                yield f"{file}-{number}" if number > 1 else file, page


@dataclass(frozen=True, kw_only=True)
class Features(_OfModel):
    """What every layer of a model makes of a picture, from low to high level."""

    file: ImageFile
    layers: tuple[str, ...] = ()
    """Some layers; by default all, or evenly some of more than 48."""

    def draw(self) -> Iterator[tuple[str, bytes]]:
        image, loaded = _decoded(self.file), self.load()
        card, network = loaded.card, loaded.network
        picture = card.input.pixels(image)
        names = self.layers or [layer.name for layer in loaded.layers]
        title = f"{_name(loaded)} on {self.file.name}"
        if not self.layers and len(names) > MAX_LAYERS:
            steps = torch.linspace(0, len(names) - 1, MAX_LAYERS).round().int().tolist()
            title += f" ({MAX_LAYERS} of {len(names)} layers)"
            names = [names[step] for step in steps]
        with features.capture(network, names, loaded.layers) as activations, torch.inference_mode():
            logits = network(card.input.normalize(picture[None].contiguous().to(loaded.device)))
        scores = dict(zip(card.labels, logits[0].float().softmax(0).tolist(), strict=True))
        label = max(scores, key=lambda label: scores[label])
        known, embedding_of = loaded.structure.outputs(), features.embedding_layer(loaded.layers)
        fields = receptive_field.measure(
            network,
            card.input.shape,
            [each for n, each in known.items() if n in (*activations, embedding_of)],
        )

        def named(name: str) -> str:
            kind = known[name].type if name in known else ""
            return f"{name} ({kind})" if kind else name

        yield (
            f"features-{_name(loaded)}-{self.file.stem}",
            plots.feature_maps(
                picture,
                scores,
                {named(n): _shown(known.get(n), value)[0] for n, value in activations.items()},
                f"{title}: {label} {scores[label]:.3f}",
                {named(name): field for name, field in fields.items()},
                [named(name) for name, value in activations.items() if _is(value, logits)],
            ),
        )


@dataclass(frozen=True)
class Visualize:
    """Plot data, training curves, weights and feature maps as PNG files."""

    what: Dataset | Picture | Curves | Confusion | Weights | Kernels | Features
    output: Path = Path("pictures")
    """The folder that the files are written to."""

    def __call__(self, console: Console) -> None:
        for name, content in self.what.draw():
            files.make_folder(self.output)
            path = self.output / (re.sub(r"[^\w.-]+", "-", name) + ".png")
            files.write(path, content)
            console.print(str(path))


def _shown(layer: Layer | None, activation: Tensor) -> Tensor:
    """The activation (N, …), as maps (N, C, H, W) where the layer gives any."""
    return activation if layer is None or layer.maps is None else features.maps(layer, activation)


def _is(activation: Tensor, logits: Tensor) -> bool:
    """Whether an activation is the logits, with a value a class."""
    return activation.shape == logits.shape and torch.equal(activation, logits)


def _name(loaded: Checkpoint) -> str:
    return f"{loaded.card.name}/{loaded.card.version}"


def _decoded(file: Path) -> Image.Image:
    """Raises `ImageError` with the file's name, or `OSError`."""
    try:
        return decode(file.read_bytes())
    except ImageError as error:
        raise ImageError(f"{file}: {error}") from error


def _own_input(dataset: str, root: Path) -> InputSpec:
    """The size in which a data set is looked at: the smallest that a recipe of it takes."""
    recipes = [entry.recipe for entry in catalogue.CATALOGUE.values()]
    known = [recipe for recipe in recipes if dataset in sources.parts(recipe.dataset)]
    if not known and dataset in data_sets.DATASETS and sources.source_of(dataset, root) is None:
        return data_sets.DATASETS.get(dataset).input
    complete = [
        auto.fill_input(auto.fill_start(recipe, root)[0], root)
        for recipe in known or [replace(catalogue.OWN, dataset=dataset)]
    ]
    return min((recipe.input for recipe in complete), key=lambda spec: spec.height * spec.width)
