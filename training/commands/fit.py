"""`fit`: recipe → run folder → the next version of a model in the repository."""

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import tyro
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from models import checkpoint, devices
from models.checkpoint import Card, TrainingRecord
from training import catalogue, choices, datasets, provenance, session
from training.catalogue import CATALOGUE
from training.commands import options
from training.loop import Epoch
from training.recipes import Recipe
from training.runs import Run, as_json
from training.session import Outcome, Pictures

OWN = "own-pictures"
RECIPES = {name: entry.recipe for name, entry in CATALOGUE.items()} | {OWN: catalogue.OWN}
_ABOUT = {
    name: f"{entry.about}; {entry.recipe.dataset}, epochs: {entry.recipe.epochs}"
    for name, entry in CATALOGUE.items()
} | {OWN: "what `fit FOLDER` takes: a convnet, its length and input chosen by the pictures"}

if TYPE_CHECKING:
    RecipeChoice = Recipe
else:
    RecipeChoice = tyro.extras.subcommand_type_from_defaults(RECIPES, _ABOUT, prefix_names=False)


@dataclass(frozen=True)
class Fit:
    """Train a network by a recipe and publish it as the next version of a model.

    Name the recipe first, then what shall differ from it: fit mnist --epochs 3 --seed 1

    Or name a folder of your own pictures, with one folder a class in it, or with train and test
    folders of those: fit my-pictures --name pets. `fit --list` shows the recipes as a table.
    """

    recipe: RecipeChoice
    data_root: Path = field(default_factory=options.data_root)
    """Where data sets lie or are downloaded to (or set FANLIGHT_DATA)."""
    repository: Path = field(default_factory=options.repository)
    """The model repository to publish to (or set FANLIGHT_REPOSITORY)."""
    runs: Path = Path("runs")
    """Where the run folder is made."""
    resume: bool = False
    """Go on with the latest broken-off run of the same recipe, if there is one."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:n."""

    def __call__(self, console: Console) -> None:
        device, commit = devices.resolve(self.device), provenance.commit()
        checkpoint.check_name(self.recipe.name)
        recipe = choices.settle_input(self.recipe, self.data_root)
        pictures = session.load(recipe, self.data_root)
        recipe = choices.settle_length(recipe, len(pictures.train))
        run = (Run.unfinished(self.runs, recipe) if self.resume else None) or Run.start(
            self.runs, recipe
        )
        _tell(recipe, pictures, self.recipe, console)
        console.print(
            f"{recipe.name}: {len(pictures.train):,} pictures on {device}, run folder {run.folder}"
        )
        with run.held():
            outcome = self._train(recipe, pictures, device, run, console)
            _check_finite(outcome, recipe, console)
            card = self._publish(recipe, pictures, outcome, device, commit)
            told = card.model_dump(mode="json", exclude_none=True)
            run.finish(outcome.as_json() | {"card": told})
        console.print(
            f"epoch {outcome.fitted.selected.number} of {recipe.epochs} selected: "
            f"test accuracy {outcome.test.accuracy:.4f}, loss {outcome.test.loss:.4f} "
            f"({len(pictures.test):,} pictures, trained in {outcome.seconds:.0f} s)\n"
            f"published {card.name}/{card.version} in {self.repository}; a service that runs there "
            f"picks it up, or start one with\n  python -m service --repository {self.repository}"
        )

    def _train(
        self, recipe: Recipe, pictures: Pictures, device: torch.device, run: Run, console: Console
    ) -> Outcome:
        """Train with a progress bar."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("pictures"),
            TimeRemainingColumn(),
        )
        epochs = recipe.epochs_to_run
        held_out = recipe.validation_fraction * len(pictures.train)
        size = round(len(pictures.train) - held_out)
        quiet = not console.is_terminal  # in a file the bar would leave an empty line
        with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
            task = progress.add_task(f"epoch 1/{epochs}", total=epochs * size)

            def on_epoch(epoch: Epoch) -> None:
                text = f"epoch {epoch.number}/{epochs}  loss {epoch.train.loss:.4f}"
                if epoch.validation:
                    text += f"  validation accuracy {epoch.validation.accuracy:.4f}"
                progress.update(task, description=text, completed=epoch.number * size)

            return session.run(
                recipe,
                pictures,
                self.data_root,
                device,
                run,
                on_batch=lambda count: progress.advance(task, count),
                on_epoch=on_epoch,
            )

    def _publish(
        self,
        recipe: Recipe,
        pictures: Pictures,
        outcome: Outcome,
        device: torch.device,
        commit: str,
    ) -> Card:
        return checkpoint.publish(
            self.repository,
            outcome.fitted.network,
            name=recipe.name,
            architecture=recipe.architecture,
            arguments=recipe.arguments,
            labels=pictures.labels,
            input=pictures.spec,
            metrics={name: round(value, 6) for name, value in outcome.metrics.items()},
            training=TrainingRecord(
                recipe=as_json(recipe),
                dataset=recipe.dataset,
                seed=recipe.seed,
                epochs=recipe.epochs_to_run,
                selected_epoch=outcome.fitted.selected.number,
                seconds=round(outcome.seconds, 1),
                device=str(device),
                torch=torch.__version__,
                commit=commit,
                finished=datetime.now(UTC).isoformat(timespec="seconds"),
            ),
        )


def own_pictures(arguments: list[str]) -> list[str]:
    """`fit FOLDER …` as the recipe for one's own pictures; other arguments stay as they are."""
    if arguments[:1] != ["fit"] or len(arguments) < 2:
        return arguments
    folder, *rest = arguments[1:]
    if folder.startswith("-") or folder in RECIPES:
        return arguments
    if not Path(folder).is_dir():
        raise ValueError(
            f"{folder!r} is neither a folder of pictures nor a recipe; fit --list shows the recipes"
        )
    if datasets.JOIN in str(Path(folder).resolve()):
        raise ValueError(
            f"{folder!r}: {datasets.JOIN!r} in its path would join two data sets: rename it"
        )
    name = re.sub(r"[^a-z0-9._-]+", "-", Path(folder).resolve().name.lower()).strip("-._")
    # whole, lest a folder of that name under the data root be taken
    return ["fit", OWN, "--dataset", str(Path(folder).resolve()), "--name", name or "own", *rest]


