"""`calibrate`: a published model and images of its classes → its next version, which knows how sure
it is."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
from rich.console import Console

from models import checkpoint, devices, files, repositories, repository_paths
from models import trust as trusts
from models.checkpoint import Card, Checkpoint
from models.errors import OptionError
from models.remote.address import cache_folder
from models.trust import LEAST_IMAGES, Answers, SecondLook, second_look
from training.commands import options
from training.data import datasets, strangers
from training.data import registry as data_sets
from training.data.account import Account
from training.data.datasets import DatasetError, ImageSet
from training.data.files import sources
from training.data.files.splits import Split
from training.fitting import evaluation, trust
from training.fitting.evaluation import Evaluation
from training.fitting.trust import Trusted

_MUCH = 0.1  # that the accuracy is below that of the test images


@dataclass(frozen=True)
class Calibrate:
    """Publish a model's next version with calibration and familiarity, fitted to your own images.

    The images must show the model's classes, and must not have been used for training. The weights
    stay as they are, byte for byte.
    """

    model: options.ModelName
    """The model's name in the repository."""
    data: Annotated[str | None, data_sets.COMPLETION] = None
    """A folder of images with a folder for each class in it, a zip, tar or CSV of them, or a data
    set by name. Required."""
    split: Split | None = None
    """Which part of the data; by default all of a folder without parts, else validation, else
    test; of the data that the model was trained on the part that was not."""
    strangers: Annotated[str | None, data_sets.COMPLETION] = None
    """Images of none of the classes, which familiarity learns to tell from them: a folder, a data
    set by name, or several joined by " + "; by default those that it was trained with, else
    patterns, which are drawn."""
    version: int | None = None
    """The version to start from; by default the highest."""
    data_root: options.DataRoot = field(default_factory=options.data_root)
    repository: options.Repositories = field(default_factory=options.readable_repositories)
    publish_to: Path | None = None
    """The model repository to publish to; by default the one that has the model, and for a model
    that Fanlight ships, or that is elsewhere, the one that fit publishes to."""
    architectures: options.Architectures = field(default_factory=options.architectures)
    device: options.Device = "auto"

    def __post_init__(self) -> None:
        if not self.data:
            raise OptionError(
                "calibrate needs --data: a folder of images that were not trained on, with a "
                "folder for each class"
            )

    def __call__(self, console: Console) -> None:
        device = devices.resolve(self.device)
        permission = options.permission(self.architectures)
        home = repositories.having(self.repository, self.model)
        place = checkpoint.find(home, self.model, self.version)
        target = self.publish_to or _target(home)
        checkpoint.check_target(target, self.model)
        files.check_writable(target)
        loaded = checkpoint.load_named(home, self.model, self.version, device, permission)
        card = loaded.card
        repositories.check_same_labels(target, card.name, card.labels)
        images, source = self._images(card)
        console.print(Account({"calibration": images}).text(), markup=False, highlight=False)
        if len(images) < LEAST_IMAGES:
            raise DatasetError(
                f"nothing is published: {len(images)} images that were not trained on are too few, "
                f"{LEAST_IMAGES} are needed; give more as --data"
            )
        images = same_labels(images, card).to(device)
        found, look = self._answers(loaded, images)
        result = evaluation.score(found.logits, found.targets, card.labels)
        if result.interval.high < 1 / len(card.labels):
            raise DatasetError(
                f"nothing is published: {card.name}/{card.version} is right on "
                f"{result.accuracy:.4f} of these images, less than by chance: are their labels "
                "exchanged?"
            )
        others = self._strangers(loaded, images, found, console)
        trusted = Trusted(trusts.fit(found, source, strangers=others, second_look=look), found)
        if trusted.fitted.trust is None:
            raise DatasetError(f"nothing is published: {trusted.text}")
        fitted = replace(trusted.fitted, expects=card.expects or trust.expected(images))
        # the accuracy that the trust before had with a second look
        metrics = {n: value for n, value in card.metrics.items() if n != second_look.METRIC}
        card = card.model_copy(update={"metrics": metrics})
        published = checkpoint.publish_trust(target, place, card, fitted)
        doubted = trusted.doubted(card.labels)
        for text in filter(
            None, (_accuracy(result, card), result.told_apart(), trusted.text, doubted)
        ):
            console.print(text, markup=False, highlight=False)
        console.print(
            f"published {published.name}/{published.version} in {target}, with the weights of "
            f"{card.name}/{card.version}; serve it with\n"
            f"  fanlight serve{options.to_open(target, card.architecture)}",
            markup=False,
            highlight=False,
        )

    def _answers(self, loaded: Checkpoint, images: ImageSet) -> tuple[Answers, SecondLook | None]:
        """Return the answers to the images, and the second look if one is chosen.

        There is none for a network that was trained without mirrored pictures.
        """
        record = loaded.card.training
        if record is not None and not record.recipe.get("flip"):
            return trust.answers(loaded.network, images, loaded.card.input), None
        return trust.looked_twice(loaded.network, images, loaded.card.input)

    def _images(self, card: Card) -> tuple[ImageSet, str]:
        """Load the images, and describe for the card where they are from.

        Raises `OptionError` for the split that the model was trained on.
        """
        data = self.data or ""
        record, root, spec = card.training, self.data_root, card.input
        seed = record.seed if record is not None else 0
        trained = record is not None and sources.is_same(data, record.dataset, root)
        split = self.split or _split(data, root, trained)
        if trained and split == "train":
            raise OptionError(
                f"{card.name}/{card.version} was trained on the train part of {data}, of which it "
                "is too sure: give --split test, or images that were not trained on"
            )
        name = Path(data).name or data
        if split is not None:
            source = f"the {split} part of {name}, which was not trained on"
            if not trained:
                source = f"the {split} part of {name}, which the user gave as not trained on"
            return datasets.load(data, split, root, spec, seed), source
        parts = [datasets.load(data, each, root, spec, seed) for each in ("train", "test")]
        whole = replace(joined(*parts), place=data)
        return whole, f"all images of {name}, which the user gave as not trained on"

    def _strangers(
        self, loaded: Checkpoint, own: ImageSet, found: Answers, console: Console
    ) -> trusts.Strangers | None:
        """Return answers to strangers: those asked for, else those of the training, else drawn
        patterns."""
        card, images = loaded.card, None
        asked = self.strangers or strangers.of_training(card)
        if asked is not None:
            try:
                images = strangers.load(asked, self.data_root, card.input, 0, card.labels)
            except DatasetError as error:
                if self.strangers is not None:
                    raise
                console.print(
                    f"patterns are the strangers: those of the training can't be had ({error})",
                    markup=False,
                    highlight=False,
                )
        if asked is None or images is None:
            return trust.pattern_strangers(loaded.network, own, card.input, found)
        console.print(Account({"strangers": images}).text(), markup=False, highlight=False)
        return trust.strangers(loaded.network, images.to(own.images.device), asked, card.input)


