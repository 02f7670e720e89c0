"""torchvision's networks get images as their weights were evaluated, without any download."""

import socket
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.architectures import registry
from models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, decode
from models.torchvision_import import torchvision

DATA = Path(__file__).parents[2] / "data"
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("something was downloaded")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def photographs(data_root: Path) -> list[Image.Image]:
    files = sorted((data_root / "ants-bees" / "val").glob("*/*.jpg"))[::12]
    return [decode(file.read_bytes()).convert("RGB") for file in files]


def samples() -> list[Image.Image]:
    """Small ones, and larger ones of several proportions."""
    files = sorted((DATA / "birds-vs-planes").glob("*.png"))[::2]
    small = [decode(file.read_bytes()).convert("RGB") for file in files]
    return [*small, *(each.resize((300 + 31 * n, 431 - 17 * n)) for n, each in enumerate(small))]


def levels(name: str, images: list[Image.Image]) -> tuple[list[Tensor], list[Tensor]]:
    """What torchvision's own transforms give, and what ours do, both in levels of 0 to 255."""
    known = registry.architecture(f"torchvision/{name}")
    theirs = torchvision("models").get_model_weights(name).DEFAULT.transforms()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (known.input.mean, known.input.std))
    their_mean, their_std = (torch.tensor(v).view(3, 1, 1) for v in (theirs.mean, theirs.std))
    ours = [known.input.normalize(known.input.pixels(each)[None])[0] for each in images]
    return (
        [(theirs(each) * their_std + their_mean) * 255 for each in images],
        [(each * std + mean) * 255 for each in ours],
    )


def check(name: str, images: list[Image.Image]) -> None:
    """Equal within rounding; bicubic peaks are cut off before or after the second pass."""
    is_cubic = registry.architecture(f"torchvision/{name}").input.interpolation == "bicubic"
    for expected, found in zip(*levels(name, images), strict=True):
        assert expected.shape == found.shape
        difference = (expected - found).abs()
        assert difference.mean() < 0.35
        assert difference.max() < (24 if is_cubic else 2.5)
        assert (difference > 2.5).float().mean() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b0", "swin_t"])
def test_images_are_prepared_as_torchvision_does(name: str) -> None:
    check(name, samples())


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet50", "efficientnet_b0", "efficientnet_b4", "inception_v3", "maxvit_t"],
)
def test_so_are_photographs(name: str, data_root: Path) -> None:
    check(name, photographs(data_root))


@pytest.mark.parametrize(
    ("name", "side", "resized", "interpolation"),
    [
        ("resnet18", 224, 256, None),
        ("resnet50", 224, 232, None),
        ("efficientnet_b4", 380, 384, "bicubic"),
        ("inception_v3", 299, 342, None),
        ("maxvit_t", 224, 224, "bicubic"),
    ],
)
def test_the_input_is_that_of_the_weights(
    name: str, side: int, resized: int, interpolation: str | None
) -> None:
    spec = registry.architecture(f"torchvision/{name}").input
    assert spec.shape == (3, side, side)
    assert (spec.resize, spec.resize_size, spec.interpolation) == ("crop", resized, interpolation)


def test_every_classifier_has_an_input() -> None:
    models = torchvision("models")
    for name in models.list_models(module=models):
        assert registry.architecture(f"torchvision/{name}").input.channels == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_transform_input_is_in_mean_and_std(name: str) -> None:
    """With `transform_input` and ImageNet's statistics it is the network without, and 0.5."""
    known = registry.architecture(f"torchvision/{name}")
    assert (known.input.mean, known.input.std) == (HALF, HALF)
    inside = known.input_for({"transform_input": True})
    assert (inside.mean, inside.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert known.input_for({"transform_input": True}, mean=HALF, std=HALF) == known.input
    noise = np.random.default_rng(0).integers(0, 256, (1, *known.input.shape), np.uint8)
    pixels = torch.from_numpy(noise)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transforming = known.build(2, transform_input=True, init_weights=False).eval()
    plain = known.build(2, init_weights=False).eval()
    plain.load_state_dict(transforming.state_dict())
    with torch.inference_mode():
        expected = transforming(inside.normalize(pixels))
        torch.testing.assert_close(plain(known.input.normalize(pixels)), expected)


def test_another_size_undoes_the_resizing() -> None:
    known = registry.architecture("torchvision/resnet18")
    assert known.input_for({}, height=64, width=64).resize_size is None
    assert known.input_for({}, height=224, width=224).resize_size == 256
    assert known.input_for({}, height=64, width=64, resize_size=72).resize_size == 72
    with pytest.raises(registry.ArchitectureError, match="resize_size 100 is below the size of"):
        known.input_for({}, resize_size=100)
