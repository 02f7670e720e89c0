"""Studies of networks for crosses and circles."""

from dataclasses import replace

from training.recipes.recipe import Recipe
from training.studies.study import Finding, Study, Variant
from training.studies.verdicts import failed, learned, loss

_XO = Recipe("xo", "xo", "xo", 10, 64, "sgd", 0.1, validation_fraction=0.1, selection="last")


XO = (
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
                lambda r: loss(r, "9", 3) > 0.95 * loss(r, "9", 1) > 1.5 * loss(r, "9", 6),
            ),
            Finding("11 channels learn", lambda r: learned(r, "11", at_least=0.9)),
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
                    failed(r, label, at_most=0.7)
                    for label in ("three, 10 epochs", "three, 10 epochs, seed 1")
                ),
            ),
            Finding(
                "with 20 epochs they learn", lambda r: learned(r, "three, 20 epochs", at_least=0.9)
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
                lambda r: (
                    max(r["without, 20 epochs"].validation_at(n) for n in range(1, 21)) >= 0.9
                ),
            ),
            Finding(
                "it knows to the end what it has learned",
                lambda r: learned(r, "without, 20 epochs", at_least=0.9),
                "the rate 0.1 is unsteady for these networks: late in the training a step throws "
                "the weights out, and they don't come back",
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
