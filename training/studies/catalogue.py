"""The studies of the reference, each with what its author reported.

Where the reference names no batch size it is 128. A sixth of the 60,000 training pictures of
FashionMNIST, 10,000, are held out for validation; the test set is looked at once, at the end.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import isfinite

from training.recipes import Recipe
from training.studies.study import Finding, Results, Study, Variant

_MLP = Recipe(
    name="mlp",
    dataset="fashion-mnist",
    architecture="mlp",
    batch_size=128,
    optimizer="adam",
    learning_rate=0.001,
    epochs=30,
    validation_fraction=1 / 6,
    selection="last",
)
_SGD = replace(_MLP, optimizer="sgd", learning_rate=0.01, batch_size=32, epochs=5)
_RAW = (1 / 255,)  # the deviation that feeds pixels from 0 to 255
_TINY = (10_000.0,)  # the deviation that feeds pixels divided by 255 · 10,000
_LENET = replace(_MLP, architecture="lenet", epochs=15)
_XO = Recipe("xo", "xo", "xo", 10, 64, "sgd", 0.1, validation_fraction=0.1, selection="last")


def _learned(results: Results, *labels: str, at_least: float) -> bool:
    return all(results[label].validation >= at_least for label in labels)


def _failed(results: Results, *labels: str, at_most: float) -> bool:
    """Not learned: a low accuracy, or none at all."""
    values = [results[label].validation for label in labels]
    return all(not isfinite(value) or value <= at_most for value in values)


def _loss(results: Results, label: str, epoch: int) -> float:
    """Mean training loss of that epoch, or the last if there are fewer."""
    history = results[label].history
    return history[min(epoch, len(history)) - 1].train.loss


def _halvings(results: Results, label: str) -> int:
    """How often the learning rate fell in the first 16 epochs."""
    rates = [epoch.learning_rate or 0.0 for epoch in results[label].history[:16]]
    return sum(after < before for before, after in pairwise(rates))


def _narrower(results: Results, label: str, than: str) -> bool:
    """Each layer's weights have a smaller deviation; biases are left out."""
    one, other = results[label].weight_deviations, results[than].weight_deviations
    return all(one[name] < other[name] for name in one if name.endswith("weight"))


def _rates(std: tuple[float, ...], reported: Sequence[str]) -> tuple[Variant, ...]:
    recipes = (
        replace(_MLP, std=std, learning_rate=rate, epochs=epochs)
        for rate, epochs in ((0.1, 5), (0.001, 8), (0.00001, 100))
    )
    labels = ("0.1", "0.001", "0.00001")
    return tuple(Variant(*each) for each in zip(labels, recipes, reported, strict=True))


def _noisy(std: tuple[float, ...], reported: str) -> Variant:
    """The rate 0.1 in the batches that the reference's other studies have."""
    recipe = replace(_MLP, std=std, learning_rate=0.1, epochs=5, batch_size=32)
    return Variant("0.1, batches of 32", recipe, reported)


_SCALED_RATES = _rates((), ("", "about 0.89 by epoch 8", "about 0.89 after 100 epochs"))
_UNSCALED_RATES = _rates(_RAW, ("", "below its scaled run", "learns, then overfits"))

