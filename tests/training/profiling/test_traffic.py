"""What the layers of a network read and write in a training step, counted by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.architectures import registry
from models.structure import reading
from models.torchvision_import import torchvision
from tests import tutorial_networks
from tests.cases import one_in
from training.profiling import traffic
from training.profiling.traffic import LayerTraffic, StepTraffic, Traffic

FLOAT, INDEX = 4, 8  # bytes


def measure(network: nn.Module, *shape: int, dtype: torch.dtype = torch.float32) -> StepTraffic:
    """Of a batch of this shape."""
    batch = torch.zeros(shape)
    layers = {each.name: each.type for each in reading.layers(network.eval(), batch[:1])}
    return traffic.measure(network.to(dtype), batch.to(dtype), layers)


def rows(step: StepTraffic) -> dict[str, LayerTraffic]:
    return {row.name: row for row in step.layers}


def of_floats(read: int, written: int, multiply_adds: int = 0) -> Traffic:
    return Traffic(FLOAT * read, FLOAT * written, multiply_adds)


@pytest.mark.parametrize("count", [1, 32])
def test_the_first_convolution_of_lenet(count: int) -> None:
    """6 kernels of 1×5×5 with a bias each, over 28×28 pixels: 6 maps of 28×28."""
    found = rows(measure(registry.architecture("lenet").build(10), count, 1, 28, 28))["conv1"]
    images, maps, weights = count * 784, count * 4704, 6 * 25 + 6
    multiply_adds = count * 4704 * 25
    assert found.forward == of_floats(images + weights, maps, multiply_adds)
    # nobody needs the gradient of the images, so the weights are not read again
    assert found.backward == of_floats(maps + images, weights, multiply_adds)
    intensity = 2 * multiply_adds / (FLOAT * (images + weights + maps))
    assert found.forward.intensity == pytest.approx(intensity)


def test_layers_that_follow_also_give_the_gradient_of_their_input() -> None:
    found = rows(measure(registry.architecture("lenet").build(10), 2, 1, 28, 28))
    taken, given, weights = 2 * 6 * 14 * 14, 2 * 16 * 10 * 10, 16 * 6 * 25 + 16
    multiply_adds = given * 6 * 25
    assert found["conv2"].forward == of_floats(taken + weights, given, multiply_adds)
    backward = found["conv2"].backward
    assert backward == of_floats(given + taken + weights - 16, taken + weights, 2 * multiply_adds)
    assert found["fc2"].forward == of_floats(2 * 120 + 84 * 121, 2 * 84, 2 * 120 * 84)
    assert found["fc2"].backward == of_floats(
        2 * 84 + 2 * 120 + 84 * 120, 2 * 120 + 84 * 121, 2 * 2 * 120 * 84
    )


def test_activations_and_pooling_move_much_and_multiply_nothing() -> None:
    found = rows(measure(registry.architecture("lenet").build(10), 1, 1, 28, 28))
    maps, pooled = 6 * 28 * 28, 6 * 14 * 14
    assert found["activation1"].forward == of_floats(maps, maps)
    assert found["activation1"].backward == of_floats(2 * maps, maps)  # gradient and output
    # the place of each maximum is kept for the backward pass, which needs no more than these
    assert found["pool1"].forward == Traffic(FLOAT * maps, (FLOAT + INDEX) * pooled)
    assert found["pool1"].backward == Traffic((FLOAT + INDEX) * pooled, FLOAT * maps)
    assert found["pool1"].forward.intensity == 0


@pytest.mark.parametrize(
    ("pool", "pooled"),
    [
        (nn.AvgPool2d(2), 4 * 4 * 4),
        (nn.AdaptiveAvgPool2d(2), 4 * 2 * 2),
        (nn.AdaptiveAvgPool2d(1), 4),  # a mean, whose gradient is expanded
    ],
)
def test_averages_need_their_gradient_alone(pool: nn.Module, pooled: int) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), pool, nn.Flatten())
    found = rows(measure(network, 3, 1, 10, 10))["1"]
    maps = 3 * 4 * 8 * 8
    assert found.forward == of_floats(maps, 3 * pooled)
    assert found.backward == of_floats(3 * pooled, maps)


def test_normalisation_reads_its_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten())
    found = rows(measure(network, 2, 1, 6, 6))
    maps = 2 * 4 * 16
    # weight, bias, running mean and variance of 4 channels; what it divides by is kept
    assert found["1"].forward == of_floats(maps + 4 * 4, maps + 2 * 4)
    assert found["2"].forward == found["2"].backward == Traffic()  # a view
    assert found["2"].forward.intensity is None


def test_a_layer_in_place_moves_as_much() -> None:
    found = rows(measure(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True)), 2, 1, 6, 6))
    assert found["1"].forward == of_floats(2 * 4 * 16, 2 * 4 * 16)


def test_half_precision_halves_the_bytes_but_of_places() -> None:
    def network() -> nn.Module:
        return registry.architecture("lenet").build(10)

    single = measure(network(), 2, 1, 28, 28).total
    half = measure(network(), 2, 1, 28, 28, dtype=torch.bfloat16).total
    assert half.forward.multiply_adds == single.forward.multiply_adds
    places = 2 * INDEX * (6 * 14 * 14 + 16 * 5 * 5)  # of the maxima that pooling has found
    for one, other in ((half.forward, single.forward), (half.backward, single.backward)):
        assert 2 * (one.bytes - places) == other.bytes - places


def test_channels_last_changes_nothing() -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())

    turned = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert measure(turned, 2, 3, 10, 10) == measure(network(), 2, 3, 10, 10)


class Twice(nn.Module):
    """A layer that is called twice, and an activation that no module shows."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(6, 6, bias=False)
        self.head = nn.Linear(6, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(torch.relu(self.shared(x)))
        logits: Tensor = self.head(x)
        return logits


def test_a_layer_that_is_called_twice() -> None:
    step = measure(Twice(), 3, 6)
    shared = rows(step)["shared"]
    assert shared.forward == of_floats(2 * (18 + 36), 2 * 18, 2 * 3 * 36)
    # the second call gives two gradients, the first that of the weight alone
    assert shared.backward == of_floats((18 + 18 + 36) + (18 + 18), (18 + 36) + 36, 3 * 3 * 36)
    assert step.trained == FLOAT * (36 + 12)


def test_what_no_layer_shows_is_elsewhere() -> None:
    step = measure(Twice(), 3, 6)
    assert step.between == ("relu",)
    assert step.elsewhere.forward == of_floats(18, 18)
    # its gradient, and the sum of the weight's two gradients
    assert step.elsewhere.backward == of_floats(2 * 18 + 2 * 36, 18 + 36)
    assert step.total.forward.bytes == sum(
        row.forward.bytes for row in [*step.layers, step.elsewhere]
    )


def test_operators_within_a_layer_pass_on_what_they_make() -> None:
    """Attention computes in several steps, of which only what the backward pass needs is kept."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            attended: Tensor = self.attention(x, x, x, need_weights=False)[0]
            return attended.mean(1)

    step = measure(Attention(), 1, 5, 8)
    found = rows(step)["attention"]
    tokens, weights = 5 * 8, 4 * 8 * 8
    # query, key and value; the probabilities of two heads; what they weigh; and the output
    kept = 3 * tokens + 2 * 5 * 5 + tokens + tokens
    assert found.forward.read == FLOAT * (tokens + weights)
    assert found.forward.written == FLOAT * kept
    assert found.forward.multiply_adds == tokens * 8 * 4 + 2 * 5 * 5 * 8


def test_frozen_layers_have_no_gradients() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    network[0].requires_grad_(False)
    step = measure(network, 1, 1, 6, 6)
    found = rows(step)
    assert found["0"].forward.multiply_adds == 64 * 9
    assert found["0"].backward == found["1"].backward == Traffic()
    assert found["3"].backward == of_floats(2 + 64, 2 * 65, 2 * 64)  # the first that is trained
    assert step.trained == FLOAT * 2 * 65


def test_a_network_that_is_not_trained() -> None:
    step = measure(nn.Sequential(nn.AvgPool2d(8), nn.Flatten()), 2, 3, 8, 8)
    assert step.total.forward == of_floats(2 * 3 * 64, 2 * 3)
    assert step.total.backward == Traffic()
    assert step.trained == 0


def test_tensors_that_a_network_makes_itself() -> None:
    """They lie on the device on which torch makes tensors, not where the batch is."""

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.fc(x.flatten(1) + torch.arange(4)), x

    found = rows(measure(Shifted(), 3, 1, 2, 2))["fc"]
    assert found.forward == of_floats(3 * 4 + 10, 3 * 2, 3 * 8)


def test_a_network_that_needs_values() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) if x.sum().item() > 0 else -x.flatten(1)

    with pytest.raises(RuntimeError, match="meta"):
        measure(Branching(), 1, 1, 2, 2)


def test_the_network_is_left_as_it_was() -> None:
    network = registry.architecture("birdplane-batchnorm").build(2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measure(network, 2, 3, 32, 32)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert all(parameter.grad is None for parameter in network.parameters())


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "lenet": (lambda: registry.architecture("lenet").build(10), (1, 28, 28)),
    "alexnet": (lambda: registry.architecture("alexnet").build(10), (1, 224, 224)),
    "resnet": (lambda: registry.architecture("resnet").build(10), (1, 28, 28)),
    "functional": (tutorial_networks.Birds, (3, 32, 32)),
    "resnet18": (lambda: torchvision("models").resnet18(), (3, 64, 64)),
    "densenet121": (lambda: torchvision("models").densenet121(), (3, 32, 32)),
    "swin": (lambda: torchvision("models").swin_t(), (3, 64, 64)),
    "vit": (lambda: torchvision("models").vit_b_32(), (3, 224, 224)),
    "transposed": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(4, 2, 3, stride=2)),
        (1, 9, 9),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", one_in(3, NETWORKS))
def test_operations_are_those_that_torch_counts(name: str) -> None:
    """torch's counter follows both passes of the network itself."""
    build, shape = NETWORKS[name]
    with torch.device("meta"):
        network = build()
    step = measure_on_meta(network, shape)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        logits = network(torch.zeros(2, *shape))
        forward = counter.get_total_flops()
        logits.sum().backward()
    assert step.total.forward.operations == forward
    assert step.total.backward.operations == counter.get_total_flops() - forward


def measure_on_meta(network: nn.Module, shape: tuple[int, int, int]) -> StepTraffic:
    """Of a network whose weights have no values, so that large ones take no time."""
    batch = torch.zeros(2, *shape, device="meta")
    modules = {name: each for name, each in network.eval().named_modules() if name}
    leaves = {name: type(x).__name__ for name, x in modules.items() if not list(x.children())}
    return traffic.measure(network, batch, leaves)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_convolution_of_groups(groups: int) -> None:
    """torch's counter takes the gradient of its weight for `groups` times as much."""
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 8, 3, groups=groups), nn.Flatten())
    found = rows(measure(network, 2, 1, 6, 6))["1"]
    assert found.forward.multiply_adds == 2 * 8 * 16 * 9 * 4 // groups
    assert found.backward.multiply_adds == 2 * found.forward.multiply_adds
