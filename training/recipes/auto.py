"""What a recipe leaves open is chosen by the pictures: input size and channels, epochs, rate.

The choices suit a machine without a GPU, where a training should end in minutes.
"""

from dataclasses import replace
from pathlib import Path
from statistics import median

from PIL import Image

from models.architectures import registry
from models.permission import is_reference
from training.data import datasets
from training.recipes.recipe import Recipe

_LOOKED_AT = 200  # pictures
_SIZES = (32, 64, 96)  # pixels
_SHOWN = 200_000  # pictures that a network sees from scratch, each counted every time
_SHOWN_PRETRAINED = 20_000


def fill_input(recipe: Recipe, root: Path) -> Recipe:
    """The recipe with size and channels chosen, where its architecture takes any.

    Grey pictures stay grey; the size is the largest of 32, 64 and 96 pixels that isn't above the
    shorter side of half of them. Pretrained networks of torchvision keep the size that they know.
    Weights that are there, or a network without a convolution for it, are not whitened.
    """
    if recipe.initialisation == "whitening" and (
        recipe.pretrained is not None or recipe.architecture != "convnet"
    ):
        recipe = replace(recipe, initialisation="default")
    sizes, grey = _look(recipe, root)
    if not sizes:
        return recipe
    if recipe.architecture == "convnet" and "channels" not in recipe.arguments:
        arguments = {**recipe.arguments, "channels": 1 if grey else 3}
        recipe = replace(recipe, arguments=arguments)
    if _takes_any(recipe) and recipe.size is None:
        usual = median(sizes)
        recipe = replace(recipe, size=max((s for s in _SIZES if s <= usual), default=_SIZES[0]))
    return recipe


def _takes_any(recipe: Recipe) -> bool:
    """Whether the size of the input is free: of what is not pretrained at a size of its own."""
    if recipe.architecture == "convnet":
        return True
    if recipe.pretrained is not None:
        return False
    if is_reference(recipe.architecture):
        known = registry.named(recipe.architecture)
        return known.stated is None and known.takes(recipe.arguments).any_size
    return recipe.architecture.startswith(tuple(registry.COLLECTIONS))


def fill_length(recipe: Recipe, pictures: int) -> Recipe:
    """The recipe with epochs and learning rate chosen, for so many training pictures."""
    if recipe.epochs is None:
        least, most, shown = (
            (4, 15, _SHOWN_PRETRAINED) if recipe.pretrained is not None else (10, 60, _SHOWN)
        )
        epochs = min(max(round(shown / max(pictures, 1)), least), most)
        recipe = replace(recipe, epochs=epochs)
    if recipe.learning_rate is None:
        scratch, pretrained = (0.001, 0.0001) if recipe.optimizer == "adam" else (0.05, 0.01)
        recipe = replace(recipe, learning_rate=scratch if recipe.pretrained is None else pretrained)
    return recipe


def _look(recipe: Recipe, root: Path) -> tuple[list[int], bool]:
    """The shorter sides of some pictures of the recipe's folders, and whether all are grey."""
    paths: list[Path] = []
    for part in datasets.parts(recipe.dataset):
        folder = datasets.source_of(part, root)
        if folder is None:
            return [], False
        paths += datasets.files_of(folder, "train", recipe.seed).paths
    sides, grey = [], True
    for path in paths[:: max(1, len(paths) // _LOOKED_AT)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
                grey = grey and image.mode in ("1", "L", "LA", "I;16")
        except Exception:  # noqa: S112 (Pillow's plugins raise a dozen types for broken files)
            continue  # named when the data set is read
    return sides, grey
