"""Trust in a trained network's answers, for its card: calibration and familiarity (`models.trust`).

    pictures → logits and penultimate features (`answers`) → `models.trust.fit` → lines for people

The trust is fitted on pictures that were not trained on. These are the validation pictures, by
which the epoch was selected too. Without any, they are the pictures that the recipe holds back
(`calibration_fraction`). If only a head was fitted, or too few pictures were held out of few, they
are all pictures, by cross-validation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from models import features, trust
from models.preprocessing import InputSpec
from models.structure import reading
from models.trust import (
    Answers,
    Expectation,
    SecondLook,
    Strangers,
    Trust,
    TrustError,
    calibration,
    expectation,
    is_blank,
    second_look,
)
from models.trust.methods.gaussian import MAX_WIDTH
from training.data import names, patterns, storage
from training.data.datasets import ImageSet
from training.data.files import sources
from training.fitting import loop, predicting
from training.fitting.state import Fitted
from training.recipes.recipe import Recipe

MAX_REFERENCE = 10_000  # pictures that were trained on, or of strangers; more change little
PATTERNS, LEAST_PATTERNS = 100, 10  # of each kind; more change the statistic little
FURTHER_TRAININGS = calibration.FOLDS  # by `trains_again`
MAX_TRAINED_AGAIN = 1_000  # pictures that further networks are trained on, to calibrate one
_MAX_VALUES = 2**26  # of their features, 256 MiB


@torch.inference_mode()
def answers(
    network: nn.Module, images: ImageSet, spec: InputSpec, second_look: SecondLook | None = None
) -> Answers:
    """Return the logits and penultimate features of all pictures, in their order, on the CPU.

    The features are None if the network has none, or too many. With `second_look`, pictures of
    which the network is unsure are looked at again, mirrored.
    """
    if second_look is not None:
        first = answers(network, images, spec)

        def look(due: NDArray[np.bool_]) -> NDArray[np.float32]:
            again = images.subset(torch.from_numpy(due).to(images.images.device))
            return answers(network, again.mirrored(), spec).logits.numpy()

        return first.looked_again(second_look, look)
    device = images.images.device
    black = spec.normalize(torch.zeros(1, *spec.shape, dtype=torch.uint8, device=device))
    layers = reading.layers(network.eval(), black)
    has_features = _width(layers) is not None
    logits: list[Tensor] = []
    found: list[Tensor] = []
    blank = [np.zeros(0, np.bool_)]
    with features.capture(network, _CAPTURED if has_features else (), layers) as captured:
        for batch in images.images.split(predicting.batch_size(spec)) if len(images) else ():
            logits.append(network(spec.normalize(batch)).float().cpu())
            blank.append(is_blank(batch.cpu().numpy()))
            if has_features:
                found.append(captured[features.PENULTIMATE].float().cpu())
    return Answers(
        torch.cat(logits) if logits else torch.empty(0, 1),
        torch.cat(found) if found else None,
        images.targets.cpu(),
        torch.from_numpy(np.concatenate(blank)),
    )


def looked_twice(
    network: nn.Module, images: ImageSet, spec: InputSpec
) -> tuple[Answers, SecondLook | None]:
    """Return the answers to calibration pictures, and the second look that improves them, or None.

    The second look is applied to the answers.
    """
    first = answers(network, images, spec)
    if len(first) < trust.LEAST_IMAGES or not first.logits.isfinite().all():
        return first, None
    mirrored = answers(network, images.mirrored(), spec).logits
    found = second_look.choose(first.logits, mirrored, first.targets)
    if found is None:
        return first, None
    return first.looked_again(found, lambda due: mirrored.numpy()[due]), found


_CAPTURED = (features.PENULTIMATE,)


def _width(layers: list[features.Layer]) -> int | None:
    """Return the number of penultimate features; None if there are none, or more than are
    compared."""
    shape = features.shapes(layers).get(features.PENULTIMATE)
    return shape[0] if shape is not None and len(shape) == 1 and shape[0] <= MAX_WIDTH else None


@dataclass(frozen=True)
class Trusted:
    """A fitted trust, and the answers that it was fitted on; `text` describes it for people."""

    fitted: trust.Fitted
    answers: Answers

    @property
    def text(self) -> str:
        found = self.fitted.trust
        lines = [] if found is None else self._lines(found)
        return "\n".join([*lines, *self.fitted.notes])

    def doubted(self, labels: Sequence[str]) -> str:
        """Name the classes of which most images would be unsure; empty if there are none."""
        found = self.fitted.trust
        if found is None:
            return ""
        is_unsure = ambiguous(found, self.answers)
        if self.fitted.pvalues is not None:
            is_unsure |= torch.from_numpy(self.fitted.pvalues < found.threshold)
        return doubted(is_unsure, self.answers.targets, labels)

    def _lines(self, found: Trust) -> list[str]:
        """Describe the calibration, and the share of familiar images that would be unsure."""
        card = found.calibration
        several = ambiguous(found, self.answers)
        shares = (
            f"{_percent(several)} ambiguous (several labels are in the set at coverage "
            f"{card.coverage:g}, or none is probable enough)"
        )
        if self.fitted.pvalues is not None:
            low = torch.from_numpy(self.fitted.pvalues < found.threshold)
            shares = (
                f"{_percent(low | several)} unsure: {_percent(low)} unfamiliar (below "
                f"{found.threshold:g}), {shares}"
            )
        return [
            f"calibrated on {card.images:,} images ({card.source}): ECE {card.ece_before:.4f} "
            f"before, {card.ece_after:.4f} after, by cross-fitting (temperature "
            f"{card.temperature:.3g})",
            f"of such images it would call {shares}",
            *self._of_strangers(found),
            *_again(card.second_look),
        ]

    def _of_strangers(self, found: Trust) -> list[str]:
        if self.fitted.told_apart is None or found.familiarity is None:
            return []
        part = f"{self.fitted.told_apart:.1%}".replace("%", " %")
        learned = found.familiarity.strangers
        return [f"of the strangers that it learned, {learned}, {part} are unfamiliar"]


def _again(look: SecondLook | None) -> list[str]:
    if look is None:
        return []
    part = f"{look.part:.0%}".replace("%", " %")
    return [
        "it looks again, mirrored, at images whose top softmax probability is below "
        f"{look.below:.3g} ({part} of such images): their logits are the mean of both"
    ]


def fit(
    fitted: Fitted,
    recipe: Recipe,
    spec: InputSpec,
    on_training: Callable[[], None] = lambda: None,
) -> Trusted:
    """Fit the trust of a trained network, whose pictures lie on its device.

    `on_training` is called after each of the `FURTHER_TRAININGS`, if there are any.
    """
    found = _fit(fitted, recipe, spec, on_training)
    expects = expected(fitted.trained_on)
    return replace(found, fitted=replace(found.fitted, expects=expects))


def expected(images: ImageSet) -> Expectation:
    """Measure what these pictures look like: usual levels of the background, and shares of the
    subject."""
    some = storage.some(images.images, expectation.sample(images.images.shape))
    batches = some.split(expectation.BATCH)
    return expectation.of_batches(batch.cpu().numpy() for batch in batches)


def _fit(
    fitted: Fitted, recipe: Recipe, spec: InputSpec, on_training: Callable[[], None]
) -> Trusted:
    if fitted.crossed is not None and len(fitted.crossed) < trust.LEAST_IMAGES:
        few = trust.Fitted(None, (trust.too_few(len(fitted.crossed)),))
        return Trusted(few, fitted.crossed)
    if fitted.crossed is not None:
        source = (
            f"the training set of {_called(recipe.dataset)}, by cross-validation: each image is "
            "answered by a head that was fitted without it"
        )
        others = _strangers(fitted, recipe, spec, fitted.crossed)
        return Trusted(trust.fit(fitted.crossed, source, strangers=others), fitted.crossed)
    if trains_again(recipe, sizes_of(fitted)):
        return _crossed(fitted, recipe, spec, on_training)
    images = fitted.calibration
    count = 0 if images is None else len(images)
    if images is None or count < trust.LEAST_IMAGES:
        none = Answers(torch.empty(0, 1), None, torch.empty(0, dtype=torch.long))
        return Trusted(trust.Fitted(None, (trust.too_few(count),)), none)
    found, look = answers(fitted.network, images, spec), None
    if recipe.flip:
        found, look = looked_twice(fitted.network, images, spec)
    reference = answers(fitted.network, reference_of(fitted.trained_on, found), spec)
    source, others = source_of(fitted, recipe), _strangers(fitted, recipe, spec, found)
    return Trusted(trust.fit(found, source, reference, others, look), found)


def trains_again(recipe: Recipe, sizes: loop.Sizes) -> bool:
    """Return whether further networks are trained to calibrate this one by cross-validation.

    That is so if too few pictures were held out for calibration, and so few were trained on that it
    takes little time. Pretrained weights, fitted heads and the schedule `plateau` exclude it.
    """
    is_quick = trust.LEAST_IMAGES <= sizes.trained_on <= MAX_TRAINED_AGAIN
    is_plain = recipe.tune == "all" and recipe.pretrained is None and recipe.schedule != "plateau"
    return sizes.calibration < trust.LEAST_IMAGES and is_quick and is_plain


def sizes_of(fitted: Fitted) -> loop.Sizes:
    """Return how many pictures the network was trained on, and how many are left to calibrate."""
    return loop.Sizes(len(fitted.trained_on), len(fitted.calibration or ()))


def _crossed(
    fitted: Fitted, recipe: Recipe, spec: InputSpec, on_training: Callable[[], None]
) -> Trusted:
    """Fit the trust on the training pictures, by cross-validation.

    Each fifth of the pictures is answered by a network that the same recipe trains on the rest. So
    no picture is answered by a network that has seen it.
    """
    images = fitted.trained_on
    recipe = replace(recipe, validation_fraction=0.0, calibration_fraction=0.0)
    folds = calibration.folds_of(images.targets)
    parts: list[Answers] = []
    statistics: list[Tensor] = []
    for fold in range(FURTHER_TRAININGS):
        is_out = folds == fold
        out = images.subset(is_out.nonzero().flatten())
        rest = images.subset((~is_out).nonzero().flatten())
        other = loop.fit(recipe, rest, spec, rest.images.device, strangers=fitted.strangers)
        parts.append(answers(other.network, out, spec))
        statistics += _statistic_by(other, recipe, spec, parts[-1])
        on_training()
    source = (
        f"the training set of {_called(recipe.dataset)}, by cross-validation: each image is "
        "answered by a network that was trained without it"
    )
    found, own = Answers.joined(parts), answers(fitted.network, images, spec)
    if len(statistics) < len(parts):
        return Trusted(trust.fit(replace(found, features=None), source), found)
    others = _strangers(fitted, recipe, spec, found)
    made = trust.fit(found, source, own, others, statistics=torch.cat(statistics))
    return Trusted(made, found)


def _statistic_by(other: Fitted, recipe: Recipe, spec: InputSpec, held: Answers) -> list[Tensor]:
    """Return how strange the pictures are that `other` answered, as a list of one tensor (N,).

    The method is fitted on the pictures that `other` was trained on. The list is empty if that
    fails.
    """
    own = answers(other.network, other.trained_on, spec)
    try:
        method = trust.statistic_of(own, _strangers(other, recipe, spec, held))
    except TrustError:
        return []
    features = held.features
    if features is None:
        features = held.logits.new_empty(len(held), 0)
    return [method(held.logits, features)]


def _strangers(fitted: Fitted, recipe: Recipe, spec: InputSpec, found: Answers) -> Strangers | None:
    """Return answers to the strangers of the training, or else to drawn patterns."""
    if fitted.strangers is not None and recipe.strangers is not None:
        return strangers(fitted.network, fitted.strangers, recipe.strangers, spec)
    return pattern_strangers(fitted.network, fitted.trained_on, spec, found)


@cache
def _patterns() -> tuple[list[Image.Image], list[int]]:
    return patterns.draw(PATTERNS, seed=1)


def pattern_strangers(
    network: nn.Module, own: ImageSet, spec: InputSpec, found: Answers
) -> Strangers | None:
    """Return a network's answers to drawn patterns, which serve as strangers if none were given.

    There are about as many patterns as `own` has images, and at most `PATTERNS` of each kind, so
    that a large network with twenty images does not have to answer hundreds of patterns. The
    network is on the device of `own`. `found` are any answers of the network: without features in
    them, strangers can't be learned, and None is returned.
    """
    if found.features is None:
        return None
    each = min(PATTERNS, max(LEAST_PATTERNS, len(own) // len(patterns.LABELS)))
    images, targets = _patterns()
    some = [at for at in range(len(images)) if at % PATTERNS < each]
    pixels = torch.stack([spec.pixels(images[at]) for at in some])
    drawn = ImageSet(pixels, torch.tensor(targets)[some], patterns.LABELS)
    return strangers(network, drawn.to(own.images.device), "patterns", spec)


def strangers(network: nn.Module, images: ImageSet, dataset: str, spec: InputSpec) -> Strangers:
    """Return answers to some of the strangers, with their data set and labels for the card."""
    some = reference_of(images, answers(network, images.subset(torch.arange(1)), spec))
    kinds = names.some(images.labels, 20)
    return Strangers(answers(network, some, spec), f"{_called(dataset)} ({kinds})")


def source_of(fitted: Fitted, recipe: Recipe) -> str:
    """Describe for the card where the calibration pictures of a training are from."""
    if not fitted.validated:
        return f"held back from the training set of {_called(recipe.dataset)} for calibration alone"
    has_chosen = recipe.selection == "best" and not fitted.is_frozen
    chosen = "; the epoch was selected by them" if has_chosen else ""
    return f"validation images of {_called(recipe.dataset)}, which were not trained on{chosen}"


def _called(dataset: str) -> str:
    """Return the name of the data set, without the folders around it."""
    return sources.JOIN.join(Path(part).name for part in sources.parts(dataset))


def reference_of(images: ImageSet, found: Answers) -> ImageSet:
    """Some of the pictures, drawn at random, as many as memory allows for answers like `found`."""
    width = 1 if found.features is None else found.features.shape[1]
    most = max(1, min(MAX_REFERENCE, _MAX_VALUES // max(1, width)))
    if len(images) <= most:
        return images
    generator = torch.Generator().manual_seed(0)
    return images.subset(torch.randperm(len(images), generator=generator)[:most].sort().values)


def doubted(is_unsure: Tensor, targets: Tensor, labels: Sequence[str]) -> str:
    """Name the classes most of whose images are unsure, for people; empty if there are none.

    `is_unsure` (N,) and `targets` (N,), class indices, are of the same images.
    """
    told = []
    for index, label in enumerate(labels):
        own = is_unsure[targets == index]
        if 2 * int(own.sum()) > len(own):
            told.append(f"{label} ({int(own.sum())} of {len(own)})")
    if not told:
        return ""
    few = names.some(told, 5)
    return f"unsure of most images of {few}: more of that kind to train on would help"


def unsure(found: Trust, on: Answers) -> tuple[Tensor, Tensor]:
    """Return which answers are unfamiliar, and which are ambiguous; both are unsure; (N,) bool
    each."""
    low = torch.zeros(len(on), dtype=torch.bool)
    if found.method is not None:
        low = torch.from_numpy(found.pvalues(statistic(found, on)) < found.threshold)
    return low, ambiguous(found, on)


def ambiguous(found: Trust, on: Answers) -> Tensor:
    """Return which answers don't have exactly one probable label at the card's coverage; (N,)
    bool."""
    probabilities = found.probabilities(on.logits.float().cpu()).numpy()
    return torch.from_numpy(~found.are_clear(probabilities))


@torch.no_grad()
def statistic(found: Trust, on: Answers) -> NDArray[np.float32]:
    """Return how strange each answered image is, (N,); larger is stranger.

    A blank image gets the largest statistic, unless familiarity has learned to judge such images.
    Raises `TrustError` if there is no familiarity.
    """
    if found.method is None:
        raise TrustError("the card has no familiarity")
    place = next((each.device for each in found.method.buffers()), on.logits.device)
    taken = on.features if on.features is not None else on.logits.new_empty(len(on), 0)
    given = found.statistic(on.first_look.float().to(place), taken.float().to(place))
    values: NDArray[np.float32] = given.cpu().numpy()
    if on.blank is not None and found.statistics is not None and not found.knows_blank:
        values = np.where(on.blank, found.statistics.strangest, values)
    return values


def _percent(which: Tensor) -> str:
    return f"{which.double().mean().item():.1%}".replace("%", " %")
