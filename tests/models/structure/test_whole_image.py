"""The layer that Grad-CAM looks at by default holds all that the logits know of the image."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.structure import reading
from models.torchvision_import import torchvision


def whole(network: nn.Module, size: int = 8) -> str | None:
    return reading.read(network.eval(), torch.zeros(1, 3, size, size)).whole


class Branches(nn.Module):
    """Two convolutions beside each other, whose maps are joined, behind an identity if asked."""

    def __init__(self, *, joined: bool, skip: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.one, self.two = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.joint = nn.Conv2d(8, 4, 1) if joined else nn.Identity()
        self.fc = nn.Linear(4 if joined else 8, 2)
        self.skip = nn.Linear(4, 2) if skip else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        both: Tensor = self.joint(torch.cat([self.one(x), self.two(x)], 1))
        logits: Tensor = self.fc(both.mean((2, 3)))
        return logits if self.skip is None else logits + self.skip(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("joined", "skip", "expected"),
    [(True, False, "joint"), (False, False, "first"), (True, True, "first")],
)
def test_a_branch_does_not_hold_the_whole_image(joined: bool, skip: bool, expected: str) -> None:
    torch.manual_seed(0)
    assert whole(Branches(joined=joined, skip=skip)) == expected


def plain(*, inplace: bool = False) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(inplace=inplace),
        nn.Conv2d(4, 4, 3),
        nn.ReLU(inplace=inplace),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 2),
    )


@pytest.mark.parametrize("inplace", [False, True])
def test_of_a_chain_it_is_the_last_convolution_not_the_pooling_behind_it(inplace: bool) -> None:
    torch.manual_seed(0)
    assert whole(plain(inplace=inplace)) == "2"


class Unlike(nn.Module):
    """Answers in some way that has no gradient."""

    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self._answer = nn.Conv2d(3, 2, 3), answer

    def forward(self, x: Tensor) -> Tensor:
        return self._answer(self.conv(x).mean((2, 3)))


@pytest.mark.parametrize(
    "answer",
    [
        lambda logits: logits.detach(),
        lambda logits: torch.from_numpy(logits.numpy()),
        lambda logits: (logits > 0).float(),
        lambda logits: logits * 0,
    ],
    ids=["detached", "numpy", "compared", "always 0"],
)
def test_without_a_gradient_it_is_the_last_convolution(answer: Callable[[Tensor], Tensor]) -> None:
    assert whole(Unlike(answer)) == "conv"


def test_a_network_without_maps_has_none() -> None:
    assert whole(nn.Sequential(nn.Flatten(), nn.Linear(192, 2))) is None


def test_nothing_of_it_stays_in_the_network() -> None:
    network = plain()
    whole(network)
    assert all(parameter.grad is None for parameter in network.parameters())
    torch.testing.assert_close(network(torch.zeros(1, 3, 8, 8)), network(torch.zeros(1, 3, 8, 8)))


def test_a_head_that_starts_with_zeros_hides_nothing() -> None:
    """As that of torchvision's transformers does, before it is trained."""
    network: Any = transformer(image_size=32)
    expected = whole(network, 32)
    nn.init.zeros_(network.heads.head.weight)
    assert whole(network, 32) == expected
    assert expected != "conv_proj"


def transformer(**arguments: Any) -> nn.Module:
    """A vision transformer in small; its head starts at 0, as a trained one doesn't."""
    sizes = {"patch_size": 8, "num_layers": 3, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 48}
    network: Any = torchvision("models").VisionTransformer(**sizes, num_classes=5, **arguments)
    nn.init.normal_(network.heads.head.weight)
    return network  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("resnet18", 64, "layer4"),
        ("densenet121", 64, "features"),
        ("googlenet", 64, "inception5b"),
        ("convnext_tiny", 64, "features"),
        ("swin_t", 64, "norm"),
        ("mobilenet_v2", 64, "features"),
        ("squeezenet1_1", 64, "classifier.1"),
        ("vgg11", 64, "features.18"),
    ],
)
def test_of_torchvisions_networks(name: str, size: int, expected: str) -> None:
    torch.manual_seed(0)
    further = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    network = getattr(torchvision("models"), name)(num_classes=5, **further)
    assert whole(network, size) == expected


def test_of_a_transformer_it_is_what_the_last_attention_looks_at() -> None:
    """Behind it the token of the class alone counts: the gradient of all others is 0."""
    torch.manual_seed(0)
    assert whole(transformer(image_size=32), 32) == "encoder.layers.encoder_layer_1"
