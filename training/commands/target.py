"""The target of `fit`, FOLDER or RECIPE: which recipe it means."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from models import checkpoint
from models.architectures import registry
from models.errors import OptionError
from models.files import EMPTY_PATH
from models.registry import proposal
from training.data.files import refusals, sources
from training.fitting.start import imagenet
from training.recipes import catalogue
from training.recipes.catalogue import CATALOGUE
from training.recipes.recipe import Recipe

OWN = "own-pictures"
RECIPES = {name: entry.recipe for name, entry in CATALOGUE.items()} | {OWN: catalogue.OWN}


def recipe_for(target: str, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe for a folder of pictures, or the recipe of that name, with changed fields.

    With another architecture, arguments that only the recipe's own has are left out. Raises
    `OptionError` if the target is neither, or if the changes are not allowed, and
    `ArchitectureError` for an unknown architecture. See also `notes`.
    """
    if target == OWN:
        return replace(RECIPES[OWN], **_started(changes))
    if target in RECIPES:
        recipe = RECIPES[target]
        left_out = _arguments_left_out(recipe, changes)
        kept = {name: value for name, value in recipe.arguments.items() if name not in left_out}
        return replace(recipe, **{"arguments": kept, **changes})
    if not target.strip():
        raise OptionError(
            f"FOLDER|RECIPE: {EMPTY_PATH}; or give a recipe: fanlight fit --list shows them"
        )
    folder = Path(target)
    if not (folder.is_dir() or sources.is_packed(folder)):
        if folder.is_file():
            raise OptionError(refusals.of_file(folder))
        meant = proposal(target, RECIPES) or sources.similar(folder)
        raise OptionError(
            f"{target!r} is neither a folder of pictures, a zip or tar of one, a CSV or shards of "
            f"them, nor a recipe; {meant}"
            "fanlight fit --list shows the recipes"
        )
    path = folder.resolve()  # whole, lest a folder of that name under the data root be taken
    if sources.JOIN in str(path):
        raise OptionError(
            f"{target!r}: {sources.JOIN!r} in its path would join two data sets: rename it"
        )
    called = path.name if path.is_dir() else path.name.partition(".")[0]
    if not model_name(called) and "name" not in changes:
        raise OptionError(
            f"no name for the model can be made of {called!r}: give one with --name, of small "
            "letters, digits, '.', '_' and '-'"
        )
    own = {"dataset": str(path), "name": model_name(called)}
    return replace(RECIPES[OWN], **(own | _started(changes)))


def notes(target: str, changes: Mapping[str, Any]) -> list[str]:
    """Return what the user may not expect of the recipe that `recipe_for` returns.

    The target may be the name of a recipe, and also that of a folder or file. Such a folder may be
    used as the recipe's data set, too: the account says that. Or the architecture is another one.
    """
    found = []
    if target in RECIPES and Path(target).exists():
        found.append(
            f"{target} is taken for the recipe of that name; to choose one for the pictures in "
            f"./{target}, write ./{target}"
        )
    if target in RECIPES and changes.get("architecture"):
        found += _notes_of_architecture(RECIPES[target], recipe_for(target, changes), changes)
    return found


def _notes_of_architecture(own: Recipe, chosen: Recipe, changes: Mapping[str, Any]) -> list[str]:
    found = []
    if left_out := _arguments_left_out(own, changes):
        named = " ".join(f"{name}={own.arguments[name]}" for name in left_out)
        found.append(
            f"left out of the recipe's arguments, because {chosen.architecture} has none of that "
            f"name: {named}"
        )
    channels = chosen.input.channels
    if channels != own.input.channels and chosen.dataset == own.dataset:
        found.append(
            f"the input has {channels} channel{'s' * (channels > 1)}, as {chosen.architecture} "
            f"takes it; the recipe's own has {own.input.channels}"
        )
    return found


def _arguments_left_out(own: Recipe, changes: Mapping[str, Any]) -> list[str]:
    """Return the recipe's arguments that another architecture in the changes does not have."""
    architecture = changes.get("architecture", own.architecture)
    if architecture == own.architecture or "arguments" in changes or not own.arguments:
        return []
    taken = registry.named(architecture).parameters
    return [name for name in own.arguments if name not in taken]


def _started(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of the recipe for a folder, with the `pretrained` that they imply.

    If the user names a network, or options that only one network takes, there is no start left to
    choose.
    """
    started = dict(changes)
    if "pretrained" not in changes and changes.keys() & {"arguments", "initialisation"}:
        started["pretrained"] = None
    elif changes.get("architecture", imagenet.ARCHITECTURE) != imagenet.ARCHITECTURE:
        started.setdefault("pretrained", None)
    elif changes.get("pretrained") == imagenet.IMAGENET:
        started.setdefault("architecture", imagenet.ARCHITECTURE)
        started.setdefault("tune", "head-first")
    return started


def model_name(called: str) -> str:
    """Make a model name from the name of a folder, with letters without accents.

    It is empty if no character is left; then `recipe_for` asks for a name.
    """
    return checkpoint.proposed_name(called)


def listing() -> Table:
    """Return the catalogue as a table, a row for each recipe, which fits into 80 columns."""
    caption = "fit RECIPE takes one; fit FOLDER trains on your own pictures"
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption)
    table.add_column("recipe", no_wrap=True)
    table.add_column("epochs", justify="right", no_wrap=True)
    table.add_column("optimizer", no_wrap=True)
    table.add_column("about")
    for name, entry in CATALOGUE.items():
        recipe = entry.recipe
        optimizer = f"{recipe.optimizer} {recipe.learning_rate:g}"
        table.add_row(name, str(recipe.epochs), optimizer, entry.about)
    return table
