"""The target of `fit`, FOLDER or RECIPE: which recipe it means."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from models import checkpoint
from models.errors import OptionError
from models.registry import proposal
from training.data.files import archives, refusals, sources, tables
from training.fitting.start import imagenet
from training.recipes import catalogue
from training.recipes.catalogue import CATALOGUE
from training.recipes.recipe import Recipe

OWN = "own-pictures"
RECIPES = {name: entry.recipe for name, entry in CATALOGUE.items()} | {OWN: catalogue.OWN}


def recipe_for(target: str, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe for a folder of pictures, or the recipe of that name, with changed fields.

    With another architecture, arguments of the recipe's own are left out. Raises `OptionError` if
    the target is neither, or if the changes are not allowed. See also `notes`.
    """
    if target == OWN:
        return replace(RECIPES[OWN], **_started(changes))
    if target in RECIPES:
        recipe = RECIPES[target]
        if _drops_arguments(target, changes):
            recipe = replace(recipe, arguments={})
        return replace(recipe, **changes)
    if not target.strip():
        raise OptionError(
            "the folder's name is empty: give a folder of pictures ('.' is the working folder), or "
            "a recipe; fanlight fit --list shows the recipes"
        )
    folder = Path(target)
    if not (folder.is_dir() or tables.is_table(folder) or archives.is_archive(folder)):
        if folder.is_file():
            raise OptionError(refusals.of_file(folder))
        meant = proposal(target, RECIPES) or sources.similar(folder)
        raise OptionError(
            f"{target!r} is neither a folder of pictures, a zip or tar of one, a CSV of them, nor "
            f"a recipe; {meant}"
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
    if _drops_arguments(target, changes):
        own = " ".join(f"{name}={value}" for name, value in RECIPES[target].arguments.items())
        found.append(
            f"the recipe's arguments ({own}) are left out, because they are those of "
            f"{RECIPES[target].architecture}"
        )
    return found


def _drops_arguments(target: str, changes: Mapping[str, Any]) -> bool:
    known = RECIPES.get(target)
    return (
        known is not None
        and bool(known.arguments)
        and changes.get("architecture", known.architecture) != known.architecture
        and "arguments" not in changes
    )


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
