"""`fit`: recipe → run folder → the next version of a model in the repository."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models import checkpoint, files, repositories
from models.architectures import outputs, registry
from models.checkpoint import Card, TrainingRecord
from models.errors import OptionError
from models.trust import Fitted as TrustFitted
from models.trust import Trust, second_look
from training.commands import fit_messages, options
from training.commands.fit_messages import counted
from training.data import storage
from training.data.account import LEFT_OUT, Account
from training.data.storage import Storage
from training.fitting import evaluation, experiment, loop, optimization, trust
from training.fitting.experiment import Outcome, Pictures
from training.fitting.processes import Processes, joined
from training.fitting.records import provenance
from training.fitting.records.run_folder import STEPS, Run, as_json
from training.fitting.records.steps import Step, StepPlan
from training.fitting.start import pretrained
from training.fitting.state import Epoch, TrainingError
from training.recipes import auto
from training.recipes.recipe import Recipe
from training.review import labels
from training.review.review import Review


@dataclass(frozen=True)
class Fit:
    """Train a network with a recipe and publish it as the next version of a model.

    FOLDER holds your own images: one subfolder per class, or train and test folders with such
    subfolders. A zip or tar of one, a CSV with the columns path and label, and
    shards in Parquet or of WebDataset are taken too.
    --list shows the values of RECIPE. Options override fields of the recipe.
    """

    recipe: Recipe
    data_root: options.DataRoot = field(default_factory=options.data_root)
    repository: options.PublishTo = field(default_factory=options.repository)
    runs: Path = Path("runs")
    """Where the run folder is made."""
    resume: bool = False
    """Go on with the latest broken-off run of the same recipe; an error if there is none."""
    evaluate_every_steps: int | None = None
    """Record loss and learning rate every N steps, in steps.csv and curves.png of the run folder.
    This changes no weights, so it is no part of the recipe."""
    evaluate_on: int | None = None
    """Evaluate the first N test pictures too, before the first step and with each record. Nothing
    is selected by this: it is for looking at. If you change a recipe because of these figures, you
    select by the test set, and the test accuracy promises too much."""
    stream: bool | None = None
    """Keep the decoded pixels in a file in the folder of runs, and read each batch from it; with
    --no-stream in memory. By default in memory, as long as they take no more than a quarter of it.
    This changes no weights, so it is no part of the recipe."""
    labels_changed: options.LabelsChanged = False
    device: options.Device = "auto"

    def __post_init__(self) -> None:
        options.at_least_one(self, "evaluate_every_steps", "evaluate_on")
        if self.evaluate_on is not None and self.evaluate_every_steps is None:
            raise OptionError(
                f"--evaluate-on {self.evaluate_on} says on how many test pictures, but not when: "
                "add --evaluate-every-steps N"
            )

    def __call__(self, console: Console) -> None:
        with joined(self.device) as (processes, device):
            if processes.is_first:
                self._lead(processes, device, console)
            else:
                self._follow(processes, device)

    def _follow(self, processes: Processes, device: torch.device) -> None:
        """Train beside the first of several processes, which alone prints, writes and publishes."""
        recipe = processes.from_first()
        pictures = experiment.load(recipe, self.data_root, self._storage(processes))
        experiment.follow(pictures, device, processes)

    def _lead(self, processes: Processes, device: torch.device, console: Console) -> None:
        commit = provenance.commit()
        processes.check(self.recipe.batch_size)
        optimization.check_precision(self.recipe, device)
        checkpoint.check_name(self.recipe.name)
        checkpoint.check_target(self.repository, self.recipe.name)
        files.check_writable(self.repository)
        files.check_writable(self.runs)
        recipe, why = auto.fill_start(self.recipe, self.data_root)
        if recipe.precision == "bfloat16" and device.type == "cpu" and _is_slow_in_bfloat16():
            console.print(
                "this processor seems to have no arithmetic in bfloat16; then --precision float32 "
                "is quicker"
            )
        registry.named(recipe.architecture).check(recipe.arguments)
        pretrained.check(recipe.pretrained, recipe.architecture)
        recipe = auto.fill_input(recipe, self.data_root)
        if self.resume and not Run.may_go_on(self.runs, recipe):
            raise self._nothing_to_resume(recipe)
        processes.from_first(recipe)  # the others read the pictures meanwhile
        pictures = experiment.load(recipe, self.data_root, self._storage(processes))
        if not self.labels_changed:
            repositories.check_same_labels(self.repository, recipe.name, pictures.labels)
        recipe = auto.fill_length(recipe, len(pictures.train))
        run = self._unfinished(recipe) if self.resume else Run.start(self.runs, recipe)
        account = Account(pictures.splits)
        console.print(account.text(run.folder / LEFT_OUT), markup=False, highlight=False)
        others = Account({} if pictures.strangers is None else {"strangers": pictures.strangers})
        if others.splits:
            console.print(others.text(run.folder / LEFT_OUT), markup=False, highlight=False)
            console.print(
                "the published network has no class for strangers"
                if recipe.tune == "all"
                else "familiarity learns the strangers, and the network is trained without them"
            )
        review = Review.of(pictures.splits)
        console.print(review.text(), markup=False, highlight=False)
        if why is not None:
            console.print(why)
        fit_messages.print_choices(recipe, pictures, self.recipe, console)
        if self.evaluate_on is not None:
            fit_messages.print_evaluated_part(self.evaluate_on, pictures, console)
        fit_messages.print_processes(recipe, processes, console)
        console.print(
            f"{recipe.name}: {len(pictures.train):,} pictures on {device}, run folder {run.folder}"
        )
        with run.resumable(), run.held():
            every = Account({**account.splits, **others.splits})
            if every.left_out:
                run.write(LEFT_OUT, every.as_csv())
            review.write(recipe.name, run.write)
            outcome = self._train(recipe, pictures, device, run, console, processes)
            if self.evaluate_every_steps is not None and not (run.folder / STEPS).exists():
                console.print(
                    f"there is no {STEPS}: only the head was fitted, which takes no steps of "
                    "the recipe's optimizer"
                )
            _check_finite(outcome, recipe, console)
            _review_again(review, outcome, recipe, pictures, run, console)
            trusted = _trusted(outcome, recipe, pictures, console)
            twice = _measure_second_look(outcome, pictures, trusted.fitted.trust, device)
            card = self._publish(recipe, pictures, outcome, trusted.fitted, device, commit, why)
            text = card.model_dump(mode="json", exclude_none=True)
            run.finish(outcome.as_json() | {"card": text})
        to_open = options.to_open(self.repository, recipe.architecture)
        drawn = ", ".join(sorted(p.name for p in run.folder.iterdir() if p.suffix in _DRAWN))
        if left_out := outputs.left_out(outcome.fitted.network, pictures.spec):
            console.print(left_out, markup=False, highlight=False)
        fit_messages.print_outcome(recipe, pictures, outcome, console)
        doubted = trusted.doubted(card.labels)
        first = fit_messages.first_predictions(outcome, pictures)
        for told in filter(None, (first, outcome.test.told_apart(), trusted.text, doubted, *twice)):
            console.print(told, markup=False, highlight=False)
        console.print(
            f"drawn in {run.folder}: {drawn}\n"
            f"published {card.name}/{card.version} in {self.repository}; a service that runs there "
            "picks it up, or start one with\n"
            f"  fanlight serve{to_open}\n"
            "what its layers see is on the page of the service, or drawn by\n"
            f"  fanlight visualize weights {card.name}{to_open}"
        )

    def _storage(self, processes: Processes) -> Storage:
        """Return where pixels are kept; the processes, which may be on one machine, share it."""
        return Storage(self.runs, self.stream, storage.allowed() // processes.count)

    def _unfinished(self, recipe: Recipe) -> Run:
        run = Run.unfinished(self.runs, recipe)
        if run is None:
            raise self._nothing_to_resume(recipe)
        return run

    def _nothing_to_resume(self, recipe: Recipe) -> OptionError:
        return OptionError(
            f"there is nothing to resume: no broken-off run of {recipe.name} with these "
            f"options is in {self.runs}; leave out --resume to start one"
        )

    def _train(
        self,
        recipe: Recipe,
        pictures: Pictures,
        device: torch.device,
        run: Run,
        console: Console,
        processes: Processes,
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
        size = loop.sizes(recipe, pictures.train, pictures.validation).trained_on
        size += len(pictures.strangers or ()) if recipe.tune == "all" else 0
        quiet = not console.is_terminal  # in a file the bar would leave an empty line
        with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
            task = progress.add_task(fit_messages.epoch_name(recipe, 1), total=epochs * size)

            def on_epoch(epoch: Epoch) -> None:
                text = (
                    f"{fit_messages.epoch_name(recipe, epoch.number)}  loss {epoch.train.loss:.4f}"
                )
                if epoch.validation:
                    text += f"  validation accuracy {epoch.validation.accuracy:.4f}"
                progress.update(task, description=text, completed=epoch.number * size)
                if quiet:  # a line an epoch
                    console.print(text, highlight=False)

            def on_step(step: Step) -> None:
                text = fit_messages.step_text(recipe, step)
                progress.update(task, description=text)
                if quiet:  # a line a point
                    console.print(text, highlight=False)

            return experiment.run(
                recipe,
                pictures,
                self.data_root,
                device,
                run,
                on_batch=lambda count: progress.advance(task, count),
                on_epoch=on_epoch,
                on_note=console.print,
                plan=self._plan(on_step),
                processes=processes,
            )

    def _plan(self, on_step: Callable[[Step], None]) -> StepPlan | None:
        if self.evaluate_every_steps is None:
            return None
        return StepPlan(self.evaluate_every_steps, self.evaluate_on or 0, on_step)

    def _publish(
        self,
        recipe: Recipe,
        pictures: Pictures,
        outcome: Outcome,
        fitted: TrustFitted,
        device: torch.device,
        commit: str,
        why: str | None,
    ) -> Card:
        return checkpoint.publish(
            self.repository,
            outcome.fitted.network,
            name=recipe.name,
            architecture=recipe.architecture,
            arguments=recipe.arguments,
            labels=pictures.labels,
            input=pictures.spec,
            trust=fitted,
            metrics={name: round(value, 6) for name, value in outcome.metrics.items()},
            training=TrainingRecord(
                recipe=as_json(recipe) | _reasons(why, outcome.fitted.note),
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


def _is_slow_in_bfloat16() -> bool:
    """Guess whether bfloat16 is slow here, by the CPU's vector instructions: torch reports no
    more."""
    return torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX", "AVX2")


def _reasons(why: str | None, note: str | None) -> dict[str, str]:
    """Return what the card has beside the recipe: why its start and its layers were chosen."""
    reasons = {"start_because": why, "tuned_because": note}
    return {name: text for name, text in reasons.items() if text is not None}


def _trusted(
    outcome: Outcome, recipe: Recipe, pictures: Pictures, console: Console
) -> trust.Trusted:
    """Calibrate the network, with a progress bar if that takes further trainings."""
    if not trust.trains_again(recipe, trust.sizes_of(outcome.fitted)):
        return trust.fit(outcome.fitted, recipe, pictures.spec)
    count = trust.FURTHER_TRAININGS
    console.print(
        f"trained; {count} more trainings calibrate it, each of about {outcome.seconds:.0f} s. If "
        "this is interrupted, --resume goes on from here"
    )
    columns = (TextColumn("calibrating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("", total=count)
        return trust.fit(
            outcome.fitted, recipe, pictures.spec, on_training=lambda: progress.advance(task)
        )


def _measure_second_look(
    outcome: Outcome, pictures: Pictures, fitted: Trust | None, device: torch.device
) -> list[str]:
    """Measure the test accuracy with the second look, and add it to the metrics.

    Returns a line that says it; an empty list if the network has no second look.
    """
    if fitted is None or fitted.second_look is None:
        return []
    test = pictures.test.to(device)
    found = trust.answers(outcome.fitted.network, test, pictures.spec, fitted.second_look)
    accuracy = evaluation.metrics(found.logits, found.targets).accuracy
    outcome.metrics[second_look.METRIC] = accuracy
    with_interval = f"{accuracy:.4f} ({evaluation.interval(accuracy, len(test))})"
    return [f"test accuracy with the second look, as a service answers: {with_interval}"]


def _review_again(
    review: Review,
    outcome: Outcome,
    recipe: Recipe,
    pictures: Pictures,
    run: Run,
    console: Console,
) -> None:
    """Judge the labels, and measure the accuracy without pictures that were seen in training."""
    seen = review.seen_in_train("test")
    without = evaluation.accuracy_without(seen, outcome.test_logits, pictures.test.targets)
    if without is not None:
        outcome.metrics["test_accuracy_without_copies"] = without
        left = len(pictures.test) - len(seen)
        console.print(
            f"test accuracy without the {counted(len(seen))} that train has too, or nearly: "
            f"{without:.4f} ({evaluation.interval(without, left)}; {counted(left)}); with them "
            f"{outcome.test.accuracy:.4f} ({outcome.test.interval})"
        )
    judged = labels.judge(
        outcome.fitted, pictures.test, outcome.test_logits, pictures.spec, recipe.seed
    )
    review = review.judged(judged)
    review.write(recipe.name, run.write)
    console.print(review.text_of_labels(), markup=False, highlight=False)


def _check_finite(outcome: Outcome, recipe: Recipe, console: Console) -> None:
    """Raise `TrainingError` if the test loss is not finite.

    If only the last epoch diverged, print that the weights of an earlier epoch are kept.
    """
    last, selected = outcome.fitted.history[-1], outcome.fitted.selected
    if math.isfinite(last.train.loss) and math.isfinite(outcome.test.loss):
        return
    text = f"the training diverged: in epoch {last.number} its loss is not a finite number"
    advice = f"lower --learning-rate, which is {recipe.learning_rate:g}"
    if not math.isfinite(outcome.test.loss):
        raise TrainingError(f"{text}; nothing is published: {advice}")
    console.print(
        f"{text}; the weights of epoch {selected.number}, before, are kept. Better {advice}"
    )


_DRAWN = (".png", ".html")
