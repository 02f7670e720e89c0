"""What each layer of a network costs, and what a training step would take."""

import pytest
import torch
from torch import Tensor, nn

from models.architectures import registry
from tests.networks import Tiny
from tests.waiting import spend
from training.profiling import profile
from training.profiling.profile import Profile

FLOAT = 4  # bytes


def measure(network: nn.Module, batch: Tensor) -> Profile:
    return profile.profile(network.eval(), batch, passes=1)


def pictures(count: int) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_costs_of_the_layers() -> None:
    found = measure(Tiny(3), pictures(2))
    assert [(row.name, row.type, row.output_shape) for row in found.layers] == [
        ("conv", "Conv2d", (4, 8, 8)),
        ("relu", "ReLU", (4, 8, 8)),
        ("pool", "AdaptiveAvgPool2d", (4, 1, 1)),
        ("fc", "Linear", (3,)),
    ]
    costs = [row.cost for row in found.layers]
    assert [cost.parameters for cost in costs] == [4 * 27 + 4, 0, 0, 15]
    assert [cost.weight_bytes for cost in costs] == [112 * FLOAT, 0, 0, 15 * FLOAT]
    assert [cost.multiply_adds for cost in costs] == [8 * 8 * 4 * 27, 0, 0, 12]
    map_bytes = 4 * 8 * 8 * FLOAT
    assert [cost.activation_bytes for cost in costs] == [map_bytes, map_bytes, 16, 12]
    assert all(cost.milliseconds > 0 for cost in costs)


@pytest.mark.parametrize("name", ["lenet", "birdplane-batchnorm", "resnet", "mlp"])
def test_the_total_is_the_sum(name: str) -> None:
    architecture = registry.architecture(name)
    network = architecture.build(10)
    found = measure(network, torch.zeros(2, *architecture.input.shape))
    assert found.total.parameters == sum(p.numel() for p in network.parameters())
    assert found.total.weight_bytes == FLOAT * found.total.parameters
    parts = [*(row.cost for row in found.layers), found.elsewhere]
    assert found.total.multiply_adds == sum(cost.multiply_adds for cost in parts)
    assert found.total.activation_bytes == sum(cost.activation_bytes for cost in parts)
    assert found.total.milliseconds == pytest.approx(sum(cost.milliseconds for cost in parts))
    assert (found.elsewhere.parameters, found.elsewhere.multiply_adds) == (0, 0)


def test_views_and_layers_in_place_take_no_memory() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten())
    found = measure(network, pictures(2))
    taken = [row.cost.activation_bytes for row in found.layers]
    assert taken == [4 * 6 * 6 * FLOAT, 0, 0]


def test_what_belongs_to_no_layer() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, 3))
            self.fc = nn.Linear(3, 2)
            self.unused = nn.Linear(5, 5)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(x.mean((2, 3)) @ self.scale)
            return logits

    found = measure(Scaled(), pictures(2))
    assert [row.name for row in found.layers] == ["fc"]
    assert found.elsewhere.parameters == 9 + 30
    assert found.elsewhere.multiply_adds == 9
    assert found.elsewhere.milliseconds > 0
    assert (found.total.parameters, found.total.multiply_adds) == (9 + 30 + 8, 9 + 6)


def test_a_parameter_that_layers_share_counts_once() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 192), nn.Linear(192, 192))
    network[2].weight = network[1].weight
    found = measure(network, pictures(2))
    assert [row.cost.parameters for row in found.layers] == [0, 192 * 192 + 192, 192]
    assert found.total.parameters == 192 * 192 + 2 * 192


@pytest.mark.slow
def test_time_is_told_of_the_layer_that_takes_it() -> None:
    class Nap(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            spend(0.02)
            return x

    network = nn.Sequential(nn.ReLU(), Nap(), nn.Flatten(), Nap())
    found = profile.profile(network.eval(), pictures(1), passes=3)
    naps = [row.cost.milliseconds >= 20 for row in found.layers]
    assert naps == [False, True, False, True]
    assert found.total.milliseconds >= 40


def test_the_network_is_left_as_it_was() -> None:
    network = registry.architecture("birdplane-batchnorm").build(2).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batch = torch.rand(2, 3, 32, 32)
    measure(network, batch)
    profile.training_memory(network, batch)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.device.type == "cpu"
    for module in network.modules():
        assert not module.training
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_memory_of_a_training_step_by_hand() -> None:
    found = profile.training_memory(Tiny(3).eval(), pictures(10))
    weights = (112 + 15) * FLOAT
    # the convolution needs its input, ReLU its output, as pooling its input; the linear layer its
    # input
    needed = 3 * 8 * 8 + 4 * 8 * 8 + 4
    assert (found.weights, found.gradients) == (weights, weights)
    assert found.activations == 10 * needed * FLOAT
    assert found.with_sgd == 2 * weights + found.activations
    assert found.with_momentum == found.with_sgd + weights
    assert found.with_adam == found.with_sgd + 2 * weights


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet", "birdplane-batchnorm", "resnet"])
def test_the_backward_pass_keeps_what_was_estimated(name: str) -> None:
    architecture = registry.architecture(name)
    network, batch = architecture.build(10), torch.rand(4, *architecture.input.shape)
    estimated = profile.training_memory(network.eval(), batch)
    own = {p.untyped_storage().data_ptr() for p in [*network.parameters(), *network.buffers()]}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network.train()(batch)
    assert logits.requires_grad
    actual = sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)
    assert estimated.activations == pytest.approx(actual, rel=0.02)


def test_frozen_parameters_have_no_gradients() -> None:
    network = Tiny(3).eval()
    network.conv.requires_grad_(False)
    found = profile.training_memory(network, pictures(1))
    assert found.weights == (112 + 15) * FLOAT
    assert found.gradients == 15 * FLOAT
    assert found.activations == 4 * FLOAT


def test_buffers_are_weights_without_gradients() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.BatchNorm2d(2)).eval()
    found = profile.training_memory(network, pictures(2))
    assert found.gradients == (6 + 4) * FLOAT
    assert found.weights == (6 + 4 + 4) * FLOAT + 8  # and the number of batches, as int64


def test_a_batch_that_can_not_be_trained_on() -> None:
    network = registry.architecture("mlp").build(10, batchnorm=True).eval()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        profile.training_memory(network, torch.zeros(1, 1, 28, 28))
    assert not any(module.training for module in network.modules())


@pytest.mark.gpu
def test_a_network_on_the_gpu() -> None:
    network = registry.architecture("birdplane-batchnorm").build(2).to("cuda").eval()
    batch = torch.rand(4, 3, 32, 32)
    on_gpu = measure(network, batch.cuda())
    on_cpu = measure(network.cpu(), batch)
    assert on_gpu.total.multiply_adds == on_cpu.total.multiply_adds
    assert on_gpu.total.activation_bytes == on_cpu.total.activation_bytes
    assert all(row.cost.milliseconds > 0 for row in on_gpu.layers)
