"""`evaluate`: a published checkpoint and a data set → accuracy, confusion matrix, classes."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table

from models import devices, files, repositories
from models.checkpoint import Card
from training import plots
from training.commands import options
from training.data import datasets, loose
from training.data import registry as data_sets
from training.data import strangers as learned_strangers
from training.data.account import Account
from training.data.files import sources
from training.data.files.splits import Split
from training.data.registry import DATASETS
from training.fitting import evaluation, trust
from training.fitting.evaluation import Evaluation
from training.fitting.reliability import NoFamiliarityError, Reliability, Strangers
from training.review import evaluation_page
from training.review.labels import HELD_OUT, Judged
from training.review.review import Review


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a published checkpoint: accuracy, confusion matrix, metrics per class."""

    model: options.ModelName
    """The model's name in the repository."""
    version: int | None = None
    """Its version; by default the highest."""
    dataset: Annotated[str | None, data_sets.COMPLETION] = None
    """A data set by name, or a folder of {train,test}/<class>/ pictures; by default the one that
    the model was trained on."""
    split: Split = "test"
    """Which part of the data set."""
    data_root: options.DataRoot = field(default_factory=options.data_root)
    repository: options.Repositories = field(default_factory=options.readable_repositories)
    architectures: options.Architectures = field(default_factory=options.architectures)
    strangers: str | None = None
    """A folder of images of none of the classes, or a data set by name: how well familiarity tells
    them apart."""
    output: Path | None = None
    """A folder for evaluation.json, confusion.png, reliability.png, strangers.png, data.html and
    data.csv."""
    html: bool = False
    """Write evaluation.html, too: confusion, surest mistakes and unsure pictures, as one web page;
    into the output folder, or else the working folder."""
    device: options.Device = "auto"

    def __call__(self, console: Console) -> None:
        device = devices.resolve(self.device)
        permission = options.permission(self.architectures)
        loaded = repositories.load_named(
            self.repository, self.model, self.version, device, permission
        )
        card = loaded.card
        dataset = self.dataset
        if dataset is None and card.training is not None:
            dataset = card.training.dataset
        if dataset is None:
            raise datasets.DatasetError(
                f"the card of {card.name}/{card.version} names no data set; give one as --dataset"
            )
        strangers = None
        if self.strangers is not None:
            if loaded.trust is None or loaded.trust.familiarity is None:
                raise NoFamiliarityError
            strangers = loose.load(self.strangers, self.data_root, card.input)
        seed = card.training.seed if card.training else 0
        images = datasets.load(dataset, self.split, self.data_root, card.input, seed)
        account = Account({self.split: images})
        console.print(account.text(), markup=False, highlight=False)
        review = Review.of({self.split: images})
        console.print(review.text(), markup=False, highlight=False)
        images = images.relabel(card.labels).to(device)
        look = None if loaded.trust is None else loaded.trust.second_look
        answers = trust.answers(loaded.network, images, card.input, look)
        logits = answers.logits
        result = evaluation.score(logits, answers.targets, card.labels)
        console.print(
            f"{card.name}/{card.version} on {dataset} ({self.split}, {len(images):,} pictures): "
            f"accuracy {result.accuracy:.4f} ({result.interval}), loss {result.loss:.4f}"
        )
        if (hidden := result.verdict()) is not None:
            console.print(hidden, markup=False, highlight=False)
        console.print(_confusion_table(result), _class_table(result))
        reliable = Reliability.of(loaded.trust, answers)
        console.print(reliable.text(card), markup=False, highlight=False)
        doubts = None
        if loaded.trust is not None:
            unfamiliar, ambiguous = trust.unsure(loaded.trust, answers)
            doubts = unfamiliar, ambiguous
            if doubted := trust.doubted(unfamiliar | ambiguous, answers.targets, card.labels):
                console.print(doubted, markup=False, highlight=False)
        if _is_calibrated_on(card, dataset, self.split):
            console.print(
                "the calibration was fitted on pictures of a data set of this name; if these are "
                "the same, what is told of it is better than on others",
                markup=False,
                highlight=False,
            )
        told_apart = None
        if strangers is not None:
            console.print(Account({"strangers": strangers}).text(), markup=False, highlight=False)
            strange = trust.answers(loaded.network, strangers.to(device), card.input, look)
            told_apart = Strangers.of(loaded.trust, answers, strange)
            console.print(told_apart.text, markup=False, highlight=False)
            if (seen := self._seen(card)) is not None:
                console.print(seen, markup=False, highlight=False)
        if self.split != "train":  # which the network was trained on
            judged = Judged(self.split, images, reliable.probabilities, HELD_OUT)
            review = review.judged([judged])
            console.print(review.text_of_labels(), markup=False, highlight=False)
        if self.html:
            place = (self.output or Path()) / evaluation_page.PAGE
            files.make_folder(place.parent)
            about = evaluation_page.About(f"{card.name}/{card.version}", dataset, self.split)
            shown = evaluation_page.page(about, images, result, reliable.probabilities, doubts)
            files.write(place, shown)
            console.print(f"drawn: {place}", markup=False, highlight=False)
        if (output := self.output) is not None:
            files.make_folder(output)
            review.write(dataset, lambda name, content: files.write(output / name, content))
            title = f"{card.name}/{card.version} on {dataset}"
            files.write(output / "confusion.png", plots.confusion(result, title))
            files.write(output / "reliability.png", reliable.drawn(title))
            if told_apart is not None:
                files.write(output / "strangers.png", told_apart.drawn(f"{title}: strangers"))
            told = (
                asdict(result)
                | reliable.as_json()
                | {
                    "pictures": result.count,
                    "accuracy_interval": [result.interval.low, result.interval.high],
                    "balanced_accuracy": result.balanced_accuracy,
                    "strangers": None if told_apart is None else told_apart.as_json(),
                }
            )
            content = json.dumps(told, indent=2, ensure_ascii=False).encode()
            files.write(output / "evaluation.json", content)

    def _seen(self, card: Card) -> str | None:
        """Return a note if folders of strangers were trained on, else None.

        Registered data sets are no problem: their test pictures are used here, and others in
        training.
        """
        learned = learned_strangers.of_training(card)
        if learned is None or self.strangers is None:
            return None
        shared = [
            each
            for each in sources.parts(self.strangers, self.data_root)
            if each not in DATASETS and sources.is_same(each, learned, self.data_root)
        ]
        if not shared:
            return None
        return (
            f"the network was trained with {', '.join(shared)} as strangers, so this says little "
            "of others: give a folder that it has not seen"
        )


def _is_calibrated_on(card: Card, dataset: str, split: Split) -> bool:
    """Whether the card's calibration was fitted on pictures of that part of the data set."""
    name = Path(dataset).name or dataset
    places = [f"all images of {name},", f"the {split} part of {name},"]
    if split == "test":
        places.append(f"half of the test images of {name}:")
    return card.calibration is not None and card.calibration.source.startswith(tuple(places))


def _confusion_table(result: Evaluation) -> Table:
    table = Table(title="confusion matrix: rows are actual, columns predicted")
    table.add_column("")
    for figures in result.classes:
        table.add_column(figures.label, justify="right")
    for figures, counts in zip(result.classes, result.confusion, strict=True):
        table.add_row(figures.label, *map(str, counts))
    return table


def _class_table(result: Evaluation) -> Table:
    table = Table("class", "precision", "recall", "F1", "pictures", title="by class")
    for figures in result.classes:
        shares = (figures.precision, figures.recall, figures.f1)
        table.add_row(figures.label, *(f"{s:.4f}" for s in shares), str(figures.support))
    return table
