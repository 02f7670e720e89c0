"""The recipes that come with Fanlight, and what their systems were first reported to reach.

Each network of the reference is trained as it was first described. The recipes `birds-vs-planes`,
`fashion-mnist`, `mnist` and `xo` go beyond it: they make the checkpoints that Fanlight ships. Their
techniques are those of CIFAR-10's speed records (Page 2018, How to Train Your ResNet; Jordan 2024,
airbench94): whitening filters, one-cycle, label smoothing, flips and reflected crops.
"""

from dataclasses import dataclass, replace

from training.recipes.recipe import AUTO, Recipe


@dataclass(frozen=True)
class Entry:
    """A recipe, what it is about, and the figures of its first description where there are some."""

    recipe: Recipe
    about: str
    reported: str = ""


_STRONG = Recipe(
    name="strong",
    dataset="",
    architecture="convnet",
    batch_size=128,
    optimizer="sgd",
    momentum=0.9,
    weight_decay=5e-4,
    learning_rate=0.2,
    schedule="one-cycle",
    label_smoothing=0.1,
    initialisation="whitening",
    crop_padding=2,
    validation_fraction=0,
)
_GREY = {"channels": 1}

# fmt: off
_ENTRIES = (
    # Fanlight's own
    Entry(replace(_STRONG, name="birds-vs-planes", dataset="birds-vs-planes", epochs=30,
                  arguments={"channels": 3, "widths": [32, 64, 128]}, size=32, crop_padding=4, flip=True,
                  precision="bfloat16", strangers="cifar10-others + patterns"), "strong: whitening, one-cycle, flips, crops, strangers"),
    Entry(replace(_STRONG, name="fashion-mnist", dataset="fashion-mnist", epochs=30, flip=True, framing="clothes", precision="bfloat16",
                  arguments={**_GREY, "widths": [32, 64, 128]}), "strong: the same, in grey"),
    Entry(replace(_STRONG, name="mnist", dataset="mnist", epochs=6, framing="digits",
                  arguments={**_GREY, "widths": [16, 32, 64]}), "strong: the same, without flips"),
    Entry(replace(_STRONG, name="xo", dataset="xo + xo-by-hand", epochs=6, size=64, flip=True, framing="drawings",
                  arguments={**_GREY, "widths": [16, 32, 64, 64]}),
          "strong: pictures of the set, and drawings by hand"),
    # birds and planes
    Entry(Recipe("birds-vs-planes-base", "birds-vs-planes", "birdplane-base", 100, 64, "sgd", 0.01),
          "two convolutions", "0.8765; training 0.9037, loss 0.679 (1), 0.457 (10), 0.346 (20), 0.300 (50), 0.241 (100)"),
    Entry(Recipe("birds-vs-planes-width", "birds-vs-planes", "birdplane-width", 100, 64, "sgd", 0.01),
          "twice the channels"),
    Entry(Recipe("birds-vs-planes-dropout", "birds-vs-planes", "birdplane-dropout", 100, 64, "sgd", 0.01),
          "twice the channels, dropout"),
    Entry(Recipe("birds-vs-planes-batchnorm", "birds-vs-planes", "birdplane-batchnorm", 100, 64, "sgd", 0.01, l2=0.001),
          "batch normalisation, L2 penalty", "0.8805; training 0.9860, loss 0.540 (1), 0.343 (10), 0.124 (100)"),
    # clothes
    Entry(Recipe("fashion-mnist-mlp", "fashion-mnist", "mlp", 10, 128, "adam", 0.001),
          "perceptron, one hidden layer of 1,000", "about 0.89"),
    Entry(Recipe("fashion-mnist-lenet-plain", "fashion-mnist", "lenet-plain", 30, 128, "adam", 0.001),
          "LeNet-5: sigmoid, mean-pooling"),
    Entry(Recipe("fashion-mnist-lenet", "fashion-mnist", "lenet", 30, 128, "adam", 0.001),
          "LeNet-5: ReLU, normalised pixels"),
    Entry(Recipe("fashion-mnist-lenet-dropout", "fashion-mnist", "lenet", 30, 128, "adam", 0.001,
                 {"dropout": 0.5}), "LeNet-5: ReLU, normalised pixels, dropout"),
    Entry(Recipe("fashion-mnist-alexnet", "fashion-mnist", "alexnet", 10, 128, "sgd", 0.01,
                 initialisation="xavier"), "AlexNet at 224×224: hours without a GPU", "better than LeNet"),
    Entry(Recipe("fashion-mnist-alexnet-small", "fashion-mnist", "alexnet-small", 10, 128, "sgd", 0.01,
                 initialisation="xavier"), "an AlexNet with a fortieth of the arithmetic"),
    Entry(Recipe("fashion-mnist-resnet", "fashion-mnist", "resnet", 10, 128, "sgd", 0.01),
          "ResNet for 28×28"),
    # digits
    Entry(Recipe("mnist-cnn", "mnist", "mnist-cnn", 1, 50, "adam", 0.001),
          "two convolutions, one epoch", "0.9770 (first 2,000 pictures)"),
    # crosses and circles
    Entry(Recipe("xo-base", "xo", "xo", 10, 64, "sgd", 0.1), "two convolutions, 9 and 5 channels",
          "the loss falls after epoch 3"),
    Entry(Recipe("xo-11-channels", "xo", "xo", 10, 64, "sgd", 0.1, {"n_channel": 11}),
          "11 channels", "0.9967"),
    Entry(Recipe("xo-15-channels", "xo", "xo", 10, 64, "sgd", 0.1, {"n_channel": 15}),
          "15 channels", "0.800"),
    Entry(Recipe("xo-three-convolutions", "xo", "xo-three-convolutions", 20, 64, "sgd", 0.1),
          "a third convolution", "fails at 10 epochs (0.5 to 0.6), learns at 20"),
    Entry(Recipe("xo-third-of-3-channels", "xo", "xo-three-convolutions", 20, 64, "sgd", 0.1, {"third": 3}),
          "a third convolution of 3 channels: 3×12×12 before the linear layers"),
    Entry(Recipe("xo-no-pooling", "xo", "xo", 20, 64, "sgd", 0.1, {"pooling": False}),
          "without pooling", "learns at 20 epochs, much slower"),
)
# fmt: on

CATALOGUE = {entry.recipe.name: entry for entry in _ENTRIES}

OWN = replace(
    _STRONG,
    name="own",
    batch_size=32,  # a few hundred pictures still make some steps an epoch
    learning_rate=None,
    pretrained=AUTO,
    flip=True,
    validation_fraction=0.15,
)
"""For a folder of one's own pictures; `training/recipes/auto.py` fills what is open."""


def recipe(name: str) -> Recipe:
    """The recipe of that name in the catalogue; raises `KeyError`."""
    return CATALOGUE[name].recipe
