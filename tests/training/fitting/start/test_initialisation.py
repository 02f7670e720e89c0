"""What weights are before the first step: Xavier's variance, or filters that whiten patches."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architectures import registry
from models.preprocessing import InputSpec
from tests.training.pictures import colors
from training.fitting import loop, state
from training.fitting.start import initialisation
from training.recipes.recipe import Recipe

CPU = torch.device("cpu")
RECIPE = Recipe(
    *("colors", "colors", "convnet", 2, 8, "sgd", 0.05, {"widths": [8]}),
    initialisation="whitening",
    weight_decay=0.1,
)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def patches(batch: Tensor, side: int) -> Tensor:
    """All of them, (N, values)."""
    return F.unfold(batch, side).transpose(1, 2).flatten(0, 1)


def smooth_noise(pictures: int, channels: int) -> Tensor:
    """Neighbours resemble each other, as in pictures: (N, C, 16, 16)."""
    noise = torch.rand(pictures, channels, 4, 4)
    return F.interpolate(noise, size=16, mode="bilinear") + 0.1 * torch.rand(1, channels, 16, 16)


class TestXavier:
    def test_weights_have_its_variance(self) -> None:
        network = nn.Sequential(nn.Conv2d(8, 32, 3), nn.Flatten(), nn.Linear(300, 100))
        initialisation.xavier(network)
        for weight, inputs, outputs in (
            (network[0].weight, 8 * 9, 32 * 9),
            (network[2].weight, 300, 100),
        ):
            assert isinstance(weight, Tensor)
            assert weight.var().item() == pytest.approx(2 / (inputs + outputs), rel=0.1)
            assert weight.abs().max().item() <= (6 / (inputs + outputs)) ** 0.5

    def test_other_layers_stay_as_they_are(self) -> None:
        network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1))
        bias = network.get_parameter("1.bias").detach().clone()
        initialisation.xavier(network)
        assert torch.equal(network.get_parameter("0.weight"), torch.ones(3))
        assert torch.equal(network.get_parameter("1.bias"), bias)

    def test_a_recipe_asks_for_it(self) -> None:
        plain = replace(RECIPE, architecture="mlp", arguments={}, initialisation="default")
        default, xavier = (
            state.build_network(recipe, 10, CPU).get_parameter("0.weight")
            for recipe in (plain, replace(plain, initialisation="xavier"))
        )
        assert default.abs().max().item() <= (1 / 784) ** 0.5
        assert xavier.abs().max().item() > 0.9 * (6 / 1784) ** 0.5


class TestWhitening:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_whitened_patches_have_the_identity_as_covariance(self, channels: int) -> None:
        batch = smooth_noise(200, channels)
        network = registry.architecture("convnet").build(2, channels=channels)
        stem = network.get_parameter("stem.weight")
        initialisation.whiten(network, batch)
        values = 4 * channels
        whitened = patches(batch, 2) @ stem[:values].flatten(1).T
        covariance = whitened.T @ whitened / len(whitened)
        variances = torch.linalg.eigvalsh(
            patches(batch, 2).T.double() @ patches(batch, 2).double() / len(whitened)
        ).flip(0)
        expected = variances / (variances + 5e-4)  # 1 but for the floor
        torch.testing.assert_close(covariance.diag().double(), expected, atol=1e-3, rtol=0)
        assert (covariance - covariance.diag().diag()).abs().max() < 1e-3
        assert expected[0] > 0.999

    def test_the_negatives_follow(self) -> None:
        network = registry.architecture("convnet").build(2)
        initialisation.whiten(network, smooth_noise(20, 3))
        stem = network.get_parameter("stem.weight")
        assert stem.shape == (24, 3, 2, 2)
        assert torch.equal(stem[:12], -stem[12:])

    def test_flat_directions_are_not_blown_up(self) -> None:
        network = registry.architecture("convnet").build(2)
        initialisation.whiten(network, torch.full((4, 3, 16, 16), 0.5))
        assert network.get_parameter("stem.weight").abs().max() <= 5e-4**-0.5

    def test_a_part_of_the_pictures_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        batch, filters = smooth_noise(30, 3), []
        for values in (10**8, 12 * 256 * 7, 1):
            monkeypatch.setattr(initialisation, "MAX_PATCH_VALUES", values)
            network = registry.architecture("convnet").build(2)
            initialisation.whiten(network, batch)
            filters.append(network.get_parameter("stem.weight").abs())
        torch.testing.assert_close(filters[0], filters[1], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(filters[0], filters[2], atol=1e-3, rtol=1e-3)

    def test_they_stay_as_they_are_during_training(self) -> None:
        train = colors(8)
        spec = InputSpec(channels=3, height=8, width=8)
        generator = torch.Generator().manual_seed(0)
        training = state.Training(RECIPE, train, spec, CPU, generator)
        before = {n: p.detach().clone() for n, p in training.network.named_parameters()}
        loop.train_one_epoch(training, train, spec)
        still = [
            name
            for name, parameter in training.network.named_parameters()
            if torch.equal(parameter, before[name])
        ]
        assert still == ["stem.weight"]  # the bias learns
        expected = registry.architecture("convnet").build(3, widths=[8])
        initialisation.whiten(expected, spec.normalize(train.in_memory))
        assert torch.equal(before["stem.weight"], expected.get_parameter("stem.weight"))

    def test_pictures_of_every_class_decide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        train, spec = colors(8), InputSpec(channels=3, height=8, width=8)
        monkeypatch.setattr(state, "WHITENING_PICTURES", 7)
        training = state.Training(RECIPE, train, spec, CPU, torch.Generator())
        expected = registry.architecture("convnet").build(3, widths=[8])
        initialisation.whiten(expected, spec.normalize(train.images[::4]))
        stem = training.network.get_parameter("stem.weight")
        assert torch.equal(stem, expected.get_parameter("stem.weight"))

    def test_pretrained_filters_stay(self, tmp_path: Path) -> None:
        network = registry.architecture("convnet").build(3, widths=[8])
        torch.save(network.state_dict(), tmp_path / "weights.pt")
        recipe = replace(RECIPE, pretrained=str(tmp_path / "weights.pt"))
        spec = InputSpec(channels=3, height=8, width=8)
        training = state.Training(recipe, colors(8), spec, CPU, torch.Generator())
        stem = training.network.get_parameter("stem.weight")
        assert torch.equal(stem, network.get_parameter("stem.weight"))
        assert stem.requires_grad

    @pytest.mark.parametrize("name", ["lenet", "mlp", "birdplane-base"])
    def test_networks_that_have_no_such_convolution(self, name: str) -> None:
        network = registry.architecture(name).build(2)
        with pytest.raises(ValueError, match="the architecture convnet has one"):
            initialisation.whiten(network, torch.zeros(1, 3, 28, 28))
