"""How well a model tells strangers from its own images.

`python -m benchmarks strangers NAME --data-root DATA` prints a row for each kind of stranger,
beside the model's test images. `--against` names further data sets. Pages of text, wood, cloth and
gravel are drawn only here. Noise, colours and gradients are also among the `patterns` that models
are trained with, but drawn in another way.

`python -m benchmarks strangers --near --data-root DATA` trains birds-vs-planes twice, each time
with two of the four further classes of CIFAR-10 and the patterns as strangers, and prints rows for
the other two classes. The published model was trained with all four, so they can't test it.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from models import checkpoint
from models.preprocessing import InputSpec
from models.repository_paths import SHIPPED
from models.trust import Answers, Trust
from training.data import datasets, loose
from training.data.datasets import ImageSet
from training.fitting import experiment, loop
from training.fitting import trust as trusts
from training.fitting.evaluation import metrics
from training.fitting.reliability import Strangers
from training.recipes import catalogue

COUNT = 500  # of each kind that is drawn
HALVES = (("automobile", "deer"), ("dog", "frog"))
DEVICE = torch.device("cpu")
SIDE = 96  # pixels of a drawn image
Floats = NDArray[np.float64]
Generator = np.random.Generator
HEAD = "| strangers | AUROC | unsure | unfamiliar |\n|---|---|---|---|"


def noise(size: int) -> Callable[[Generator], Image.Image]:
    """Make a function that draws noise with `size` grains along a side, smoothly enlarged."""

    def draw(generator: Generator) -> Image.Image:
        grains = generator.integers(0, 256, (size, size, 3), np.uint8)
        return Image.fromarray(grains).resize((SIDE, SIDE), Image.Resampling.BILINEAR)

    return draw


def colour(generator: Generator) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), _colour(generator))


def gradient(generator: Generator) -> Image.Image:
    one, other = (np.array(_colour(generator), float) for _ in range(2))
    part = np.linspace(0, 1, SIDE)[:, None, None]
    rows = np.broadcast_to(one + part * (other - one), (SIDE, SIDE, 3))
    return _picture(rows).rotate(90 * int(generator.integers(4)))


def page(generator: Generator) -> Image.Image:
    """A page of printed words, dark on light."""
    image = Image.new("RGB", (240, 240), tuple([int(generator.integers(225, 256))] * 3))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(int(generator.integers(9, 20)))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    for row in range(10, 240, int(generator.integers(14, 26))):
        words = ["".join(generator.choice(letters, generator.integers(2, 9))) for _ in range(9)]
        draw.text((10, row), " ".join(words), (20, 20, 30), font)
    return image


def wood(generator: Generator) -> Image.Image:
    """Draw brown wood, with the grain along one side."""
    across = np.cumsum(generator.normal(0, 1, SIDE))
    wave = np.sin(across[:, None] / 2 + np.cumsum(generator.normal(0, 0.05, SIDE))[None])
    light = 130 + 30 * wave + generator.normal(0, 6, (SIDE, SIDE))
    return _picture(light[..., None] * np.array([1.0, 0.75, 0.5]))


def cloth(generator: Generator) -> Image.Image:
    """Draw cloth of one colour, with crossing threads."""
    y, x = np.mgrid[:SIDE, :SIDE]
    period = generator.uniform(3, 8)
    threads = np.abs(np.sin(np.pi * x / period)) * (1 + np.sign(np.sin(np.pi * y / period))) / 2
    threads += np.abs(np.sin(np.pi * y / period)) * (1 - np.sign(np.sin(np.pi * y / period))) / 2
    light = 0.5 + 0.5 * threads + generator.normal(0, 0.03, (SIDE, SIDE))
    return _picture(light[..., None] * np.array(_colour(generator)))


def gravel(generator: Generator) -> Image.Image:
    """Draw stones: the nearest of 150 random points decides the shade of a pixel."""
    points, shades = generator.random((150, 2)) * SIDE, generator.uniform(60, 200, 150)
    grid = np.moveaxis(np.mgrid[:SIDE, :SIDE], 0, -1)[:, :, None]
    distance = np.sort(np.square(grid - points).sum(-1), -1)
    nearest = np.square(grid - points).sum(-1).argmin(-1)
    edge = np.sqrt(distance[..., 1]) - np.sqrt(distance[..., 0])
    light = shades[nearest] * (edge / 3).clip(0.3, 1)
    return _picture(light[..., None] * np.ones(3))


KINDS: dict[str, Callable[[Generator], Image.Image]] = {
    **{f"noise, {size} grains a side": noise(size) for size in (SIDE, 32, 16, 8, 4)},
    "one colour": colour,
    "gradients": gradient,
    "pages of text": page,
    "wood": wood,
    "cloth": cloth,
    "gravel": gravel,
}


def drawn(kind: str, spec: InputSpec) -> ImageSet:
    """`COUNT` images of a kind, scaled to the input."""
    number = list(KINDS).index(kind)
    images = [KINDS[kind](np.random.default_rng([3, number, each])) for each in range(COUNT)]
    return _set(torch.stack([spec.pixels(image) for image in images]))


def rows(
    network: nn.Module, found: Trust, own: Answers, spec: InputSpec, sets: dict[str, ImageSet]
) -> Iterator[str]:
    """Yield a row for each kind: how well the model tells it from its own images."""
    look = found.second_look
    for kind, images in {**{each: drawn(each, spec) for each in KINDS}, **sets}.items():
        told = Strangers.of(found, own, trusts.answers(network, images, spec, look))
        yield f"| {kind} | {told.auroc:.3f} | {told.unsure:.3f} | {told.unfamiliar:.3f} |"


def of_model(name: str, repository: Path, root: Path, against: Sequence[str]) -> None:
    """Print the rows of a published model."""
    loaded = checkpoint.load(checkpoint.find(repository, name), DEVICE)
    card = loaded.card
    if card.training is None or loaded.trust is None:
        raise SystemExit(f"{name} is not trained by Fanlight, or not calibrated")
    test = datasets.load(card.training.dataset, "test", root, card.input, card.training.seed)
    look = loaded.trust.second_look
    own = trusts.answers(loaded.network, test.relabel(card.labels), card.input, look)
    sets = {each: loose.load(each, root, card.input) for each in against}
    print(f"{name}, beside {len(own):,} of its test images\n\n{HEAD}")
    for row in rows(loaded.network, loaded.trust, own, card.input, sets):
        print(row, flush=True)


def near(root: Path, epochs: int, precision: str) -> None:
    """Train with each half of CIFAR-10's further classes, and print the rows of the other half."""
    recipe = replace(
        catalogue.recipe("birds-vs-planes"),
        epochs=epochs,
        precision=precision,  # type: ignore[arg-type] # argparse has checked it
    )
    pictures = experiment.load(recipe, root)
    others = pictures.strangers
    assert others is not None
    for given, held in (HALVES, HALVES[::-1]):
        learned = of_kinds(others, [each for each in others.labels if each not in held])
        fitted = loop.fit(recipe, pictures.train, pictures.spec, DEVICE, strangers=learned)
        found = trusts.fit(fitted, recipe, pictures.spec).fitted.trust
        assert found is not None
        own = trusts.answers(fitted.network, pictures.test, pictures.spec, found.second_look)
        accuracy = metrics(own.logits, own.targets).accuracy
        sets = {each: of_kinds(others, [each]) for each in held}
        print(f"\ntrained with {' and '.join(given)}: accuracy {accuracy:.4f}\n\n{HEAD}")
        for row in rows(fitted.network, found, own, pictures.spec, sets):
            print(row, flush=True)


