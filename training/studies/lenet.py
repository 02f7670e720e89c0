"""Studies of LeNet-5 on FashionMNIST, with the same pictures held out as for perceptrons."""

from dataclasses import replace
from itertools import pairwise

from training.studies.figures import gap, learned, peak_memory, validation
from training.studies.perceptrons import BESIDE_LEARNED, PERCEPTRON, SINCE
from training.studies.study import Finding, Study, Variant

LENET_RECIPE = replace(PERCEPTRON, architecture="lenet", batch_size=128, epochs=15)
_DROPOUT = "ReLU, normalised, dropout"


LENET = (
    Study(
        "lenet",
        "What do ReLU, normalised pixels and dropout bring to LeNet-5?",
        (
            Variant("plain", replace(LENET_RECIPE, architecture="lenet-plain")),
            Variant("ReLU", replace(LENET_RECIPE, mean=(0.0,), std=(1.0,))),
            Variant("ReLU, normalised", LENET_RECIPE),
            Variant(_DROPOUT, replace(LENET_RECIPE, arguments={"dropout": 0.5})),
        ),
        (
            Finding(
                "ReLU does better than the plain network",
                learned("plain") & (validation("ReLU") > validation("plain")),
                BESIDE_LEARNED,
            ),
            Finding(
                "normalised pixels do better than pixels from 0 to 1",
                learned("ReLU") & (validation("ReLU, normalised") > validation("ReLU")),
                f"new, since the figures were there and not judged; {BESIDE_LEARNED}",
            ),
            Finding(
                "dropout narrows the gap",
                learned(_DROPOUT, "ReLU, normalised") & (gap(_DROPOUT) < gap("ReLU, normalised")),
                f"that both learned {SINCE}",
            ),
            Finding(
                "dropout costs accuracy after as many epochs",
                learned(_DROPOUT) & (validation(_DROPOUT) < validation("ReLU, normalised")),
                f"new, since the figures were there and not judged; {BESIDE_LEARNED}",
            ),
        ),
    ),
    Study(
        "batch-memory",
        "How do batch size, accuracy and memory go together? (LeNet-5)",
        tuple(
            Variant(f"{size:,}", replace(LENET_RECIPE, batch_size=size, epochs=3))
            for size in (32, 128, 512, 2048)
        ),
        (
            *(
                Finding(
                    f"a batch of {more} reaches less than one of {less} after as many epochs",
                    learned(more) & (validation(more) < validation(less)),
                    f"all sizes in one finding, which hid where it holds; {BESIDE_LEARNED}",
                )
                for less, more in pairwise(("32", "128", "512", "2,048"))
            ),
            Finding(
                "the largest batch takes more memory than the smallest",
                peak_memory("2,048") > peak_memory("32"),
                remark="Linux and CUDA alone tell how much it was",
            ),
        ),
        memory=True,
    ),
)
