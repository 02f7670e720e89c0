"""The models that Fanlight ships, calibrated: what their probabilities, sets and familiarity keep.

`python -m benchmarks calibration --data-root DATA` prints a row for each model, measured on test
images that nothing was fitted on. With `--publish-to FOLDER` it also publishes the calibrated
models there, with the same weights. The ECE should be at most 0.015. Fitting the temperature and
the sets involves no choice. The statistic of familiarity was chosen from about ten candidates on
birds-vs-planes, with these test images, and with noise, flat colours and CIFAR-10's other classes
as strangers. So its AUROC is not that of a blind test.

A model is calibrated on the images that its recipe held out of the training set, if the same split
can be drawn again: the validation accuracy must equal that of the card. The other models were
trained on all training images. They are calibrated on half of the test set, and their figures are
those of the other half. The reference of familiarity is training images. Strangers that a model
was trained with are no test of it: of `OTHERS`, birds-vs-planes has seen cifar10-others.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from models import checkpoint, trust
from models.checkpoint import Checkpoint, Place
from models.repository_paths import SHIPPED
from models.trust import Answers, second_look
from training.data import datasets, loose
from training.data import strangers as learned
from training.data.datasets import ImageSet
from training.fitting import evaluation
from training.fitting import trust as trusts
from training.fitting.reliability import Reliability, Strangers

SEED = 0
STRANGERS = 1000  # of each kind
OTHERS = ("mnist", "fashion-mnist", "cifar10-others")
SAME = 1e-4  # of two validation accuracies, which the card rounds
HEAD = (
    "model", "fitted on", "measured on", "accuracy", "ECE before", "after", "coverage 0.95",
    "its own", "below 0.05", "ambiguous", "AUROC noise", "flat", *OTHERS,
)  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """The image sets for fitting, measuring and the reference; `source` names the first."""

    fitted_on: ImageSet
    measured_on: ImageSet
    reference: ImageSet
    source: str
    is_whole_test_set: bool = True


def parts(loaded: Checkpoint, root: Path) -> Parts:
    """Choose the image sets of a model. Raises `DatasetError` if its data set is missing."""
    card = loaded.card
    assert card.training is not None  # shipped models tell it
    name, seed, spec = card.training.dataset, card.training.seed, card.input
    train, test = (
        datasets.load(name, split, root, spec, seed).relabel(card.labels)
        for split in ("train", "test")
    )
    recipe = card.training.recipe
    if card.calibration is not None and card.calibration.source.startswith("held back"):
        generator = torch.Generator().manual_seed(seed)
        rest, _ = train.hold_out(0.0, generator)
        rest, held = rest.hold_out(float(str(recipe["calibration_fraction"])), generator)
        if len(held) == card.calibration.images:
            return Parts(held, test, rest, card.calibration.source)
    fraction = recipe.get("validation_fraction")
    if isinstance(fraction, float) and fraction > 0:
        rest, held = train.hold_out(fraction, torch.Generator().manual_seed(seed))
        answers = trusts.answers(loaded.network, held, spec)
        accuracy = evaluation.metrics(answers.logits, answers.targets).accuracy
        if abs(accuracy - card.metrics["validation_accuracy"]) < SAME:
            source = (
                f"validation images of {name}, which were not trained on; the epoch was selected "
            )
            source += "by them"
            return Parts(held, test, rest, source)
    half, other = test.hold_out(0.5, torch.Generator().manual_seed(SEED))
    source = f"half of the test images of {name}: none of its training images was held out"
    return Parts(half, other, train, source, is_whole_test_set=False)


def learned_strangers(
    loaded: Checkpoint, own: ImageSet, root: Path, found: Answers
) -> trust.Strangers | None:
    """Return the strangers that the model was trained with; patterns if it had none."""
    assert loaded.card.training is not None
    name, spec = learned.of_training(loaded.card), loaded.card.input
    if name is None:
        return trusts.pattern_strangers(loaded.network, own, spec, found)
    images = learned.load(name, root, spec, loaded.card.training.seed, loaded.card.labels)
    return trusts.strangers(loaded.network, images, name, spec)


def strangers(loaded: Checkpoint, root: Path) -> Iterator[Answers | None]:
    """Yield answers to noise, flat colours and `OTHERS`; None for the model's own data set."""
    spec, card = loaded.card.input, loaded.card
    generator = torch.Generator().manual_seed(SEED)

    def answers(images: Tensor) -> Answers:
        targets = torch.zeros(len(images), dtype=torch.long)
        return trusts.answers(loaded.network, ImageSet(images, targets, (loose.LABEL,)), spec)

    for shape in (spec.shape, (spec.channels, 1, 1)):
        levels = torch.randint(256, (STRANGERS, *shape), generator=generator, dtype=torch.uint8)
        yield answers(levels.expand(STRANGERS, *spec.shape).contiguous())
    for name in OTHERS:
        assert card.training is not None
        if name == card.training.dataset:
            yield None
            continue
        images = loose.load(name, root, spec).images
        yield answers(images[torch.randperm(len(images), generator=generator)[:STRANGERS]])


