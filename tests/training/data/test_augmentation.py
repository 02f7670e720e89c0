"""Random views of a batch: each picture for itself, by a generator that is passed in."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data import augmentation

DEVICES = [torch.device("cpu"), pytest.param(torch.device("cuda"), marks=pytest.mark.gpu)]


@pytest.fixture
def batch() -> Tensor:
    return torch.rand(64, 3, 6, 5, generator=torch.Generator().manual_seed(0))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_flip_gives_a_picture_or_its_mirror(batch: Tensor) -> None:
    flipped = augmentation.flip(batch, seeded(0))
    kept = (flipped == batch).flatten(1).all(1)
    mirrored = (flipped == batch.flip(3)).flatten(1).all(1)
    assert (kept ^ mirrored).all()
    assert 16 < kept.sum() < 48


def test_crop_gives_windows_of_the_reflected_padding(batch: Tensor) -> None:
    cropped = augmentation.crop(batch, 2, seeded(0))
    padded = F.pad(batch, (2, 2, 2, 2), mode="reflect")
    places = set()
    for picture, frame in zip(cropped, padded, strict=True):
        windows = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(picture, frame[:, y : y + 6, x : x + 5])
        ]
        assert len(windows) == 1
        places.add(windows[0])
    assert {y for y, _ in places} == {x for _, x in places} == {0, 1, 2, 3, 4}
    assert len(places) > 12


def test_crop_without_padding_changes_nothing(batch: Tensor) -> None:
    assert torch.equal(augmentation.crop(batch, 0, seeded(0)), batch)


@pytest.mark.parametrize("padding", [5, 6, 40])
def test_crop_cannot_reflect_more_than_there_is(batch: Tensor, padding: int) -> None:
    with pytest.raises(ValueError, match=f"6 × 5 pixels can't be padded by {padding}"):
        augmentation.crop(batch, padding, seeded(0))


@pytest.mark.parametrize("device", DEVICES)
def test_the_same_seed_gives_the_same_views(batch: Tensor, device: torch.device) -> None:
    on_device = batch.to(device)
    flips = [augmentation.flip(on_device, seeded(seed)) for seed in (1, 1, 2)]
    crops = [augmentation.crop(on_device, 2, seeded(seed)) for seed in (1, 1, 2)]
    for first, again, other in (flips, crops):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
    assert torch.equal(flips[0].cpu(), augmentation.flip(batch, seeded(1)))
    assert torch.equal(crops[0].cpu(), augmentation.crop(batch, 2, seeded(1)))


def test_shape_type_and_batch_stay(batch: Tensor) -> None:
    before = batch.clone()
    for views in (augmentation.flip(batch, seeded(0)), augmentation.crop(batch, 2, seeded(0))):
        assert (views.shape, views.dtype) == (batch.shape, batch.dtype)
    assert torch.equal(batch, before)
