"""A network's answers → its trust: temperature, label scores, familiarity.

    calibration images (not trained on)       → temperature, label scores, order statistics
    reference images (trained on), strangers → the method's statistic

Everything is computed on the CPU, in float64 where it is fitted, so the same answers give the same
trust.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.scores import is_right
from models.trust import calibration
from models.trust.answers import Answers
from models.trust.card import TENTHS, Calibration, Familiarity, Usual
from models.trust.errors import TrustError
from models.trust.expectation import Expectation
from models.trust.methods.method import METHODS, Method, Statistic
from models.trust.ranks import Ranks
from models.trust.second_look import SecondLook
from models.trust.trust import Trust

LEAST_IMAGES = 40
"""With fewer images, nothing is fitted. With fewer than 19 images, no p-value is below 0.05; one
image more among 40 moves a p-value by 0.025."""
METHOD = "gaussian"
METHOD_AGAINST_STRANGERS = "outlier-exposure"
METHOD_WITHOUT_FEATURES = "energy"
PENULTIMATE = "penultimate"
LOGITS = "logits"
KNOWN_BLANK = 0.02
"""If at least this part of the calibration images is of one colour, such images are judged as
others."""
THRESHOLD = 0.05
COVERAGE = 0.95


@dataclass(frozen=True)
class Fitted:
    """A trust, or None; `notes` are sentences on what was left out, and why.

    `pvalues` (N,) are those of the calibration images, each by a method that was fitted on other
    images; None without familiarity. `expects` describes what images look like; None if none were
    looked at. `told_apart` is the part of the strangers that are unfamiliar; None without
    strangers.
    """

    trust: Trust | None
    notes: tuple[str, ...] = ()
    pvalues: NDArray[np.float64] | None = None
    expects: Expectation | None = None
    told_apart: float | None = None


@dataclass(frozen=True)
class Strangers:
    """Answers to images of no class; `source` describes in words which images these are."""

    answers: Answers
    source: str


@torch.no_grad()
def fit(
    answers: Answers,
    source: str,
    reference: Answers | None = None,
    strangers: Strangers | None = None,
    second_look: SecondLook | None = None,
    statistics: Tensor | None = None,
) -> Fitted:
    """Fit the trust on `answers` to images that were not trained on.

    `source` describes in words where these images are from. `reference` are answers to images that
    were trained on, on which the method of familiarity is fitted. Without them the method is
    cross-fitted on `answers`: the statistic of each image comes from a method fitted on the other
    folds, and the method that is kept is fitted on all. With `strangers`, the method also learns to
    tell their penultimate features from those of the classes; without features a note says that
    strangers are of no use. `second_look` is the one used for `answers`; it goes into the card.
    `statistics` (N,) replace those computed here, if several networks gave the `answers`: each by
    `statistic_of` for its network.
    """
    answers = answers.on_cpu()
    count = len(answers)
    if count < LEAST_IMAGES:
        return Fitted(None, (too_few(count),))
    if not torch.isfinite(answers.logits).all():
        return Fitted(None, ("calibration is left out: some logits are not finite numbers",))
    logits, targets = answers.logits, answers.targets
    temperature = calibration.temperature(logits, targets)
    before = calibration.probabilities(logits, 1.0)
    crossed = calibration.cross_fitted(logits, targets)
    if not calibration.is_better(crossed, before, targets):
        temperature, crossed = 1.0, before
    after = calibration.probabilities(logits, temperature)
    found = Calibration(
        temperature=temperature,
        images=count,
        source=source,
        ece_before=round(calibration.calibration_error(before, targets), 6),
        ece_after=round(calibration.calibration_error(crossed, targets), 6),
        coverage=_coverage(logits, targets),
        usual=_usual(after),
        second_look=second_look,
    )
    label_scores = Ranks.of(calibration.label_scores(after, targets).numpy())
    trust = Trust(found, label_scores)
    try:
        return _with_familiarity(
            trust, answers, reference and reference.on_cpu(), strangers, statistics
        )
    except TrustError as error:
        return Fitted(trust, (f"familiarity is left out: {error}",))


def _usual(probabilities: Tensor) -> Usual:
    scores, found = probabilities.max(1)
    count, num_classes = probabilities.shape
    tenths = (scores.double() * TENTHS).long().clamp(max=TENTHS - 1)
    shares = torch.bincount(tenths, minlength=TENTHS) / count
    labels = torch.bincount(found, minlength=num_classes) / count
    return Usual(scores=_rounded(shares), labels=_rounded(labels))


def _rounded(shares: Tensor) -> tuple[float, ...]:
    return tuple(round(each, 6) for each in shares.tolist())


def too_few(count: int) -> str:
    """Return the note that this number of images is too low to calibrate."""
    return (
        f"calibration is left out: {count or 'no'} images that were not trained on are too few, "
        f"{LEAST_IMAGES} are needed; fanlight calibrate NAME --data FOLDER adds it with more"
    )


def _coverage(logits: Tensor, targets: Tensor) -> float:
    """Return the coverage: 0.95, or half of the way from the accuracy to 1 if that is higher.

    A coverage below the accuracy would give sets of one label only, which show no doubt. The number
    of images bounds it: `n` images support at most 1 - 1 / (n + 1).
    """
    accuracy = is_right(logits, targets).double().mean().item()
    count = len(targets)
    most = math.floor(count / (count + 1) * 1e4) / 1e4
    return min(max(COVERAGE, round((1 + accuracy) / 2, 4)), most)


def statistic_of(on: Answers, strangers: Strangers | None = None) -> Statistic:
    """Fit a statistic on answers to images that were trained on.

    Raises `TrustError` if the method can't be fitted.
    """
    on = on.on_cpu()
    has_features = on.features is not None
    usable, _ = _usable(strangers, has_features)
    method = _method(has_features, usable)
    others = None if usable is None else usable.answers.features
    return method.fit(on.first_look, _features(on), on.targets, others)


def _method(has_features: bool, strangers: Strangers | None) -> Method:
    if not has_features:
        return METHODS.get(METHOD_WITHOUT_FEATURES)
    return METHODS.get(METHOD if strangers is None else METHOD_AGAINST_STRANGERS)


def _with_familiarity(
    trust: Trust,
    answers: Answers,
    reference: Answers | None,
    strangers: Strangers | None,
    statistics: Tensor | None,
) -> Fitted:
    """Add a familiarity to the trust; raise `TrustError` if the method can't be fitted.

    Images of one colour are never familiar, unless they are common among the calibration images:
    then a class may be of empty sheets. If they are not, they are left out of the images that
    others are compared with.
    """
    blank = _blank(answers)
    part = blank.double().mean().item()
    knows_blank = part >= KNOWN_BLANK
    if knows_blank:
        blank = torch.zeros_like(blank)
    every, answers = answers, answers.subset(~blank)
    notes: tuple[str, ...] = ()
    if part:
        judged = "such are judged as others" if knows_blank else "such are never familiar"
        notes = (f"{100 * part:.1f} % of these images are of one colour: {judged}",)
    has_features = answers.features is not None
    strangers, left_out = _usable(strangers, has_features)
    notes += left_out
    fitted = partial(statistic_of, strangers=strangers)
    if reference is not None and len(reference):
        statistic = fitted(reference)
        values = statistic(answers.first_look, _features(answers))
    else:
        values = _cross_fitted(answers, fitted)
        statistic = fitted(answers)
    if statistics is not None:
        values = statistics.cpu()[~blank]
    familiarity = Familiarity(
        method=_method(has_features, strangers).name,
        layer=PENULTIMATE if has_features else LOGITS,
        images=len(answers),
        threshold=THRESHOLD,
        knows_blank=knows_blank,
        strangers=None if strangers is None else strangers.source,
    )
    scores = values.float().numpy()
    ranks = Ranks.of(scores)
    found = Trust(trust.calibration, trust.label_scores, familiarity, statistic.eval(), ranks)
    every_score = np.full(len(every), ranks.strangest)
    every_score[~blank.numpy()] = scores
    told_apart = None
    if strangers is not None:
        strange = statistic(strangers.answers.logits, _features(strangers.answers)).float().numpy()
        told_apart = float((ranks.pvalues(strange) < THRESHOLD).mean())
    return Fitted(found, notes, ranks.pvalues(every_score), told_apart=told_apart)


def _blank(answers: Answers) -> Tensor:
    if answers.blank is None:
        return torch.zeros(len(answers), dtype=torch.bool)
    return answers.blank


def _usable(
    strangers: Strangers | None, has_features: bool
) -> tuple[Strangers | None, tuple[str, ...]]:
    """Return the strangers that the method can learn from, and notes on those left out."""
    if strangers is None:
        return None, ()
    answers = strangers.answers.on_cpu()
    if not has_features or answers.features is None:
        return None, ("the strangers are of no use: the network has no penultimate features",)
    finite = answers.features.isfinite().all(1)
    if finite.all():
        return Strangers(answers, strangers.source), ()
    lost = (
        f"{(~finite).sum():,} of {len(answers):,} strangers are left out: their features are not "
        "finite numbers"
    )
    if not finite.any():
        return None, (lost,)
    return Strangers(answers.subset(finite), strangers.source), (lost,)


def _cross_fitted(answers: Answers, fitted: Callable[[Answers], Statistic]) -> Tensor:
    """Return the statistic (N,) of each image, by a method fitted on the other folds."""
    folds = calibration.folds_of(answers.targets)
    values = torch.empty(len(answers))
    for fold in range(calibration.FOLDS):
        out = folds == fold
        left = answers.subset(out)
        values[out] = fitted(answers.subset(~out))(left.first_look, _features(left))
    return values


def _features(answers: Answers) -> Tensor:
    if answers.features is not None:
        return answers.features
    return answers.logits.new_empty(len(answers), 0)
