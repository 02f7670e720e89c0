"""Every finding of every study: figures by which its claim is seen, and figures by which not."""

import math
from dataclasses import replace
from typing import NamedTuple

import pytest

from tests.training.studies.measured import epoch, measured
from training.studies.catalogue import STUDIES
from training.studies.study import Finding, Measured, Results, Spread

DIVERGED = measured(math.nan, math.nan)
BLACK, WHITE = "fashion-mnist", "fashion-mnist-inverted"
GROUND = "fashion-mnist-on-white"


class Case(NamedTuple):
    """Figures by which the finding is seen, and several by each of which it is not."""

    seen: dict[str, Measured]
    not_seen: list[dict[str, Measured]]


def losses(*values: float) -> Measured:
    """Training losses of the epochs."""
    return measured(history=tuple(epoch(n, loss=value) for n, value in enumerate(values, start=1)))


def validation_losses(*values: float) -> Measured:
    return measured(
        history=tuple(epoch(n, validation_loss=value) for n, value in enumerate(values, start=1))
    )


def validations(*values: float) -> Measured:
    history = tuple(epoch(n, validation=value) for n, value in enumerate(values, start=1))
    return measured(values[-1], history=history)


def trained(*values: float, last: float = 0.5) -> Measured:
    """Accuracies in training mode; `last` is that of the last weights in evaluation mode."""
    history = tuple(epoch(n, train=value) for n, value in enumerate(values, start=1))
    return measured(train=last, history=history)


def cuts(count: int) -> Measured:
    """The learning rate is halved after each of the first epochs."""
    rates = [0.5 ** min(n, count) for n in range(30)]
    return measured(history=tuple(epoch(n, rate=r) for n, r in enumerate(rates, start=1)))


def on_test(accuracy: float) -> Measured:
    return measured(test=accuracy)


def on(black: float, white: float, validation: float = 0.9) -> Measured:
    return measured(validation, also_tested={BLACK: black, WHITE: white, GROUND: white})


def gap(value: float) -> Measured:
    return measured(0.9 - value, 0.9)


SOONER = validations(*[0.8] * 7, 0.89, 0.8)  # better than 0.85 after epoch 8 alone
STUCK = measured(0.1, 0.1)  # at chance, with no gap


def wide(first: float, second: float = 1.0) -> Measured:
    """Deviations of two layers."""
    return measured(
        weights={"0.weight": Spread(first, 2 * first), "2.weight": Spread(second, 2 * second)}
    )