def listing() -> Table:
    """The catalogue, a row a recipe; 80 columns are enough."""
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


def _tell(recipe: Recipe, pictures: Pictures, asked: Recipe, console: Console) -> None:
    """What was chosen, which files are broken, how the classes compare."""
    chosen = recipe.differences(asked)
    if chosen:
        console.print("chosen: " + ", ".join(f"{name} {value}" for name, value in chosen.items()))
    broken = pictures.train.broken + pictures.test.broken
    if broken:
        console.print(f"{len(broken)} files can't be read and are left out:")
        for line in broken:
            console.print(f"  {line}")
    counts = torch.bincount(pictures.train.targets, minlength=len(pictures.labels)).tolist()
    if recipe.class_weights == "none" and max(counts) > _IMBALANCE * min(counts):
        told = ", ".join(f"{label} {n:,}" for label, n in zip(pictures.labels, counts, strict=True))
        console.print(
            f"the classes differ in size: {told}. The small ones count as much as the large ones "
            "with --class-weights balanced"
        )


def _check_finite(outcome: Outcome, recipe: Recipe, console: Console) -> None:
    """Raises `ValueError` if the weights that were kept are of no use."""
    last, selected = outcome.fitted.history[-1], outcome.fitted.selected
    if math.isfinite(last.train.loss) and math.isfinite(outcome.test.loss):
        return
    told = f"the training diverged: in epoch {last.number} its loss is not a finite number"
    advice = f"lower --learning-rate, which is {recipe.learning_rate:g}"
    if not math.isfinite(outcome.test.loss):
        raise ValueError(f"{told}; nothing is published: {advice}")
    console.print(
        f"{told}; the weights of epoch {selected.number}, before, are kept. Better {advice}"
    )


_IMBALANCE = 2.0  # largest class to smallest, from which on it is told
