"""Studies of multilayer perceptrons on FashionMNIST.

Where the reference names no batch size it is 128. A sixth of the 60,000 training pictures, 10,000,
are held out for validation; the test set is looked at once, at the end.
"""

from collections.abc import Sequence
from dataclasses import replace

from training.recipes.recipe import Recipe
from training.studies.study import Finding, Study, Variant
from training.studies.verdicts import failed, halvings, learned, narrower

PERCEPTRON = Recipe(
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
_SGD = replace(PERCEPTRON, optimizer="sgd", learning_rate=0.01, batch_size=32, epochs=5)
_RAW = (1 / 255,)  # the deviation that feeds pixels from 0 to 255
_TINY = (10_000.0,)  # the deviation that feeds pixels divided by 255 · 10,000


def _rates(std: tuple[float, ...], reported: Sequence[str]) -> tuple[Variant, ...]:
    recipes = (
        replace(PERCEPTRON, std=std, learning_rate=rate, epochs=epochs)
        for rate, epochs in ((0.1, 5), (0.001, 8), (0.00001, 100))
    )
    labels = ("0.1", "0.001", "0.00001")
    return tuple(Variant(*each) for each in zip(labels, recipes, reported, strict=True))


def _noisy(std: tuple[float, ...], reported: str) -> Variant:
    """The rate 0.1 in the batches that the reference's other studies have."""
    recipe = replace(PERCEPTRON, std=std, learning_rate=0.1, epochs=5, batch_size=32)
    return Variant("0.1, batches of 32", recipe, reported)


_SCALED_RATES = _rates((), ("", "about 0.89 by epoch 8", "about 0.89 after 100 epochs"))
_UNSCALED_RATES = _rates(_RAW, ("", "below its scaled run", "learns, then overfits"))

PERCEPTRONS = (
    Study(
        "scaling",
        "Do pixels from 0 to 255 teach as well as pixels from 0 to 1?",
        (
            Variant("0 to 255", replace(_SGD, std=_RAW), "about 0.12 train"),
            Variant("0 to 1", _SGD, "about 0.85"),
        ),
        (
            Finding("unscaled pixels do not learn", lambda r: failed(r, "0 to 255", at_most=0.3)),
            Finding(
                "scaled pixels reach about 0.85", lambda r: learned(r, "0 to 1", at_least=0.82)
            ),
        ),
    ),
    Study(
        "batch-size",
        "What does a batch of 10,000 cost, which makes a few steps an epoch?",
        (
            Variant(
                "32", replace(PERCEPTRON, batch_size=32, learning_rate=0.01, epochs=5), "about 0.85"
            ),
            Variant(
                "10,000",
                replace(PERCEPTRON, batch_size=10_000, learning_rate=0.01, epochs=5),
                "lower",
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
            Finding("both reach about 0.85", lambda r: learned(r, "SGD", "Adam", at_least=0.82)),
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
                lambda r: failed(r, "0.1, batches of 32", at_most=0.5),
            ),
            Finding(
                "0.001 reaches about 0.89 by epoch 8", lambda r: learned(r, "0.001", at_least=0.87)
            ),
            Finding(
                "0.00001 reaches about 0.89 after 100 epochs",
                lambda r: learned(r, "0.00001", at_least=0.88),
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
                lambda r: failed(r, "0.1, batches of 32", at_most=0.5),
            ),
            Finding(
                "0.001 stays below its run on scaled pixels, 0.89 by epoch 8",
                lambda r: r["0.001"].validation < 0.88,
            ),
            Finding("0.00001 learns", lambda r: learned(r, "0.00001", at_least=0.8)),
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
                    narrower(r, "0 to 1, 0.001", "0 to 1, 0.1")
                    and narrower(r, "0 to 255, 0.001", "0 to 255, 0.1")
                ),
            ),
            Finding(
                "the accurate unscaled run keeps its weights within about ±0.05: two deviations",
                lambda r: all(
                    2 * deviation < 0.05
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
            Variant("constant, 30 epochs", PERCEPTRON),
            Variant("annealed, 30 epochs", replace(PERCEPTRON, schedule="plateau")),
            Variant("annealed, 100 epochs", replace(PERCEPTRON, schedule="plateau", epochs=100)),
        ),
        (
            Finding(
                "the rate falls about 7 times in 16 epochs",
                lambda r: 4 <= halvings(r, "annealed, 100 epochs") <= 10,
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
        (
            Variant("0 hidden", replace(PERCEPTRON, arguments={"hidden": []}), "underfits"),
            Variant("1 hidden", PERCEPTRON),
            Variant(
                "2 hidden",
                replace(PERCEPTRON, arguments={"hidden": [1000, 1000]}),
                "overfits more than one",
            ),
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
                replace(PERCEPTRON, std=_TINY, epochs=100),
                "about 0.85 after 100 epochs",
                hidden="0",
            ),
            Variant(
                "with",
                replace(
                    PERCEPTRON,
                    std=_TINY,
                    epochs=100,
                    arguments={"hidden": [1000], "batchnorm": True},
                ),
                "as on normal input, and sooner",
                hidden="1",
            ),
        ),
        (
            Finding(
                "with it the network trains as on normal input, and sooner: better in its 5th "
                "epoch than without it in its 100th",
                lambda r: r["with"].history[4].train.accuracy > r["without"].train,
            ),
            Finding(
                "it does so on validation pictures too",
                lambda r: r["with"].validation_at(5) > r["without"].validation,
                "in training a batch is normalised by its own figures, in evaluation by their "
                "running mean; the hidden values deviate by less than a step of Adam, 0.001, moves "
                "the bias before the normalisation, and the running mean lags behind it",
            ),
            Finding(
                "without it the network learns slowly",
                lambda r: learned(r, "without", at_least=0.75),
            ),
        ),
    ),
    Study(
        "dropout",
        "What does dropout before each linear layer bring?",
        (
            Variant("none", PERCEPTRON),
            Variant(
                "0.25",
                replace(PERCEPTRON, arguments={"hidden": [1000], "dropout": 0.25}),
                "smaller gap",
            ),
        ),
        (Finding("the gap is smaller with dropout", lambda r: r["0.25"].gap < r["none"].gap),),
    ),
    Study(
        "regularisation",
        "What does a penalty on the weights bring?",
        (
            Variant("none", PERCEPTRON),
            Variant(
                "L1, 0.0001 · Σ|p|", replace(PERCEPTRON, l1=0.0001), "smaller gap, narrower weights"
            ),
            Variant(
                "L2, 0.01 · Σ‖p‖₂",
                replace(PERCEPTRON, l2_norm=0.01),
                "smaller gap, narrower weights",
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
                    narrower(r, "L1, 0.0001 · Σ|p|", "none")
                    and narrower(r, "L2, 0.01 · Σ‖p‖₂", "none")
                ),
            ),
        ),
    ),
)
