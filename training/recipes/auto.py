"""Choice of a recipe's open fields by its pictures: start, input size, channels, epochs, rate.

The choices suit a machine without a GPU, where a training should end in minutes.
"""

from dataclasses import replace
from pathlib import Path
from statistics import median

from PIL import Image

from models.architectures import registry
from models.permission import is_reference
from training.data.files import sources
from training.fitting.start import imagenet
from training.recipes.recipe import AUTO, Recipe

_LOOKED_AT = 200  # pictures
_SIZES = (32, 64, 96)  # pixels
_SHOWN = 200_000  # pictures that a network sees from scratch, each counted every time
_SHOWN_PRETRAINED = 20_000
_SHOWN_TUNED = 4_000  # behind a head that was fit
_PHOTOGRAPH = 64  # pixels of the shorter side, below which ImageNet's features are of little use
MAX_PHOTOGRAPHS = 20_000  # which lie in memory at 224×224: 3 GB


def fill_start(recipe: Recipe, root: Path) -> tuple[Recipe, str | None]:
    """Replace `auto` in a recipe by pretrained weights or none; return the recipe and the reason.

    The reason is None if the recipe had no `auto`. Photographs start from the weights that the
    extra `pretrained` brings. If it isn't installed, the reason has the command that installs it,
    and the training starts from scratch.
    """
    if recipe.pretrained != AUTO:
        return recipe, None
    if recipe.architecture == imagenet.ARCHITECTURE and imagenet.file() is not None:
        return _pretrained(recipe), "pretrained: these weights are installed for this network"
    scratch = replace(recipe, pretrained=None, tune="all")  # a head needs features that are there
    sizes, _ = _look(recipe, root)
    if not sizes:
        return scratch, "from scratch: the pictures are not files that could be looked at"
    side = round(median(sizes))
    if side < _PHOTOGRAPH:
        return scratch, (
            f"from scratch: the pictures are small ({side} pixels, a pretrained network knows "
            f"photographs of {_PHOTOGRAPH} and more)"
        )
    count = _count(recipe, root)
    if count > MAX_PHOTOGRAPHS:
        return scratch, (
            f"from scratch: {count:,} pictures are enough, and more than {MAX_PHOTOGRAPHS:,} "
            "take too much memory at 224×224; a pretrained network all the same: "
            f"--architecture {imagenet.ARCHITECTURE} --pretrained {imagenet.IMAGENET}"
        )
    if imagenet.file() is None:
        return scratch, (
            "from scratch, since no pretrained network is installed; for few photographs one would "
            f"be much better: {imagenet.INSTALL}"
        )
    why = (
        f"pretrained: photographs of {side} pixels; a network that learned on ImageNet "
        "needs few, and its head is fit in seconds (from scratch: --pretrained none)"
    )
    return _pretrained(recipe), why


def _pretrained(recipe: Recipe) -> Recipe:
    """The recipe with the weights of the extra `pretrained`, and all layers tuned if that pays."""
    return replace(
        recipe,
        architecture=imagenet.ARCHITECTURE,
        pretrained=imagenet.IMAGENET,
        tune="head-first" if recipe.tune == "all" else recipe.tune,
    )


def fill_input(recipe: Recipe, root: Path) -> Recipe:
    """Return the recipe with the input's size and channels chosen, if its architecture takes any.

    Grey pictures stay grey. The size is the largest of 32, 64 and 96 pixels that isn't above the
    shorter side of half of the pictures. Pretrained networks of torchvision keep the size that they
    know. The initialisation `whitening` is replaced for pretrained weights, and for networks other
    than `convnet`.
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
    """Return whether the input size can be chosen: not if the network has a size of its own."""
    if recipe.architecture == "convnet":
        return True
    if recipe.pretrained is not None:
        return False
    if is_reference(recipe.architecture):
        known = registry.named(recipe.architecture)
        return known.stated is None and known.takes(recipe.arguments).any_size
    return recipe.architecture.startswith(tuple(registry.COLLECTIONS))


def fill_length(recipe: Recipe, pictures: int) -> Recipe:
    """Return the recipe with `epochs` and `learning_rate` filled in where they are None.

    The epochs depend on `pictures`, the number of training pictures; the learning rate depends on
    the optimizer, on pretrained weights and on `tune`.
    """
    if recipe.epochs is None:
        if recipe.tune == "head":
            least, most, shown = 1, 1, 0
        elif recipe.tune == "head-first":
            least, most, shown = 4, 9, _SHOWN_TUNED
        elif recipe.pretrained is not None:
            least, most, shown = 4, 15, _SHOWN_PRETRAINED
        else:
            least, most, shown = 10, 60, _SHOWN
        epochs = min(max(round(shown / max(pictures, 1)), least), most)
        recipe = replace(recipe, epochs=epochs)
    if recipe.learning_rate is None:
        scratch, pretrained = (0.001, 0.0001) if recipe.optimizer == "adam" else (0.05, 0.01)
        if recipe.tune == "head-first":  # the head fits already, so large steps only unlearn
            pretrained /= 5
        recipe = replace(recipe, learning_rate=scratch if recipe.pretrained is None else pretrained)
    return recipe


def _count(recipe: Recipe, root: Path) -> int:
    """The number of training pictures in the recipe's folders."""
    found = (sources.source_of(part, root) for part in sources.parts(recipe.dataset, root))
    return sum(
        len(sources.files_of(source, "train", recipe.seed).paths) for source in found if source
    )


def _look(recipe: Recipe, root: Path) -> tuple[list[int], bool]:
    """Return the shorter sides of some pictures of the recipe's folders, and whether all are grey.

    There are no sides if a part of the data set is not a folder, an archive or a table.
    """
    paths: list[Path] = []
    for part in sources.parts(recipe.dataset):
        folder = sources.source_of(part, root)
        if folder is None:
            return [], False
        paths += sources.files_of(folder, "train", recipe.seed).paths
    sides, grey = [], True
    for path in paths[:: max(1, len(paths) // _LOOKED_AT)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
                grey = grey and image.mode in ("1", "L", "LA", "I;16")
        except Exception:  # noqa: S112 (Pillow's plugins raise a dozen types for broken files)
            continue  # named when the data set is read
    return sides, grey