def _target(home: Path) -> Path:
    ships = os.path.realpath(home) == os.path.realpath(repository_paths.SHIPPED)
    return options.repository() if ships or home.is_relative_to(cache_folder()) else home


def _accuracy(result: Evaluation, card: Card) -> str:
    """Describe the accuracy on these images, and say if it is far below that on the test images."""
    told = f"accuracy on these images {result.accuracy:.4f} ({result.interval})"
    tested = card.metrics.get("test_accuracy")
    if tested is None or result.interval.high > tested - _MUCH:
        return told
    return (
        f"{told}, on its test images {tested:.4f}: its probabilities are now those of "
        "images that it knows less well. If that is not meant, look at their labels"
    )


def _split(data: str, root: Path, trained: bool) -> Split | None:
    """Choose the split to use if the user gave none; None stands for all of the data."""
    source = sources.source_of(data, root)
    if source is None:  # by name, or an error that says what there is
        return "test"
    splits = sources.splits_of(source)
    if "validation" in splits and not trained:
        return "validation"
    return "test" if trained or "test" in splits else None


def joined(train: ImageSet, test: ImageSet) -> ImageSet:
    """Join the train and test pictures of a folder, with the labels of train."""
    datasets.check_labels(test, train)
    return train.followed_by(test.relabel(train.labels))


def same_labels(images: ImageSet, card: Card) -> ImageSet:
    """The images with the labels of the card.

    Raises `DatasetError` unless there are images of each label, and of no others.
    """
    relabelled = images.relabel(card.labels)
    counts = torch.bincount(relabelled.targets, minlength=len(card.labels)).tolist()
    if missing := [each for each, n in zip(card.labels, counts, strict=True) if not n]:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise DatasetError(
            f"the data has no images of {', '.join(missing[:10])}{more}, which {card.name} knows: "
            "add a folder of images for each label"
        )
    return relabelled
