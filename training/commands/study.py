"""`study`: a question → its runs → a report with a table, findings, curves and histograms."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import Doc

from models import devices, files
from models.errors import OptionError, message
from training.commands import options
from training.fitting.records.run_folder import Run
from training.fitting.state import TrainingError
from training.recipes.recipe import Recipe
from training.studies import on_ray, report, runner
from training.studies.catalogue import STUDIES
from training.studies.study import SEEDS
from training.studies.study import Study as Question
from training.studies.summary import Summary


@dataclass(frozen=True)
class Study:
    """Run a study and compare the measured results with the reported ones.

    Finished runs are not repeated: an interrupted study continues when it is started again, and
    studies share runs. `study all` runs every study.
    """

    name: Annotated[
        Literal[(*STUDIES, "all")],  # type: ignore[valid-type]
        options.Positional("study"),
        Doc(f"One of {', '.join(STUDIES)}; or all."),
    ]
    seeds: tuple[int, ...] = SEEDS
    """Which runs of each variant are made; those of other seeds can join later, in the record that
    `fanlight results` keeps."""
    finished: bool = False
    """Report the runs that are finished, and start none: for a study that is being run."""
    quick: bool = False
    """Each run at a tenth of its length, for a look; findings are not judged then."""
    jobs: int | None = None
    """Runs beside each other, each in a process of its own; by default one."""
    ray: bool = False
    """Spread the runs over the Ray cluster of RAY_ADDRESS, or one that is started here, each on one
    processor or GPU; all its machines must share --runs and --data-root."""
    runs: Path = Path("runs")
    """Where run folders and reports are made, under studies/."""
    data_root: options.DataRoot = field(default_factory=options.data_root)
    device: options.Device = "auto"

    def __call__(self, console: Console) -> None:
        options.at_least_one(self, "jobs")
        if self.ray and self.jobs is not None:
            raise OptionError(
                "--jobs and --ray exclude each other: with --ray as many runs go on as the cluster "
                "has processors or GPUs; leave one of the two away"
            )
        if self.ray:
            on_ray.check_device(self.device)
        else:
            devices.resolve(self.device)
        studies = list(STUDIES.values()) if self.name == "all" else [STUDIES[self.name]]
        if unknown := set(self.seeds) - set(SEEDS):
            given = ", ".join(map(str, sorted(unknown)))
            raise OptionError(f"--seeds are {', '.join(map(str, SEEDS))}, not {given}")
        studies = [study.with_seeds(self.seeds) for study in studies]
        if self.quick:
            studies = [study.quick() for study in studies]
        if self.finished:
            studies = [self._as_far_as_run(study, console) for study in studies]
            studies = [study for study in studies if study.variants]
        self._run(studies, console)
        for study in studies:
            self._report(study, console)

    @property
    def _run_folders(self) -> Path:
        return self.runs / "studies" / "runs"

    def _as_far_as_run(self, study: Question, console: Console) -> Question:
        """Return the study with its finished runs only, and print how many are not finished."""
        runs = runner.unfinished(self._run_folders, study.recipes())
        there = study.without(runs)
        if runs:
            said = "" if there.variants else ", so there is no report"
            of = len(study.recipes())
            console.print(f"{study.name}: {len(runs)} of {of} runs are not finished{said}")
        return there

    def _run(self, studies: list[Question], console: Console) -> None:
        """Train the runs that are not finished yet.

        Raises `TrainingError` if a run failed, or an `ExceptionGroup` of the errors that are bugs.
        """
        recipes = [recipe for study in studies for recipe in study.recipes()]
        waiting = runner.unfinished(self._run_folders, recipes)
        if not waiting:
            return
        epochs = sum(recipe.epochs_to_run for recipe in waiting)
        how = "on Ray" if self.ray else f"{self.jobs or 1} at a time"
        console.print(f"{len(waiting)} runs, {epochs} epochs, {how}")
        columns = (TextColumn("epochs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        quiet = not console.is_terminal  # in a file the bar would leave an empty line
        failed: list[str] = []
        bugs: list[Exception] = []
        with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
            task = progress.add_task("", total=epochs)
            ended = self._ended(
                waiting, lambda done: progress.update(task, completed=done), console.print
            )
            with closing(ended):
                for recipe, error in ended:
                    where = runner.folder(self._run_folders, recipe)
                    if error is not None:
                        text = message(error)
                        failed.append(f"{where.name}: {text or repr(error)}")
                        bugs += [error] if text is None else []
                    else:
                        console.print(f"finished {where}")
        if failed:
            text = "runs failed:\n  " + "\n  ".join(failed)
            raise ExceptionGroup(text, bugs) if bugs else TrainingError(text)

    def _ended(
        self,
        recipes: Sequence[Recipe],
        on_progress: Callable[[int], None],
        on_note: Callable[[str], None],
    ) -> Generator[tuple[Recipe, Exception | None]]:
        given = (recipes, self._run_folders, self.data_root, self.device)
        if self.ray:
            return on_ray.run(*given, on_progress, on_note)
        return runner.run(*given, self.jobs or 1, on_progress)

    def _report(self, study: Question, console: Console) -> None:
        runs = {
            seed: {
                variant.label: Run(runner.folder(self._run_folders, variant.run_with(seed)))
                for variant in study.variants
                if seed in variant.seeds
            }
            for seed in study.seeds
        }
        variants = {variant.label: variant for variant in study.variants}
        by_seed = {
            seed: {
                label: report.measured(run, variants[label], self.data_root)
                for label, run in of_seed.items()
            }
            for seed, of_seed in runs.items()
        }
        target = self.runs / "studies" / (f"{study.name}-quick" if self.quick else study.name)
        files.make_folder(target)
        summary = Summary.of(study, by_seed, judged=not self.quick)
        text = f"# {study.name}\n\n{summary.markdown()}\n![curves](curves.png)\n"
        first = study.seeds[0]
        pictures = report.pictures(study, runs[first], by_seed[first], self.data_root)
        for name, content in pictures.items():
            files.write(target / name, content)
            if name != "curves.png":
                text += f"\n![histograms]({name})\n"
        files.write_json(target / "study.json", summary.model_dump())
        files.write(target / "report.md", text.encode())
        console.print(f"\n{summary.markdown()}\nreport: {target / 'report.md'}")
