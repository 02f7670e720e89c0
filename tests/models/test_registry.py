"""Architectures by name: what there is, how large it is, what its parameters are called."""

import pytest
import torch

from models import registry
from models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from models.registry import ArchitectureError
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
        ({"channels": 2}, {}, "the input: Input should be 1 or 3"),
        ({"channels": [3]}, {"mean": (0.5,)}, "the input: Input should be 1 or 3"),
        ({"channels": 1}, {"mean": (0.1, 0.2)}, "the input: .*mean has 2 values for 1 channels"),
        ({}, {"height": 0}, "the input: Input should be greater than or equal to 1"),
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


def test_register_adds_an_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ARCHITECTURES", {})
    assert registry.register("mine", SPEC)(tiny) is tiny
    assert registry.names() == ["mine"]
    assert registry.architecture("mine").input == SPEC
    assert isinstance(registry.architecture("mine").build(2), Tiny)


def test_a_name_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ARCHITECTURES", {})
    registry.register("mine", SPEC)(tiny)
    with pytest.raises(ValueError, match="'mine' is registered twice"):
        registry.register("mine", SPEC)(lambda num_classes: Tiny(num_classes))


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
