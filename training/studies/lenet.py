"""Studies of LeNet-5 on FashionMNIST, with the same pictures held out as for perceptrons."""

from dataclasses import replace
from itertools import pairwise

from training.studies.perceptrons import PERCEPTRON
from training.studies.study import Finding, Study, Variant

_LENET = replace(PERCEPTRON, architecture="lenet", epochs=15)


LENET = (
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
                lambda r: all(
                    r[less].validation > r[more].validation
                    for less, more in pairwise(("32", "128", "512", "2,048"))
                ),
            ),
            Finding(
                "the largest batch takes more memory than the smallest",
                lambda r: (r["2,048"].peak_memory or 0) > (r["32"].peak_memory or 0),
                "Linux and CUDA alone tell how much it was",
            ),
        ),
        memory=True,
    ),
)