L1, L2 = "L1, 0.0001 · Σ|p|", "L2, 0.01 · Σ‖p‖₂"
DROPOUT = "ReLU, normalised, dropout"
CASES: dict[tuple[str, str], Case] = {
    ("scaling", "unscaled pixels do not learn"): Case(
        {"0 to 255": measured(train=0.14)},
        [
            {"0 to 255": measured(train=0.15)},
            {"0 to 255": measured(0.1, train=0.9)},
            {"0 to 255": measured(train=0.1), "0 to 1": STUCK},
        ],
    ),
    ("scaling", "scaled pixels reach about 0.85"): Case(
        {"0 to 1": measured(train=0.84)},
        [{"0 to 1": measured(train=0.82)}, {"0 to 1": measured(train=0.95)}],
    ),
    ("batch-size", "batches of 32 reach about 0.85, in training and validation"): Case(
        {"32": measured(0.84, 0.86)}, [{"32": measured(0.82, 0.86)}, {"32": measured(0.84, 0.88)}]
    ),
    ("batch-size", "a batch of 10,000 reaches less"): Case(
        {"32": measured(0.84, 0.86), "10,000": measured(0.8, 0.81)},
        [
            {"32": measured(0.84, 0.86), "10,000": measured(0.85, 0.85)},
            {"32": measured(0.84, 0.86), "10,000": measured(0.8, 0.87)},
            {"32": measured(0.84, 0.86), "10,000": STUCK},
        ],
    ),
    ("optimizer", "both reach about 0.85 or better"): Case(
        {"SGD": measured(0.83), "Adam": measured(0.9)},
        [
            {"SGD": measured(0.82), "Adam": measured(0.9)},
            {"SGD": measured(0.9), "Adam": measured(0.82)},
        ],
    ),
    ("optimizer", "Adam is quicker at first"): Case(
        {"SGD": validations(0.7, 0.9), "Adam": validations(0.8, 0.8)},
        [
            {"SGD": validations(0.8, 0.8), "Adam": validations(0.7, 0.9)},
            {"SGD": validations(0.1, 0.1), "Adam": validations(0.8, 0.8)},
            {"SGD": validations(0.7, 0.9), "Adam": validations(0.8, 0.1)},
        ],
    ),
    ("learning-rate", "0.1 fails: about 0.25 at most"): Case(
        {"0.1": measured(0.25)},
        [{"0.1": measured(0.28)}, {"0.1": measured(0.25), "0.001": STUCK}],
    ),
    ("learning-rate", "0.001 reaches about 0.89 by epoch 8"): Case(
        {"0.001": measured(0.88)}, [{"0.001": measured(0.86)}, {"0.001": DIVERGED}]
    ),
    ("learning-rate", "0.00001 reaches about 0.89 after 100 epochs"): Case(
        {"0.00001": measured(0.88)}, [{"0.00001": measured(0.86)}, {"0.00001": DIVERGED}]
    ),
    ("learning-rate", "0.00001 has the smallest gap of those that learn"): Case(
        {"0.00001": gap(0.01), "0.001": gap(0.02)},
        [
            {"0.00001": gap(0.02), "0.001": gap(0.02)},
            {"0.00001": DIVERGED, "0.001": gap(0.02)},
            {"0.00001": STUCK, "0.001": gap(0.02)},
        ],
    ),
    ("learning-rate-unscaled", "0.1 fails"): Case(
        {"0.1": DIVERGED}, [{"0.1": measured(0.28)}, {"0.1": DIVERGED, "0.001": DIVERGED}]
    ),
    ("learning-rate-unscaled", "0.001 stays below its run on scaled pixels"): Case(
        {"0.001": validations(*[0.9] * 7, 0.85, 0.9), "0.001, scaled": SOONER},
        [
            {"0.001": measured(0.87), "0.001, scaled": measured(0.86)},
            {"0.001": STUCK, "0.001, scaled": measured(0.86)},
        ],
    ),
    ("learning-rate-unscaled", "0.00001 learns: its best epoch reaches 0.85"): Case(
        {"0.00001": validations(0.86, 0.8)}, [{"0.00001": validations(0.84, 0.8)}]
    ),
    (
        "learning-rate-unscaled",
        "0.00001 overfits in the end: validation loss rises by half of its lowest value",
    ): Case(
        {"0.00001": validation_losses(0.9, 0.4, 0.61)},
        [
            {"0.00001": validation_losses(0.9, 0.4, 0.59)},
            {"0.00001": validation_losses(0.9, 0.5, 0.4)},
        ],
    ),
    ("weight-distributions", "the weights are wide for 0.1: twice those of 0.001 at least"): Case(
        {"0 to 1, 0.1": wide(0.3, 2.1), "0 to 255, 0.1": wide(0.3, 2.1)}
        | {"0 to 1, 0.001": wide(0.1), "0 to 255, 0.001": wide(0.1)},
        [
            {"0 to 1, 0.1": wide(0.3, 1.9), "0 to 255, 0.1": wide(0.3, 2.1)}
            | {"0 to 1, 0.001": wide(0.1), "0 to 255, 0.001": wide(0.1)},
            {"0 to 1, 0.1": wide(0.3, 2.1), "0 to 255, 0.1": wide(0.19, 2.1)}
            | {"0 to 1, 0.001": wide(0.1), "0 to 255, 0.001": wide(0.1)},
        ],
    ),
    ("weight-distributions", "the accurate unscaled run keeps its weights within ±0.05"): Case(
        {"0 to 255, 0.00001": wide(0.02, 0.025)},
        [
            {"0 to 255, 0.00001": wide(0.02, 0.026)},
            {"0 to 255, 0.00001": wide(0.03, 0.02)},
            {"0 to 255, 0.00001": measured(0.1, 0.1, deviation=0.01)},
        ],
    ),
    ("annealing", "the rate falls about 7 times in 16 epochs"): Case(
        {"annealed, 30 epochs": cuts(7)},
        [{"annealed, 30 epochs": cuts(4)}, {"annealed, 30 epochs": cuts(10)}],
    ),
    (
        "annealing",
        "no serious overfitting at 100 epochs: validation ends within 0.01 of its best",
    ): Case(
        {"annealed, 100 epochs": validations(0.9, 0.891)},
        [
            {"annealed, 100 epochs": validations(0.9, 0.8895)},
            {"annealed, 100 epochs": validations(0.1, 0.1)},
            {"annealed, 100 epochs": DIVERGED},
        ],
    ),
    ("annealing", "the gap is smaller than at a constant rate"): Case(
        {"annealed, 30 epochs": gap(0.01), "constant, 30 epochs": gap(0.02)},
        [
            {"annealed, 30 epochs": gap(0.03), "constant, 30 epochs": gap(0.02)},
            {"annealed, 30 epochs": STUCK, "constant, 30 epochs": gap(0.02)},
        ],
    ),
    ("depth", "without a hidden layer the network underfits"): Case(
        {"0 hidden": measured(0.8, 0.8), "1 hidden": measured(0.9, 0.9)},
        [
            {"0 hidden": measured(0.8, 0.95), "1 hidden": measured(0.9, 0.9)},
            {"0 hidden": measured(0.95, 0.8), "1 hidden": measured(0.9, 0.9)},
            {"0 hidden": STUCK, "1 hidden": measured(0.9, 0.9)},
        ],
    ),
    ("depth", "two hidden layers overfit more than one"): Case(
        {"1 hidden": gap(0.01), "2 hidden": gap(0.02)},
        [
            {"1 hidden": gap(0.02), "2 hidden": gap(0.01)},
            {"1 hidden": STUCK, "2 hidden": gap(0.02)},
        ],
    ),
    (
        "batch-normalisation",
        "without it the network reaches about 0.85 after 100 epochs",
    ): Case(
        {"without": measured(0.84)},
        [{"without": measured(0.82)}, {"without": measured(0.88)}],
    ),
    (
        "batch-normalisation",
        "with it the network trains as on normal input, within 0.02 of it",
    ): Case(
        {"with": measured(0.871), "normal input, 30 epochs": measured(0.89)},
        [
            {"with": measured(0.869), "normal input, 30 epochs": measured(0.89)},
            {"with": DIVERGED, "normal input, 30 epochs": measured(0.89)},
            {"with": STUCK, "normal input, 30 epochs": STUCK},
        ],
    ),
    (
        "batch-normalisation",
        "with it the network trains sooner: better after 5 epochs than without after 100",
    ): Case(
        {"with": validations(*[0.1] * 4, 0.86, 0.3), "without": validations(*[0.1] * 99, 0.85)},
        [
            {"with": validations(*[0.9] * 4, 0.3, 0.9), "without": validations(*[0.1] * 99, 0.85)},
            {"with": validations(*[0.1] * 4, 0.86, 0.3), "without": DIVERGED},
        ],
    ),
    (
        "batch-normalisation",
        "the same in training mode, where a batch is normalised by its own figures",
    ): Case(
        {"with": trained(*[0.1] * 4, 0.9), "without": trained(*[0.1] * 99, 0.8, last=0.95)},
        [
            {"with": trained(*[0.9] * 4, 0.7), "without": trained(*[0.1] * 99, 0.8, last=0.1)},
            {"with": trained(*[0.1] * 4, 0.9), "without": DIVERGED},
        ],
    ),
    ("dropout", "the gap is smaller with dropout"): Case(
        {"none": gap(0.05), "0.25": gap(0.02)},
        [{"none": gap(0.02), "0.25": gap(0.05)}, {"none": gap(0.02), "0.25": STUCK}],
    ),
    ("regularisation", "L1: the gap is smaller"): Case(
        {"none": gap(0.05), L1: gap(0.02)},
        [{"none": gap(0.02), L1: gap(0.05), L2: gap(0.01)}, {"none": gap(0.02), L1: STUCK}],
    ),
    ("regularisation", "L1: the weights are narrower"): Case(
        {"none": wide(0.2), L1: wide(0.1, 0.9)}, [{"none": wide(0.2), L1: wide(0.1, 1.1)}]
    ),
    ("regularisation", "L2: the gap is smaller"): Case(
        {"none": gap(0.05), L2: gap(0.02)},
        [{"none": gap(0.02), L2: gap(0.05), L1: gap(0.01)}, {"none": gap(0.02), L2: STUCK}],
    ),
    ("regularisation", "L2: the weights are narrower"): Case(
        {"none": wide(0.2), L2: wide(0.1, 0.9)}, [{"none": wide(0.2), L2: wide(0.3, 0.9)}]
    ),
    ("lenet", "ReLU does better than the plain network"): Case(
        {"plain": measured(0.8), "ReLU": measured(0.9)},
        [{"plain": measured(0.9), "ReLU": measured(0.8)}, {"plain": STUCK}],
    ),
    ("lenet", "normalised pixels do better than pixels from 0 to 1"): Case(
        {"ReLU": measured(0.8), "ReLU, normalised": measured(0.9)},
        [{"ReLU": measured(0.9), "ReLU, normalised": measured(0.8)}, {"ReLU": STUCK}],
    ),
    ("lenet", "dropout narrows the gap"): Case(
        {"ReLU, normalised": gap(0.05), DROPOUT: gap(0.01)},
        [
            {"ReLU, normalised": gap(0.01), DROPOUT: gap(0.05)},
            {"ReLU, normalised": gap(0.05), DROPOUT: STUCK},
        ],
    ),
    ("lenet", "dropout costs accuracy after as many epochs"): Case(
        {"ReLU, normalised": measured(0.9), DROPOUT: measured(0.8)},
        [{"ReLU, normalised": measured(0.8), DROPOUT: measured(0.9)}, {DROPOUT: STUCK}],
    ),
    **{
        (
            "batch-memory",
            f"a batch of {more} reaches less than one of {less} after as many epochs",
        ): (
            Case(
                {less: measured(0.9), more: measured(0.8)},
                [{less: measured(0.8), more: measured(0.9)}, {less: measured(0.9), more: STUCK}],
            )
        )
        for less, more in (("32", "128"), ("128", "512"), ("512", "2,048"))
    },
    ("batch-memory", "the largest batch takes more memory than the smallest"): Case(
        {"2,048": measured(peak_memory=2), "32": measured(peak_memory=1)},
        [
            {"2,048": measured(peak_memory=1), "32": measured(peak_memory=2)},
            {"2,048": measured(peak_memory=None), "32": measured(peak_memory=None)},
        ],
    ),
    ("alexnet", "AlexNet at 224×224 does better than LeNet"): Case(
        {"LeNet, 10 epochs": on_test(0.9), "AlexNet at 224, 3 epochs": on_test(0.91)},
        [
            {"LeNet, 10 epochs": on_test(0.9), "AlexNet at 224, 3 epochs": on_test(0.89)},
            {"LeNet, 10 epochs": DIVERGED, "AlexNet at 224, 3 epochs": on_test(0.91)},
        ],
    ),
    ("alexnet", "so does AlexNet at 96×96"): Case(
        {"LeNet, 10 epochs": on_test(0.9), "AlexNet at 96, 5 epochs": on_test(0.91)},
        [
            {"LeNet, 10 epochs": on_test(0.9), "AlexNet at 96, 5 epochs": DIVERGED},
            {"LeNet, 10 epochs": DIVERGED, "AlexNet at 96, 5 epochs": on_test(0.91)},
        ],
    ),
    (
        "alexnet",
        "AlexNet is heavier: a hundred times the parameters, ten times as long an epoch",
    ): Case(
        {"AlexNet at 224, 3 epochs": measured(parameters=1000, seconds=1000.0)},
        [
            {"AlexNet at 224, 3 epochs": measured(parameters=999, seconds=1000.0)},
            {"AlexNet at 224, 3 epochs": measured(parameters=1000, seconds=999.0)},
        ],
    ),
    ("ground", "trained on black, it fails on white, and the other way round"): Case(
        {"on black": on(0.9, 0.2), "on white": on(0.1, 0.9)},
        [
            {"on black": on(0.9, 0.3), "on white": on(0.1, 0.9)},
            {"on black": on(0.9, 0.2), "on white": on(0.5, 0.9)},
            {"on black": on(0.1, 0.1, 0.1), "on white": on(0.1, 0.1, 0.1)},
            {"on black": measured(0.9), "on white": measured(0.9)},  # not tested on the other
        ],
    ),
    ("ground", "trained on both, it knows both, within 0.02 of a network for one"): Case(
        {"on black": on(0.9, 0.2), "on white": on(0.1, 0.9), "on both": on(0.881, 0.881)},
        [
            {"on black": on(0.9, 0.2), "on white": on(0.1, 0.9), "on both": on(0.879, 0.91)},
            {"on black": on(0.9, 0.2), "on white": on(0.1, 0.9), "on both": on(0.91, 0.879)},
            dict.fromkeys(("on black", "on white", "on both"), on(0.1, 0.1, 0.1)),
        ],
    ),
    ("white-ground", "trained on black, it fails on a white ground, and the other way round"): Case(
        {"on black": on(0.9, 0.2), "on white": on(0.1, 0.9)},
        [
            {"on black": on(0.9, 0.3), "on white": on(0.1, 0.9)},
            {"on black": on(0.9, 0.2), "on white": on(0.5, 0.9)},
            {"on black": on(0.1, 0.1, 0.1), "on white": on(0.1, 0.1, 0.1)},
        ],
    ),
    (
        "white-ground",
        "on white light clothes fade into the ground: it knows fewer than on black",
    ): Case(
        {"on black": on(0.9, 0.2), "on white": on(0.1, 0.8)},
        [
            {"on black": on(0.9, 0.2), "on white": on(0.1, 0.9)},
            {"on black": on(0.9, 0.2), "on white": on(0.1, 0.1, 0.1)},
        ],
    ),
    ("white-ground", "trained on both, it knows both, within 0.02 of a network for one"): Case(
        {"on black": on(0.9, 0.2), "on white": on(0.1, 0.9), "on both": on(0.881, 0.881)},
        [
            {"on black": on(0.9, 0.2), "on white": on(0.1, 0.9), "on both": on(0.879, 0.91)},
            {"on black": on(0.9, 0.2), "on white": on(0.1, 0.9), "on both": on(0.91, 0.879)},
            dict.fromkeys(("on black", "on white", "on both"), on(0.1, 0.1, 0.1)),
        ],
    ),
    (
        "xo-channels",
        "with 9 channels the loss falls after epoch 3: by 5 % at most before, by a third in the "
        "three epochs after",
    ): Case(
        {"9": losses(0.7, 0.69, 0.67, 0.5, 0.5, 0.44)},
        [
            {"9": losses(0.7, 0.66, 0.66, 0.5, 0.4, 0.3)},  # too much before
            {"9": losses(0.7, 0.69, 0.68, 0.67, 0.4, 0.46)},  # too little after
            {"9": replace(losses(0.7, 0.69, 0.68, 0.5, 0.4, 0.3), validation=0.5)},
        ],
    ),
    ("xo-channels", "11 channels reach about 0.9967"): Case(
        {"11": on_test(0.99)}, [{"11": on_test(0.97)}]
    ),
    ("xo-channels", "15 channels reach about 0.80 in 10 epochs"): Case(
        {"15": on_test(0.79)}, [{"15": on_test(0.775)}, {"15": on_test(0.825)}]
    ),
    ("xo-depth", "with 10 epochs three convolutions fail"): Case(
        {"three, 10 epochs": on_test(0.59)},
        [
            {"three, 10 epochs": on_test(0.61)},
            {"three, 10 epochs": on_test(0.55), "two, 10 epochs": STUCK},
        ],
    ),
    ("xo-depth", "with 20 epochs they learn"): Case(
        {"three, 20 epochs": on_test(0.91)}, [{"three, 20 epochs": on_test(0.89)}]
    ),
    ("xo-pooling", "without pooling the network learns in 20 epochs"): Case(
        {"without, 20 epochs": validations(0.5, 0.95)},
        [
            {"without, 20 epochs": validations(0.95, 0.89)},
            {"without, 20 epochs": validations(0.5, 0.95), "with, 10 epochs": STUCK},
        ],
    ),
    ("xo-pooling", "one of its epochs reaches 0.9"): Case(
        {"without, 20 epochs": validations(0.91, 0.5)},
        [{"without, 20 epochs": validations(0.5, 0.89)}],
    ),
    ("xo-pooling", "an epoch takes more than three times as long without it"): Case(
        {"without, 20 epochs": measured(seconds=400.0)},
        [{"without, 20 epochs": measured(seconds=300.0)}],
    ),
}


def plain(study: str) -> Results:
    return {variant.label: measured() for variant in STUDIES[study].variants}


def finding(study: str, claim: str) -> Finding:
    [found] = [each for each in STUDIES[study].findings if each.claim == claim]
    return found


def test_every_finding_has_figures_for_and_against() -> None:
    assert set(CASES) == {
        (study.name, each.claim) for study in STUDIES.values() for each in study.findings
    }
    assert all(case.not_seen for case in CASES.values())


@pytest.mark.parametrize(("study", "claim"), CASES, ids=lambda value: value[:40])
def test_a_claim_is_seen_by_its_figures_alone(study: str, claim: str) -> None:
    seen, not_seen = CASES[study, claim]
    criterion = finding(study, claim).criterion
    assert seen.keys() <= plain(study).keys()
    assert criterion.holds({**plain(study), **seen}) is True
    for figures in not_seen:
        assert figures.keys() <= plain(study).keys()
        assert criterion.holds({**plain(study), **figures}) is False, criterion.text