def of_kinds(images: ImageSet, kinds: Sequence[str]) -> ImageSet:
    """Return the images with the labels `kinds`, as a set that has only these labels."""
    wanted = torch.tensor([images.labels.index(each) for each in kinds])
    some = images.subset(torch.isin(images.targets, wanted).nonzero().flatten())
    places = torch.full((len(images.labels),), -1).index_copy(0, wanted, torch.arange(len(kinds)))
    return replace(some, targets=places[some.targets], labels=tuple(kinds))


def _colour(generator: Generator) -> tuple[int, ...]:
    return tuple(generator.integers(256, size=3).tolist())


def _picture(levels: Floats) -> Image.Image:
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def _set(images: Tensor) -> ImageSet:
    return ImageSet(images, torch.zeros(len(images), dtype=torch.long), (loose.LABEL,))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="NAME")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--repository", type=Path, default=SHIPPED)
    parser.add_argument("--against", nargs="*", default=[], help="data sets or folders")
    parser.add_argument("--near", action="store_true", help="train twice, and ask about near ones")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    asked = parser.parse_args()
    if asked.near:
        near(asked.data_root, asked.epochs, asked.precision)
    for name in asked.models:
        of_model(name, asked.repository, asked.data_root, asked.against)


if __name__ == "__main__":
    main()
