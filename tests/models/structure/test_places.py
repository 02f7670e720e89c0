"""Whichever axis the images of a batch lie on, each gets its own values."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models import features
from models.structure import places, reading
from models.structure.places import Call, Place

SHAPE = (3, 8, 8)


class Sequence(nn.Module):
    """Sixteen patches of 2×2 pixels as a sequence, which torch's attention takes before images."""

    def __init__(self, body: nn.Module, channels: int = 12) -> None:
        super().__init__()
        self.norm, self.body, self.head = nn.LayerNorm(12), body, nn.Linear(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        patches = x.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).flatten(1, 2)
        given = self.body(self.norm(patches.flatten(2)).transpose(0, 1))
        found: Tensor = given[0] if isinstance(given, tuple) else given
        logits: Tensor = self.head(found.mean(0))
        return logits


class Windows(nn.Module):
    """Four windows of each image, whose rows lie one after the other, or interleaved."""

    def __init__(self, interleaved: bool) -> None:
        super().__init__()
        self.interleaved = interleaved
        self.conv, self.head = nn.Conv2d(3, 5, 3), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        windows = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(1, 2)
        rows = windows.transpose(0, 1) if self.interleaved else windows
        found = self.conv(rows.flatten(0, 1)).mean((2, 3))
        parts, axis = ((4, -1), 0) if self.interleaved else ((-1, 4), 1)
        logits: Tensor = self.head(found.unflatten(0, parts).mean(axis))
        return logits


class Mixing(nn.Module):
    """Modules whose outputs no image has a share of, beside one that is as usual."""

    def __init__(self) -> None:
        super().__init__()
        self.constant, self.mean, self.flat = nn.Embedding(4, 6), nn.Identity(), nn.Sigmoid()
        self.conv, self.head = nn.Conv2d(3, 6, 8), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        vectors = self.conv(x).flatten(1)
        position = self.constant(torch.arange(4, device=x.device)).mean(0)
        self.flat(vectors.T.reshape(3, -1))  # two channels of an image, and of the next
        logits: Tensor = self.head(vectors + position)
        return logits


def encoder() -> nn.Module:
    return nn.TransformerEncoder(
        nn.TransformerEncoderLayer(12, 2, 24), 1, enable_nested_tensor=False
    )


def together_and_alone(network: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    """What `capture` gives for a batch of three images, and for each of them."""
    network.eval()
    images = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    structure = reading.read(network, torch.zeros(1, *SHAPE))
    taken = features.capture(network, [name], structure.layers, structure.blocks)
    with torch.inference_mode(), taken as seen:
        network(images)
        together = seen[name]
        alone = []
        for image in images:
            network(image[None])
            alone.append(seen[name])
    return together, torch.cat(alone)


@pytest.mark.parametrize(
    ("build", "name", "shape", "axes"),
    [
        (lambda: Sequence(encoder()), "body.layers.0.linear1", (16, 24), ("token", "channel")),
        (lambda: Sequence(encoder()), "body.layers.0.self_attn", (16, 12), ("token", "channel")),
        (lambda: Sequence(encoder()), "norm", (16, 12), ("token", "channel")),
        (lambda: Sequence(encoder()), "body.layers.0", (16, 12), ("token", "channel")),
        (lambda: Sequence(nn.LSTM(12, 7), 7), "body", (16, 7), ("token", "channel")),
        (lambda: Windows(False), "conv", (4, 5, 2, 2), ("part", "channel", "row", "column")),
        (lambda: Windows(True), "conv", (4, 5, 2, 2), ("part", "channel", "row", "column")),
        (lambda: Windows(True), "head", (2,), ("value",)),
    ],
)
def test_each_image_has_its_own_values(
    build: Callable[[], nn.Module], name: str, shape: tuple[int, ...], axes: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    network = build().eval()
    structure = reading.read(network, torch.zeros(1, *SHAPE))
    [layer] = [x for x in (*structure.layers, *structure.blocks) if x.name == name]
    assert (layer.output_shape, layer.axes, layer.maps) == (shape, axes, None)
    together, alone = together_and_alone(network, name)
    assert together.shape == (3, *shape)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("build", [lambda: Windows(False), lambda: Windows(True), encoder])
def test_the_embedding_too(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    body = build()
    network = body if isinstance(body, Windows) else Sequence(body)
    together, alone = together_and_alone(network, features.PENULTIMATE)
    assert len(together) == 3
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_what_no_image_has_a_share_of_is_left_out_and_told() -> None:
    structure = reading.read(Mixing().eval(), torch.zeros(1, *SHAPE))
    assert [layer.name for layer in structure.layers] == ["conv", "head"]
    assert structure.mixed == ("constant", "flat")


def test_an_image_alone_is_enough_where_a_network_takes_no_more() -> None:
    class Alone(nn.Flatten):
        def forward(self, x: Tensor) -> Tensor:
            assert len(x) == 1
            return x.flatten(1)

    network = nn.Sequential(Alone(), nn.Linear(192, 2)).eval()
    assert places.find(network, torch.zeros(1, *SHAPE)) is None
    assert [x.output_shape for x in reading.read(network, torch.zeros(1, *SHAPE)).layers] == [
        (192,),
        (2,),
    ]


def test_each_call_has_its_place() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            turned: Tensor = self.act(self.act(x).transpose(0, 1))
            return turned.transpose(0, 1).mean((2, 3))

    calls = places.find(Twice(), torch.zeros(1, *SHAPE))
    assert calls is not None
    usual, turned = Place(), Place(1)
    assert calls["act"] == [Call(usual, usual), Call(turned, turned)]
