"""`fanlight fit FOLDER` and `fanlight fit RECIPE`: options change values of the recipe."""

from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from fanlight.fields import given, parameters
from fanlight.parameters import Argument, Command, Example, flag
from fanlight.train import build, console, run
from models.errors import OptionError, message
from training.commands import target as targets
from training.commands.fit import Fit
from training.commands.target import OWN, RECIPES
from training.recipes.catalogue import CATALOGUE
from training.recipes.recipe import GROUPS, Recipe

_RECIPE = tuple(name for names in GROUPS.values() for name in names)
_HEADING = {name: heading for heading, names in GROUPS.items() for name in names}


class FitCommand(Command):
    """The command `fit`. Its help shows the values of the named recipe as defaults."""

    def __init__(self, examples: Sequence[Example]) -> None:
        super().__init__(
            "fit", callback=_fit, help=Fit.__doc__, params=_parameters(None), examples=examples
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if recipe := self._named(ctx, args):
            self.params = _parameters(recipe)
        return super().parse_args(ctx, args)

    def _named(self, ctx: click.Context, args: list[str]) -> Recipe | None:
        try:
            found, _, _ = self.make_parser(ctx).parse_args(self.expand_multi_values(args))
        except click.UsageError:
            return None
        target = found.get("target")
        return RECIPES.get(target, RECIPES[OWN]) if isinstance(target, str) else None

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "FOLDER [OPTIONS]")
        formatter.write_usage(ctx.command_path, "RECIPE [OPTIONS]", prefix="       ")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Recipes"):
            formatter.write_dl(
                [
                    (name, f"{each.about}; epochs: {each.recipe.epochs}")
                    for name, each in CATALOGUE.items()
                ]
                + [(OWN, "what FOLDER takes; its length and input are chosen by the pictures")]
            )


class _Target(click.ParamType[Any]):
    """The type of the argument of `fit`: a folder, or the name of a recipe."""

    name = "target"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        names = [CompletionItem(name) for name in RECIPES if name.startswith(incomplete)]
        return [*names, CompletionItem(incomplete, type="dir")]


def _parameters(recipe: Recipe | None) -> list[click.Parameter]:
    changes = parameters(Recipe, defaults=recipe or _NO_RECIPE, group=_HEADING.__getitem__)
    for each in changes:
        each.required = False  # the recipe has it
    return [
        Argument(
            "target",
            "A folder of pictures, with a folder for each class in it; or a recipe by name.",
            type=_Target(),
            metavar="FOLDER|RECIPE",
        ),
        *sorted(changes, key=lambda each: _RECIPE.index(each.name or "")),
        *parameters(Fit, without="recipe"),
        flag("--list", _list, "Show the recipes, and end."),
    ]


class _Nothing:
    """A stand-in for the recipe if none is named: each value is None, so help shows no default."""

    def __getattr__(self, name: str) -> None:
        return None


_NO_RECIPE: Any = _Nothing()


def _list(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        console().print(targets.listing())
        ctx.exit()


@click.pass_context
def _fit(ctx: click.Context, /, target: str, **values: Any) -> int:
    found = given(ctx)
    changes = {name: value for name, value in found.items() if name in _RECIPE}
    others = {name: value for name, value in found.items() if name not in (*_RECIPE, "target")}
    try:
        recipe = targets.recipe_for(target, changes)
        notes = targets.notes(target, changes)
    except OptionError as error:
        raise click.UsageError(message(error) or "") from None
    for note in notes:
        console().print(note, markup=False, highlight=False)
    return run("fit", build(Fit, {"recipe": recipe, **others}))