def measure(loaded: Checkpoint, root: Path, place: Place, target: Path) -> list[str]:
    """Calibrate a model, publish it to `target`, and return its row of the table."""
    found, spec = parts(loaded, root), loaded.card.input
    answers, look = trusts.answers(loaded.network, found.fitted_on, spec), None
    assert loaded.card.training is not None
    if loaded.card.training.recipe.get("flip"):
        answers, look = trusts.looked_twice(loaded.network, found.fitted_on, spec)
    reference = trusts.answers(loaded.network, trusts.reference_of(found.reference, answers), spec)
    strange = learned_strangers(loaded, found.reference, root, answers)
    fitted = replace(
        trust.fit(answers, found.source, reference, strange, look),
        expects=trusts.expected(found.reference),
    )
    fresh = trusts.answers(loaded.network, found.measured_on, spec, look)
    accuracy = evaluation.metrics(fresh.logits, fresh.targets).accuracy
    metrics = {n: value for n, value in loaded.card.metrics.items() if n != second_look.METRIC}
    if look is not None and found.is_whole_test_set:
        metrics[second_look.METRIC] = accuracy
    card = loaded.card.model_copy(update={"metrics": metrics})
    checkpoint.publish_trust(target, place, card, fitted)
    kept = Reliability.of(fitted.trust, fresh)
    assert fitted.trust is not None
    assert kept.unfamiliar is not None
    assert kept.ambiguous is not None
    sets = fitted.trust.sets(fitted.trust.probabilities(fresh.logits).numpy())
    held = sets[range(len(fresh)), fresh.targets.numpy()].mean()
    apart = [
        "" if each is None else f"{Strangers.of(fitted.trust, fresh, each).auroc:.3f}"
        for each in strangers(loaded, root)
    ]
    return [
        loaded.card.name, f"{len(answers):,}", f"{len(fresh):,}", f"{accuracy:.4f}",
        f"{kept.ece_before:.4f}", f"{kept.ece:.4f}", f"{kept.coverage:.4f}",
        f"{held:.4f} ({fitted.trust.coverage:g})", f"{kept.unfamiliar:.4f}",
        f"{kept.ambiguous:.4f}", *apart,
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--publish-to", type=Path, help="a new repository for the six models")
    parser.add_argument("--repository", type=Path, default=SHIPPED)
    parser.add_argument("models", nargs="*", help="by default all")
    asked = parser.parse_args()
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD), flush=True)
    with tempfile.TemporaryDirectory() as made:
        target = asked.publish_to or Path(made)
        for name in asked.models or checkpoint.names(asked.repository):
            place = checkpoint.find(asked.repository, name)
            loaded = checkpoint.load(place, torch.device("cpu"))
            row = measure(loaded, asked.data_root, place, target)
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
