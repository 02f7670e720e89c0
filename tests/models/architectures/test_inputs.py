"""What a network takes is found by trying; what is not clear is asked for."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.architectures import inputs, registry
from models.architectures.architecture import Architecture, ArchitectureError
from models.preprocessing import InputSpec


def convolutional(channels: int, side: int, pooled: int) -> nn.Module:
    """Without padding, for squares of that side, which is halved so often."""
    layers: list[nn.Module] = [nn.Conv2d(channels, 2, 3, padding=1)]
    layers += [nn.MaxPool2d(2)] * pooled
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * (side >> pooled) ** 2, 4))


class Picky(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        if x.mean().item() < 0:  # which needs values
            raise ValueError
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


def of(network: nn.Module) -> Architecture:
    return Architecture("mine:net", None, lambda: network, "")


def adaptive(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 4)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 4)), (1, 28, 28)),
        (nn.Sequential(nn.Flatten(), nn.Linear(3072, 4)), (3, 32, 32)),
        (nn.Sequential(nn.Flatten(), nn.Linear(75, 4)), (3, 5, 5)),
        (nn.Sequential(nn.Linear(784, 9), nn.ReLU(), nn.Linear(9, 4)), (1, 28, 28)),
        (nn.Sequential(nn.Dropout(), nn.Sequential(nn.Linear(48, 4))), (3, 4, 4)),
        (convolutional(3, 20, 0), (3, 20, 20)),
        (convolutional(1, 28, 2), (1, 28, 28)),
        (convolutional(3, 32, 3), (3, 32, 32)),
    ],
    ids=str,
)
def test_what_is_clear(network: nn.Module, shape: tuple[int, int, int]) -> None:
    assert of(network).input == InputSpec(channels=shape[0], height=shape[1], width=shape[2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "changes", "shape"),
    [
        (convolutional(3, 20, 2), {"height": 20}, (3, 20, 20)),
        (adaptive(3), {"height": 50, "width": 40}, (3, 50, 40)),
        (adaptive(1), {"width": 40}, (1, 40, 40)),
        (Picky(), {"channels": 3, "height": 9, "width": 8}, (3, 9, 8)),
        (convolutional(3, 20, 0), {"mean": (0.5,)}, (3, 20, 20)),
    ],
    ids=str,
)
def test_what_is_said_is_taken(
    network: nn.Module, changes: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    assert of(network).input_for({}, **changes).shape == shape


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        (convolutional(3, 20, 2), {}, "mine:net takes pictures of 20 to 23 pixels: give the size"),
        (adaptive(3), {}, "takes pictures of any size: give the one that it was trained on"),
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 4)), {}, "give --channels, --height and --width"),
        (Picky(), {"height": 9, "width": 9}, "does not say how many channels it takes: --channels"),
    ],
    ids=str,
)
def test_what_is_not_clear_is_asked_for(
    network: nn.Module, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArchitectureError, match=message):
        of(network).input_for({}, **changes)


@pytest.mark.slow
def test_a_network_is_not_changed_by_it() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    assert registry.architecture("lenet").takes({}).sides == {1: (28, 29, 30, 31)}
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_row_of_linear_layers_gets_images_flattened() -> None:
    plain = nn.Sequential(nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 4))
    names = list(plain.state_dict())
    images = torch.rand(2, 3, 2, 2)
    expected = plain(images.flatten(1))
    built = of(plain).build(4)
    assert torch.equal(built(images), expected)
    assert torch.equal(built(images.flatten(1)), expected)
    assert list(built.state_dict()) == names


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(4, 2), nn.Flatten(), nn.Linear(24, 4)),
        nn.Sequential(nn.Flatten(), nn.Linear(48, 4)),
        nn.Sequential(nn.Conv2d(3, 2, 4), nn.Flatten(), nn.Linear(2, 4)),
    ],
    ids=str,
)
def test_others_get_them_as_they_are(network: nn.Module) -> None:
    images = torch.rand(2, 3, 4, 4)
    expected = network(images)
    assert torch.equal(of(network).build(4)(images), expected)


class Linears(nn.Module):
    """Linear layers that a tutorial calls with flattened images."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.hidden, self.norm = nn.Linear(values, 6), nn.BatchNorm1d(6)
        self.out = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.hidden(x)).relu())  # type: ignore[no-any-return]


class Viewing(Linears):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(len(x), -1))


class Rows(nn.Module):
    """A linear layer for each row of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.row, self.out = nn.Linear(28, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.row(x[:, 0]).mean(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("network", "is_flattened"),
    [
        (Linears(784), True),
        (nn.Linear(784, 4), True),
        (Viewing(784), False),
        (Rows(), False),
        (convolutional(1, 8, 0), False),
    ],
    ids=["linear", "one layer", "viewing", "rows", "convolution"],
)
def test_linear_layers_of_a_class_get_images_flattened_if_they_need_it(
    network: nn.Module, is_flattened: bool
) -> None:
    frozen = [each.eval() for each in network.modules() if isinstance(each, nn.BatchNorm1d)]
    built = of(network).build(4)
    assert inputs.is_flattened(built) is is_flattened
    assert built.training
    assert not any(each.training for each in frozen)  # as they were
    if is_flattened:
        assert built.eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 4)


class Failing(Linears):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no pixels")


class Ending(Linears):
    def forward(self, x: Tensor) -> Tensor:
        raise SystemExit(3)


class Wordy(Linears):
    def forward(self, x: Tensor) -> Any:
        return {"a": x, "b": x}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Failing(784), r"each time it raises ValueError: no pixels \(.*test_inputs\.py, line"),
        (Ending(784), "each time it raises SystemExit, which ends the program"),
        (
            Wordy(784),
            "for 1×28×28 it returns 'a' .*: return the logits alone, first, or as 'logits'",
        ),
    ],
    ids=["raises", "ends", "dict"],
)
def test_what_a_network_raises_is_told(network: nn.Module, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        _ = of(network).input
