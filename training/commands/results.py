"""`results`: run folders → the record of results → a page that shows it."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from models import files
from models.errors import OptionError
from training.results import Record


@dataclass(frozen=True)
class Results:
    """Record reported and measured results of every recipe and study.

    Adds finished runs to results.json and writes results.md from it. Recorded results are kept,
    even if their run folder is deleted. A training with the same recipe, seed and number of epochs
    replaces the recorded one.
    """

    runs: Path = Path("runs")
    """Where the run folders are."""
    docs: Path = Path("docs")
    """The folder of results.json and results.md."""

    def __call__(self, console: Console) -> None:
        if not self.docs.is_dir():
            raise OptionError(f"there is no folder {self.docs}: name one with --docs")
        if not self.runs.is_dir():
            raise OptionError(
                f"there is no folder {self.runs}: name the folder of the runs with --runs"
            )
        path = self.docs / "results.json"
        record = Record.read(path).with_runs(self.runs)
        files.write_json(path, record.as_json())
        files.write(self.docs / "results.md", record.markdown().encode())
        console.print(
            f"trainings: {len(record.trainings)}, studies: {len(record.studies)}, "
            f"all in {self.docs / 'results.md'}"
        )
        if missing := record.missing():
            console.print(f"nothing recorded yet of: {', '.join(missing)}")
