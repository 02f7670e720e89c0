"""Which bytes grow with the batch, and from which batch size on arithmetic is the bound."""

import math

import pytest
import torch
from torch import nn

from models.architectures import registry
from models.structure import reading
from training.profiling import batches
from training.profiling.batches import Affine, Batches
from training.profiling.machine import Machine

FLOAT = 4  # bytes
MACHINE = Machine(peak=400e9, bandwidth=10e9)  # a ridge of 40 operations a byte


def measure(network: nn.Module, shape: tuple[int, ...], *sizes: int) -> Batches:
    batch = torch.zeros(1, *shape)
    layers = {each.name: each.type for each in reading.layers(network.eval(), batch)}
    return batches.measure(network, batch, layers, sizes)


@pytest.fixture(scope="module")
def alexnet() -> Batches:
    with torch.device("meta"):
        network = registry.architecture("alexnet").build(10).eval()
    layers = {name: type(each).__name__ for name, each in network.named_children()}
    batch = torch.zeros(1, 1, 224, 224, device="meta")
    return batches.measure(network, batch, layers, (1, 32, 128, 512))


def test_parameters_are_fixed_and_activations_grow() -> None:
    found = measure(nn.Sequential(nn.Flatten(), nn.Linear(20, 7)), (1, 4, 5), 1)
    weights = 7 * 21
    assert found.forward == Affine(FLOAT * weights, FLOAT * (20 + 7), 20 * 7)
    assert found.backward == Affine(FLOAT * weights, FLOAT * (20 + 7), 20 * 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet", "birdplane-batchnorm", "resnet"])
def test_a_batch_moves_what_is_fixed_and_what_its_images_move(name: str) -> None:
    architecture = registry.architecture(name)
    found = measure(architecture.build(10), architecture.input.shape, 1, 32, 100)
    for step in found.steps:
        for parts, traffic in (
            (found.forward, step.total.forward),
            (found.backward, step.total.backward),
        ):
            assert traffic.bytes == parts.fixed + step.batch_size * parts.per_image
            assert traffic.multiply_adds == step.batch_size * parts.multiply_adds


def test_the_intensity_of_a_linear_layer_grows_to_a_limit() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 100))
    found = measure(network, (1, 28, 28), 1, 8, 64, 512, 1_000_000)
    intensities = [step.layers[1].forward.intensity or 0 for step in found.steps]
    assert intensities == sorted(intensities)
    limit = 2 * 784 * 100 / (FLOAT * (784 + 100))
    assert intensities[0] == pytest.approx(0.5, rel=0.02)  # each weight is read for two operations
    assert intensities[-1] == pytest.approx(limit, rel=1e-3)
    assert found.forward.limit == pytest.approx(limit)


def test_linear_layers_of_alexnet_are_bound_by_memory_at_small_batches(alexnet: Batches) -> None:
    linear, last = ["14", "17"], "20"
    bound = {
        step.batch_size: batches.memory_bound(step, MACHINE, lambda row: row.forward)
        for step in alexnet.steps
    }
    assert bound == {1: [*linear, last], 32: [*linear, last], 128: [last], 512: [last]}
    backward = batches.memory_bound(alexnet.steps[2], MACHINE, lambda row: row.backward)
    assert backward == [last]


def test_the_batch_from_which_arithmetic_is_the_bound(alexnet: Batches) -> None:
    crossing = alexnet.forward.crossing(MACHINE)
    assert crossing is not None

    def intensity(size: int) -> float:
        parts = alexnet.forward
        return 2 * size * parts.multiply_adds / (parts.fixed + size * parts.per_image)

    assert intensity(crossing - 1) < MACHINE.ridge <= intensity(crossing)


@pytest.mark.parametrize(
    ("parts", "crossing", "limit"),
    [
        (Affine(fixed=1000, per_image=100, multiply_adds=2500), 40, 50),
        (Affine(fixed=1000, per_image=100, multiply_adds=2000), None, 40),  # comes near the ridge
        (Affine(fixed=0, per_image=100, multiply_adds=2500), 1, 50),
        (Affine(fixed=0, per_image=0, multiply_adds=0), None, math.inf),
    ],
)
def test_crossings(parts: Affine, crossing: int | None, limit: float) -> None:
    assert parts.crossing(MACHINE) == crossing
    assert parts.limit == limit


def test_an_optimizer_moves_its_state(alexnet: Batches) -> None:
    step = alexnet.steps[0]
    parameters = FLOAT * 46_764_746
    passes = step.total.forward + step.total.backward
    assert step.trained == parameters
    for name, times in (("SGD", 3), ("momentum", 5), ("Adam", 7)):
        expected = passes.operations / (passes.bytes + times * parameters)
        assert batches.intensity(step, name) == pytest.approx(expected)


def test_nothing_to_compute() -> None:
    found = measure(nn.Sequential(nn.Flatten()), (1, 2, 2), 1)
    assert batches.intensity(found.steps[0], "Adam") is None
    assert found.forward.crossing(MACHINE) is None
