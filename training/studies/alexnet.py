"""The study of AlexNet against LeNet on FashionMNIST, as far as it goes without a GPU.

The author of the tutorial trains AlexNet for ten epochs at 224×224 with SGD and the learning rate
0.01. One such epoch takes an hour and a half on a processor core. Here the convolutions run in
bfloat16 with channels last, and there are fewer epochs, with momentum and a one-cycle schedule: one
variant trains at 224×224, another at 96×96. The report says so (`Study.setup`).
"""

from dataclasses import replace

from training.recipes.recipe import Recipe
from training.studies.figures import learned, on_test_set, parameters, seconds_an_epoch
from training.studies.lenet import LENET_RECIPE
from training.studies.study import Finding, Study, Variant

_ALEXNET = Recipe(
    name="alexnet",
    dataset="fashion-mnist",
    architecture="alexnet",
    batch_size=128,
    optimizer="sgd",
    learning_rate=0.02,
    momentum=0.9,
    schedule="one-cycle",
    initialisation="xavier",
    precision="bfloat16",
    epochs=3,
    validation_fraction=1 / 6,
    selection="last",
)
_LENET = "LeNet, 10 epochs"
_LARGE = "AlexNet at 224, 3 epochs"
_MEDIUM = "AlexNet at 96, 5 epochs"

ALEXNET = (
    Study(
        "alexnet",
        "Does AlexNet do better than LeNet, and what does it cost?",
        (
            Variant(_LENET, replace(LENET_RECIPE, epochs=10)),
            Variant(
                _MEDIUM, replace(_ALEXNET, epochs=5, arguments={"side": 96}), "better than LeNet"
            ),
            Variant(_LARGE, _ALEXNET, "better than LeNet", seeds=(0,)),
        ),
        (
            Finding(
                "AlexNet at 224×224 does better than LeNet",
                learned(_LENET) & (on_test_set(_LARGE) > on_test_set(_LENET)),
                "not answered, since one epoch of ten was run; did not ask that LeNet learned, "
                "though two failures can be compared, too",
            ),
            Finding(
                "so does AlexNet at 96×96",
                learned(_LENET) & (on_test_set(_MEDIUM) > on_test_set(_LENET)),
                "new, since no run was there to judge",
            ),
            Finding(
                "AlexNet is heavier: a hundred times the parameters, ten times as long an epoch",
                (parameters(_LARGE) >= 100 * parameters(_LENET))
                & (seconds_an_epoch(_LARGE) >= 10 * seconds_an_epoch(_LENET)),
                "new, since no run was there to judge",
            ),
        ),
        setup="The first author trains ten epochs at 224×224 on a GPU, with SGD at 0.01. Here a run"
        " has one thread of a processor; AlexNet's convolutions run in bfloat16 with channels"
        " last, and three epochs at 224, or five at 96, use SGD with momentum 0.9 and a one-"
        "cycle schedule up to 0.02. LeNet is that of the study `lenet`, with ReLU, in "
        "float32; its run of seed 0 was made a second time, and stands in place of the first,"
        " which had reached 0.8875.",
    ),
)
