"""The four birds-against-planes networks compute what their description says."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import features
from models.architectures import registry
from models.architectures.birdplane import BirdPlane

VARIANTS = ["base", "width", "dropout", "batchnorm"]


class Described(nn.Module):
    """The description, word for word: tanh comes before the pooling."""

    def __init__(self, n_channel: int, batchnorm: bool, dropout: bool) -> None:
        super().__init__()
        half = n_channel // 2
        self.conv1 = nn.Conv2d(3, n_channel, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(n_channel, half, kernel_size=3, padding=1)
        if batchnorm:
            self.conv1_batchnorm = nn.BatchNorm2d(n_channel)
            self.conv2_batchnorm = nn.BatchNorm2d(half)
        if dropout:
            self.conv1_dropout = nn.Dropout2d(0.4)
            self.conv2_dropout = nn.Dropout2d(0.4)
        self.fc1 = nn.Linear(half * 8 * 8, 32)
        self.fc2 = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        for name in ("conv1", "conv2"):
            x = self.get_submodule(name)(x)
            if hasattr(self, f"{name}_batchnorm"):
                x = self.get_submodule(f"{name}_batchnorm")(x)
            x = F.max_pool2d(torch.tanh(x), 2)
            if hasattr(self, f"{name}_dropout"):
                x = self.get_submodule(f"{name}_dropout")(x)
        logits: Tensor = self.fc2(torch.tanh(self.fc1(x.flatten(1))))
        return logits


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def described(variant: str, pictures: Tensor) -> Described:
    """With random weights and, where there is batch normalisation, statistics of the pictures."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Described(
            16 if variant == "base" else 32, variant == "batchnorm", variant == "dropout"
        )
        for name, parameter in network.named_parameters():
            if "batchnorm" in name:
                nn.init.normal_(parameter)  # negative factors too
        with torch.inference_mode():
            network.train()(pictures * 2)
    return network.eval()


def built(variant: str) -> BirdPlane:
    network = registry.architecture(f"birdplane-{variant}").build(2)
    assert isinstance(network, BirdPlane)
    return network


@pytest.mark.parametrize("variant", VARIANTS)
def test_checkpoints_of_the_description_give_its_logits(variant: str, pictures: Tensor) -> None:
    original, network = described(variant, pictures), built(variant)
    network.load_state_dict(original.state_dict(), strict=True)
    with torch.inference_mode():
        torch.testing.assert_close(
            network.eval()(pictures), original(pictures), atol=1e-6, rtol=1e-6
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_convolutions_decide(variant: str, pictures: Tensor) -> None:
    network = built(variant).eval()
    with torch.inference_mode():
        for name in ("conv1", "conv2"):
            before = network(pictures)
            network.get_parameter(f"{name}.weight").neg_()
            assert not torch.allclose(network(pictures), before, atol=1e-3)


@pytest.mark.parametrize(
    ("pooled", "dropped"), [("tanh1", "conv1_dropout"), ("tanh2", "conv2_dropout")]
)
def test_dropout_drops_whole_feature_maps_after_each_pooling(
    pooled: str, dropped: str, pictures: Tensor
) -> None:
    network = built("dropout").train()
    with (
        torch.random.fork_rng(),
        torch.inference_mode(),
        features.capture(network, [pooled, dropped]) as activations,
    ):
        torch.manual_seed(0)
        network(pictures.repeat(4, 1, 1, 1))
    gone = (activations[dropped] == 0).all((2, 3), keepdim=True)  # (N, C, 1, 1)
    expected = torch.where(gone, 0, activations[pooled] / 0.6)
    torch.testing.assert_close(activations[dropped], expected)
    assert 0.35 < gone.float().mean().item() < 0.45


@pytest.mark.slow
def test_dropout_does_nothing_in_evaluation(pictures: Tensor) -> None:
    network = built("dropout").eval()
    with torch.inference_mode():
        assert torch.equal(network(pictures), network(pictures))
