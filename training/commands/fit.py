"""`fit`: recipe → run folder → the next version of a model in the repository."""

import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models import checkpoint, devices, registry
from models.checkpoint import TrainingRecord
from models.preprocessing import InputSpec
from training import datasets, evaluation, loop, plots, provenance
from training.commands import options
from training.datasets import ImageSet
from training.loop import Epoch, Fitted
from training.recipes import RECIPES, Recipe
from training.runs import Run

if TYPE_CHECKING:
    RecipeChoice = Recipe
else:
    RecipeChoice = tyro.extras.subcommand_type_from_defaults(
        RECIPES,
        {n: f"{r.architecture} on {r.dataset}; epochs: {r.epochs}" for n, r in RECIPES.items()},
        prefix_names=False,
    )


@dataclass(frozen=True)
class Fit:
    """Train a network by a recipe and publish it as the next version of a model.

    Name the recipe first, then what shall differ from it: fit mnist --epochs 3 --seed 1
    """

    recipe: RecipeChoice
    data_root: Path = field(default_factory=options.data_root)
    """Where data sets lie or are downloaded to (or set FANLIGHT_DATA)."""
    repository: Path = field(default_factory=options.repository)
    """The model repository to publish to (or set FANLIGHT_REPOSITORY)."""
    runs: Path = Path("runs")
    """Where the run folder is made."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:n."""

    def __call__(self, console: Console) -> None:
        recipe, device, commit = self.recipe, devices.resolve(self.device), provenance.commit()
        checkpoint.check_name(recipe.name)
        spec = registry.architecture(recipe.architecture).input
        train = datasets.load(recipe.dataset, "train", self.data_root, spec)
        test = datasets.load(recipe.dataset, "test", self.data_root, spec).relabel(train.labels)

        run = Run.start(self.runs, recipe.name, recipe.seed)
        run.write_json("recipe.json", asdict(recipe))
        console.print(
            f"{recipe.name}: {len(train):,} pictures on {device}, run folder {run.folder}"
        )
        started = time.monotonic()
        fitted = _fit(recipe, train, spec, device, run, console)
        seconds = time.monotonic() - started

        logits = loop.predict(fitted.network, test.to(device), spec)
        result = evaluation.score(logits.cpu(), test.targets, test.labels)
        run.write("confusion.png", plots.confusion(result, f"{recipe.name}: test set"))
        metrics = {"test_accuracy": result.accuracy, "test_loss": result.loss}
        metrics |= _metrics(fitted, train, spec, device)
        card = checkpoint.publish(
            self.repository,
            fitted.network,
            name=recipe.name,
            architecture=recipe.architecture,
            labels=train.labels,
            input=spec,
            metrics={name: round(value, 6) for name, value in metrics.items()},
            training=TrainingRecord(
                recipe=asdict(recipe),
                dataset=recipe.dataset,
                seed=recipe.seed,
                epochs=recipe.epochs,
                selected_epoch=fitted.selected.number,
                seconds=round(seconds, 1),
                device=str(device),
                torch=torch.__version__,
                commit=commit,
                finished=datetime.now(UTC).isoformat(timespec="seconds"),
            ),
        )
        run.write_json("result.json", card.model_dump(mode="json", exclude_none=True))
        console.print(
            f"epoch {fitted.selected.number} of {recipe.epochs} selected: "
            f"test accuracy {result.accuracy:.4f}, loss {result.loss:.4f} "
            f"({len(test):,} pictures, trained in {seconds:.0f} s)\n"
            f"published {card.name}/{card.version} in {self.repository}; serve it with\n"
            f"  python -m service --repository {self.repository}"
        )


def _fit(
    recipe: Recipe,
    train: ImageSet,
    spec: InputSpec,
    device: torch.device,
    run: Run,
    console: Console,
) -> Fitted:
    """Train with a progress bar; the run folder is up to date after every epoch."""
    history: list[Epoch] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pictures"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"epoch 1/{recipe.epochs}", total=recipe.epochs * len(train))

        def on_epoch(epoch: Epoch) -> None:
            history.append(epoch)
            run.write_history(history)
            text = f"epoch {epoch.number}/{recipe.epochs}  loss {epoch.train.loss:.4f}"
            if epoch.validation:
                text += f"  validation accuracy {epoch.validation.accuracy:.4f}"
            progress.update(task, description=text, completed=epoch.number * len(train))

        fitted = loop.fit(
            recipe,
            train,
            spec,
            device,
            on_batch=lambda count: progress.advance(task, count),
            on_epoch=on_epoch,
        )
    run.write("curves.png", plots.curves(history, recipe.name, fitted.selected))
    return fitted


def _metrics(
    fitted: Fitted, train: ImageSet, spec: InputSpec, device: torch.device
) -> dict[str, float]:
    """Of the selected weights: all training pictures, and those held out."""
    trained = loop.evaluate(fitted.network, train.to(device), spec)
    metrics = {"train_accuracy": trained.accuracy, "train_loss": trained.loss}
    if validation := fitted.selected.validation:
        metrics |= {
            "validation_accuracy": validation.accuracy,
            "validation_loss": validation.loss,
        }
    return metrics