_STUDIES = (
    Study(
        "scaling",
        "Do pixels from 0 to 255 teach as well as pixels from 0 to 1?",
        (
            Variant("0 to 255", replace(_SGD, std=_RAW), "about 0.12 train"),
            Variant("0 to 1", _SGD, "about 0.85"),
        ),
        (
            Finding("unscaled pixels do not learn", lambda r: _failed(r, "0 to 255", at_most=0.3)),
            Finding(
                "scaled pixels reach about 0.85", lambda r: _learned(r, "0 to 1", at_least=0.82)
            ),
        ),
    ),
    Study(
        "batch-size",
        "What does a batch of 10,000 cost, which makes a few steps an epoch?",
        (
            Variant("32", replace(_MLP, batch_size=32, learning_rate=0.01, epochs=5), "about 0.85"),
            Variant(
                "10,000", replace(_MLP, batch_size=10_000, learning_rate=0.01, epochs=5), "lower"
            ),
        ),
        (
            Finding(
                "a batch of 10,000 lags behind one of 32",
                lambda r: r["10,000"].validation < r["32"].validation,
            ),
        ),
    ),
    Study(
        "optimizer",
        "Stochastic gradient descent or Adam?",
        (
            Variant("SGD", replace(_SGD, epochs=10), "about 0.85 or better"),
            Variant("Adam", replace(_SGD, optimizer="adam", epochs=10), "about 0.85 or better"),
        ),
        (
            Finding("both reach about 0.85", lambda r: _learned(r, "SGD", "Adam", at_least=0.82)),
            Finding(
                "Adam is quicker at first",
                lambda r: r["Adam"].validation_at(1) > r["SGD"].validation_at(1),
            ),
        ),
    ),
    Study(
        "learning-rate",
        "Which learning rate does Adam want on pixels from 0 to 1?",
        (_noisy((), "about 0.25 validation"), *_SCALED_RATES),
        (
            Finding(
                "0.1 fails in batches of 32",
                lambda r: _failed(r, "0.1, batches of 32", at_most=0.5),
            ),
            Finding(
                "0.001 reaches about 0.89 by epoch 8", lambda r: _learned(r, "0.001", at_least=0.87)
            ),
            Finding(
                "0.00001 reaches about 0.89 after 100 epochs",
                lambda r: _learned(r, "0.00001", at_least=0.88),
                "it is still rising after 100: batches of 128 make a quarter of the steps of "
                "batches of 32, in which the reference's other studies run",
            ),
            Finding(
                "0.00001 has the smallest gap of those that learn",
                lambda r: r["0.00001"].gap < r["0.001"].gap,
            ),
        ),
    ),
    Study(
        "learning-rate-unscaled",
        "Which learning rate does Adam want on pixels from 0 to 255?",
        (_noisy(_RAW, "fails"), *_UNSCALED_RATES),
        (
            Finding(
                "0.1 fails in batches of 32",
                lambda r: _failed(r, "0.1, batches of 32", at_most=0.5),
            ),
            Finding(
                "0.001 stays below its run on scaled pixels, 0.89 by epoch 8",
                lambda r: r["0.001"].validation < 0.88,
            ),
            Finding("0.00001 learns", lambda r: _learned(r, "0.00001", at_least=0.8)),
            Finding(
                "0.00001 overfits in the end",
                lambda r: (
                    r["0.00001"].gap > 0.05
                    and max(r["0.00001"].validation_at(n) for n in range(1, 101))
                    > r["0.00001"].validation
                ),
            ),
        ),
    ),
    Study(
        "weight-distributions",
        "How far do the learning rates drive the weights?",
        tuple(
            Variant(f"{scale}, {each.label}", each.recipe)
            for scale, variants in (("0 to 1", _SCALED_RATES), ("0 to 255", _UNSCALED_RATES))
            for each in variants
        ),
        (
            Finding(
                "the weights are wide for 0.1",
                lambda r: (
                    _narrower(r, "0 to 1, 0.001", "0 to 1, 0.1")
                    and _narrower(r, "0 to 255, 0.001", "0 to 255, 0.1")
                ),
            ),
            Finding(
                "the accurate unscaled run keeps its weights within about ±0.05",
                lambda r: all(
                    deviation < 0.05
                    for name, deviation in r["0 to 255, 0.00001"].weight_deviations.items()
                    if name.endswith("weight")
                ),
            ),
        ),
    ),
    Study(
        "annealing",
        "What does it bring to halve the learning rate where the validation loss stands still?",
        (
            Variant("constant, 30 epochs", _MLP),
            Variant("annealed, 30 epochs", replace(_MLP, schedule="plateau")),
            Variant("annealed, 100 epochs", replace(_MLP, schedule="plateau", epochs=100)),
        ),
        (
            Finding(
                "the rate falls about 7 times in 16 epochs",
                lambda r: 4 <= _halvings(r, "annealed, 100 epochs") <= 10,
            ),
            Finding(
                "no serious overfitting at 100 epochs: validation stays within 0.01 of its best",
                lambda r: (
                    max(r["annealed, 100 epochs"].validation_at(n) for n in range(1, 101))
                    - r["annealed, 100 epochs"].validation
                    <= 0.01
                ),
            ),
            Finding(
                "the gap is smaller than at a constant rate",
                lambda r: r["annealed, 30 epochs"].gap < r["constant, 30 epochs"].gap,
            ),
        ),
    ),
    Study(
        "depth",
        "How many hidden layers?",
        tuple(
            Variant(f"{len(hidden)} hidden", replace(_MLP, arguments={"hidden": hidden}), reported)
            for hidden, reported in (
                ([], "underfits"),
                ([1000], ""),
                ([1000, 1000], "overfits more than one"),
            )
        ),
        (
            Finding(
                "without a hidden layer the network underfits",
                lambda r: (
                    r["0 hidden"].train < r["1 hidden"].train
                    and r["0 hidden"].validation < r["1 hidden"].validation
                ),
            ),
            Finding(
                "two hidden layers overfit more than one",
                lambda r: r["2 hidden"].gap > r["1 hidden"].gap,
            ),
        ),
    ),
    Study(
        "batch-normalisation",
        "Does batch normalisation rescue inputs that are ten thousand times too small?",
        (
            Variant(
                "without",
                replace(_MLP, std=_TINY, epochs=100),
                "about 0.85 after 100 epochs",
                hidden="0",
            ),
            Variant(
                "with",
                replace(
                    _MLP, std=_TINY, epochs=100, arguments={"hidden": [1000], "batchnorm": True}
                ),
                "as on normal input, and sooner",
                hidden="1",
            ),
        ),
        (
            Finding(
                "with it the network is better after 5 epochs than without it after 100",
                lambda r: r["with"].validation_at(5) > r["without"].validation,
            ),
            Finding(
                "without it the network learns slowly",
                lambda r: _learned(r, "without", at_least=0.75),
            ),
        ),
    ),
    Study(
        "dropout",
        "What does dropout before each linear layer bring?",
        (
            Variant("none", _MLP),
            Variant(
                "0.25", replace(_MLP, arguments={"hidden": [1000], "dropout": 0.25}), "smaller gap"
            ),
        ),
        (Finding("the gap is smaller with dropout", lambda r: r["0.25"].gap < r["none"].gap),),
    ),
    Study(
        "regularisation",
        "What does a penalty on the weights bring?",
        (
            Variant("none", _MLP),
            Variant("L1, 0.0001 · Σ|p|", replace(_MLP, l1=0.0001), "smaller gap, narrower weights"),
            Variant(
                "L2, 0.01 · Σ‖p‖₂", replace(_MLP, l2_norm=0.01), "smaller gap, narrower weights"
            ),
        ),
        (
            Finding(
                "the gap is smaller with either",
                lambda r: (
                    max(r["L1, 0.0001 · Σ|p|"].gap, r["L2, 0.01 · Σ‖p‖₂"].gap) < r["none"].gap
                ),
            ),
            Finding(
                "the weights are narrower with either",
                lambda r: (
                    _narrower(r, "L1, 0.0001 · Σ|p|", "none")
                    and _narrower(r, "L2, 0.01 · Σ‖p‖₂", "none")
                ),
            ),
        ),
    ),
    Study(
        "lenet",
        "What do ReLU, normalised pixels and dropout bring to LeNet-5?",
        (
            Variant("plain", replace(_LENET, architecture="lenet-plain")),
            Variant("ReLU", replace(_LENET, mean=(0.0,), std=(1.0,))),
            Variant("ReLU, normalised", _LENET),
            Variant("ReLU, normalised, dropout", replace(_LENET, arguments={"dropout": 0.5})),
        ),
        (
            Finding(
                "ReLU does better than the plain network",
                lambda r: r["ReLU"].validation > r["plain"].validation,
            ),
            Finding(
                "dropout narrows the gap",
                lambda r: r["ReLU, normalised, dropout"].gap < r["ReLU, normalised"].gap,
            ),
        ),
    ),
    Study(
        "batch-memory",
        "How do batch size, accuracy and memory go together? (LeNet-5)",
        tuple(
            Variant(f"{size:,}", replace(_LENET, batch_size=size, epochs=3))
            for size in (32, 128, 512, 2048)
        ),
        (
            Finding(
                "the larger the batch, the lower the accuracy after as many epochs",
                lambda r: r["32"].validation > r["512"].validation > r["2,048"].validation,
            ),
            Finding(
                "the largest batch takes more memory than the smallest",
                lambda r: (r["2,048"].peak_memory or 0) > (r["32"].peak_memory or 0),
            ),
        ),
    ),
    Study(
        "xo-channels",
        "How many channels does the first convolution need?",
        tuple(
            Variant(str(n), replace(_XO, arguments={"n_channel": n}), reported)
            for n, reported in ((9, "loss falls after epoch 3"), (11, "0.9967"), (15, "0.800"))
        ),
        (
            Finding(
                "with 9 channels the loss falls after epoch 3",
                lambda r: _loss(r, "9", 3) > 0.95 * _loss(r, "9", 1) > 1.5 * _loss(r, "9", 6),
            ),
            Finding("11 channels learn", lambda r: _learned(r, "11", at_least=0.9)),
            Finding(
                "15 channels reach less than 11",
                lambda r: r["15"].test < r["11"].test,
                "the rate 0.1 is unsteady for these networks: which of them fails depends on the "
                "seed, as the study xo-depth shows",
            ),
        ),
    ),
    Study(
        "xo-depth",
        "Does a third convolution help?",
        (
            Variant("two, 10 epochs", _XO),
            Variant(
                "three, 10 epochs",
                replace(_XO, architecture="xo-three-convolutions"),
                "fails: 0.5 to 0.6",
            ),
            Variant(
                "three, 10 epochs, seed 1",
                replace(_XO, architecture="xo-three-convolutions", seed=1),
                "fails: 0.5 to 0.6",
            ),
            Variant(
                "three, 20 epochs",
                replace(_XO, architecture="xo-three-convolutions", epochs=20),
                "learns",
            ),
        ),
        (
            Finding(
                "with 10 epochs three convolutions fail, with one seed of two at least",
                lambda r: any(
                    _failed(r, label, at_most=0.7)
                    for label in ("three, 10 epochs", "three, 10 epochs, seed 1")
                ),
            ),
            Finding(
                "with 20 epochs they learn", lambda r: _learned(r, "three, 20 epochs", at_least=0.9)
            ),
        ),
    ),
    Study(
        "xo-pooling",
        "What does pooling bring?",
        (
            Variant("with, 10 epochs", _XO),
            Variant(
                "without, 20 epochs",
                replace(_XO, arguments={"pooling": False}, epochs=20),
                "learns, much slower",
            ),
        ),
        (
            Finding(
                "without pooling the network learns in 20 epochs",
                lambda r: _learned(r, "without, 20 epochs", at_least=0.9),
            ),
            Finding(
                "an epoch takes much longer without it",
                lambda r: (
                    r["without, 20 epochs"].seconds / 20 > 3 * r["with, 10 epochs"].seconds / 10
                ),
            ),
        ),
    ),
)

STUDIES = {study.name: study for study in _STUDIES}
