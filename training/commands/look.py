"""`look`: a data set → what is odd about its pictures, before anything is trained."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from rich.console import Console

from models import files
from training.commands import options
from training.data import datasets
from training.data import registry as data_sets
from training.data.account import LEFT_OUT, Account
from training.recipes import auto, catalogue
from training.review.review import PAGE, TABLE, Review


@dataclass(frozen=True)
class Look:
    """Look at a data set before training: copies, pictures in two classes or in train and test,
    blank, tiny and unreadable ones.

    `fit` looks in the same way, and afterwards at the labels, too.
    """

    dataset: Annotated[str, options.Positional("folder"), data_sets.COMPLETION]
    """A folder of pictures, with a folder for each class in it, a zip, tar or CSV of them, or a
    data set by name."""
    data_root: options.DataRoot = field(default_factory=options.data_root)
    output: Path = Path("look")
    """A folder for data.html, data.csv and left-out.csv."""
    seed: int = 0
    """Decides which fifth is for testing, where the folder has no test pictures of its own."""

    def __call__(self, console: Console) -> None:
        recipe = replace(catalogue.OWN, dataset=self.dataset, seed=self.seed)
        spec = auto.fill_input(recipe, self.data_root).input
        splits = datasets.load_all(self.dataset, self.data_root, spec, self.seed)
        account, review = Account(splits), Review.of(splits)
        console.print(account.text(self.output / LEFT_OUT), markup=False, highlight=False)
        console.print(review.text(), markup=False, highlight=False)
        files.make_folder(self.output)
        if account.left_out:
            files.write(self.output / LEFT_OUT, account.as_csv())
        review.write(self.dataset, lambda name, content: files.write(self.output / name, content))
        console.print(f"drawn in {self.output}: {PAGE}; all rows are in {TABLE}")
