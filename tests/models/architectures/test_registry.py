"""Architectures by name: what there is, how large it is, what its parameters are called."""

from typing import Any

import pytest
import torch
from torch import nn

from models.architectures import registry
from models.architectures.registry import ARCHITECTURES, Architecture, ArchitectureError
from models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from tests.networks import SPEC, Tiny, tiny

BIRDPLANE = [
    f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc1", "fc2") for kind in ("weight", "bias")
]
STATISTICS = [
    f"{layer}_batchnorm.{kind}"
    for layer in ("conv1", "conv2")
    for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
]


@pytest.mark.parametrize(
    ("name", "num_classes", "parameters"),
    [
        ("birdplane-base", 2, 18_090),
        ("birdplane-width", 2, 38_386),
        ("birdplane-dropout", 2, 38_386),
        ("birdplane-batchnorm", 2, 38_482),
        ("mnist-cnn", 10, 28_938),
        ("lenet", 10, 61_706),
    ],
)
def test_number_of_parameters(name: str, num_classes: int, parameters: int) -> None:
    network = registry.architecture(name).build(num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("birdplane-base", BIRDPLANE),
        ("birdplane-width", BIRDPLANE),
        ("birdplane-dropout", BIRDPLANE),
        ("birdplane-batchnorm", BIRDPLANE + STATISTICS),
        (
            "mnist-cnn",
            [
                f"{layer}.{kind}"
                for layer in ("conv1.0", "conv2.0", "out")
                for kind in ("weight", "bias")
            ],
        ),
    ],
)
def test_state_dict_has_the_names_of_the_reference(name: str, keys: list[str]) -> None:
    assert sorted(registry.architecture(name).build(2).state_dict()) == sorted(keys)


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.names())
def test_every_architecture_takes_its_own_input(name: str) -> None:
    architecture = registry.architecture(name)
    network = architecture.build(7).eval()
    pixels = torch.zeros(2, *architecture.input.shape, dtype=torch.uint8)
    assert network(architecture.input.normalize(pixels)).shape == (2, 7)


def test_arguments_reach_the_network() -> None:
    network = registry.architecture("tiny").build(2, n_channel=6)
    assert network.get_parameter("conv.weight").shape == (6, 3, 3, 3)
    assert network.get_parameter("fc.weight").shape == (2, 6)


def test_the_input_of_a_network_is_the_architectures_own() -> None:
    assert registry.architecture("tiny").input_for({}) == SPEC
    assert registry.architecture("tiny").input_for({"n_channel": 1}) == SPEC


def test_the_argument_channels_decides_those_of_the_input() -> None:
    convnet = registry.architecture("convnet")
    assert convnet.input_for({"channels": 3}) == convnet.input
    grey = convnet.input_for({"channels": 1})
    assert grey == InputSpec(channels=1, height=32, width=32)  # pixels stay in [0, 1]
    network = convnet.build(2, channels=1).eval()
    assert network(grey.normalize(torch.zeros(1, *grey.shape))).shape == (1, 2)


def test_changes_of_the_input() -> None:
    tiny = registry.architecture("tiny")
    changed = tiny.input_for({}, height=5, resize="stretch", mean=(0.0,), std=(1.0, 2.0, 3.0))
    assert changed == InputSpec(
        channels=3, height=5, width=8, resize="stretch", mean=(0, 0, 0), std=(1, 2, 3)
    )
    grey = tiny.input_for({"channels": 1}, mean=(0.5,))
    assert (grey.mean, grey.std) == ((0.5,), (1.0,))


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        ({"channels": 2}, {}, "the input: should be 1 or 3"),
        ({"channels": [3]}, {"mean": (0.5,)}, "the input: should be 1 or 3"),
        ({"channels": 1}, {"mean": (0.1, 0.2)}, "the input: .*mean has 2 values for 1 channels"),
        ({}, {"height": 0}, "the input: should be at least 1"),
    ],
)
def test_an_impossible_input(
    arguments: dict[str, object], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ArchitectureError, match=message):
        registry.architecture("tiny").input_for(arguments, **changes)


def test_a_network_is_initialised_from_the_global_generator() -> None:
    architecture = registry.architecture("birdplane-base")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = architecture.build(2).state_dict()
        torch.manual_seed(0)
        again = architecture.build(2).state_dict()
        other = architecture.build(2).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_register_adds_an_architecture() -> None:
    with ARCHITECTURES.restored():
        assert registry.register("mine", SPEC)(tiny) is tiny
        assert "mine" in registry.names()
        assert registry.architecture("mine").input == SPEC
        assert isinstance(registry.architecture("mine").build(2), Tiny)
    assert "mine" not in registry.names()


def test_a_name_is_registered_once() -> None:
    with ARCHITECTURES.restored():
        registry.register("mine", SPEC)(tiny)
        with pytest.raises(ValueError, match=r"'mine' is registered twice: at .*test_registry\.py"):
            registry.register("mine", SPEC)(lambda num_classes: Tiny(num_classes))


SHIPPED = [each for each in ARCHITECTURES if each.name != "tiny"]


@pytest.mark.parametrize("each", SHIPPED, ids=lambda each: each.name)
def test_every_architecture_says_what_it_is_in_a_sentence(each: Architecture) -> None:
    assert each.description.endswith(".")
    assert "\n" not in each.description


@pytest.mark.slow
def test_the_arguments_come_from_the_signature() -> None:
    mlp = registry.architecture("mlp").parameters
    assert mlp["dropout"] == {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 0.0,
        "description": "of values before each linear layer",
    }
    assert mlp["hidden"]["items"] == {"type": "integer", "minimum": 1}
    assert registry.architecture("convnet").parameters["channels"]["enum"] == [1, 3]
    assert registry.architecture("resnet").parameters == {}
    assert registry.architecture("torchvision/resnet18").parameters == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "argument"),
    [(each.name, argument) for each in SHIPPED for argument in each.parameters],
)
def test_arguments_outside_their_limits_are_refused(name: str, argument: str) -> None:
    """What the schema tells is what the network takes."""
    architecture = registry.architecture(name)
    schema = architecture.parameters[argument]
    of = schema.get("items", schema)
    outside = [of["minimum"] - 1] if "minimum" in of else []
    outside += [of["maximum"] + 1] if "maximum" in of else []
    for value in outside:
        with pytest.raises(ArchitectureError, match="can't be built with"):
            architecture.build(2, **{argument: [value] if "items" in schema else value})
    architecture.build(2, **{argument: schema["default"]})


def test_the_table_tells_arguments_and_limits() -> None:
    [row] = [line for line in registry.table().splitlines() if line.startswith("| `lenet` |")]
    assert row.endswith("| 1×28×28 | `dropout`, number from 0 to 1 (default 0.0) |")


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ArchitectureError, match=r"no architecture 'lenett'.*lenet, lenet-plain"):
        registry.architecture("lenett")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("birdplane-width", {"channels": 32}),
        ("birdplane-width", {"n_channel": "many"}),
        ("birdplane-dropout", {"p": 2.0}),
        ("birdplane-base", {"num_classes": 3}),
        ("birdplane-base", {"self": 3}),
        ("torchvision/resnet18", {"weights": "DEFAULT"}),
        ("torchvision/resnet18", {"depth": 18}),
    ],
)
def test_arguments_that_it_does_not_take(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ArchitectureError, match=f"{name}' can't be built with"):
        registry.architecture(name).build(2, **arguments)


def test_a_torchvision_classifier() -> None:
    architecture = registry.architecture("torchvision/resnet18")
    assert architecture.input.shape == (3, 224, 224)
    assert (architecture.input.mean, architecture.input.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert architecture.build(7).get_parameter("fc.weight").shape == (7, 512)


def test_an_unknown_torchvision_classifier_lists_what_there_is() -> None:
    with pytest.raises(ArchitectureError, match=r"no classifier 'resnet19'.*resnet18, resnet34"):
        registry.architecture("torchvision/resnet19")


def test_torchvision_networks_that_are_no_classifiers_are_not_there() -> None:
    with pytest.raises(ArchitectureError, match="no classifier 'fcos_resnet50_fpn'"):
        registry.architecture("torchvision/fcos_resnet50_fpn")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hiden": [10]}, "no argument 'hiden'; did you mean 'hidden'"),
        ({"batchnorm": "no"}, "batchnorm: should be true or false, not 'no'"),
        ({"dropout": "much"}, "dropout: should be a number, not 'much'"),
    ],
    ids=["unknown", "type", "number"],
)
def test_arguments_are_checked_against_what_is_told(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArchitectureError, match=message):
        ARCHITECTURES.get("mlp").build(10, **arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mlp", {"hidden": [100_000_000_000]}),
        ("mlp", {"hidden": [10**21]}),
        ("mlp", {"hidden": nn.ReLU}),
        ("torchvision/vit_b_16", {"image_size": 7}),
        ("torchvision/resnet18", {"norm_layer": nn.BatchNorm2d}),
    ],
    ids=str,
)
def test_what_can_not_be_built_is_one_line(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ArchitectureError) as raised:
        registry.architecture(name).build(3, **arguments)
    assert "\n" not in str(raised.value)


def test_a_factory_with_star_arguments() -> None:
    def factory(*layers: int, num_classes: int, norm: nn.Module | None = None) -> nn.Module:
        return nn.Linear(len(layers) + 1, num_classes)

    entry = Architecture("starred", SPEC, factory, "A toy.")
    assert isinstance(entry.build(3), nn.Linear)
