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
    turned = [augmentation.turn(on_device, 20, 0.2, seeded(seed)) for seed in (1, 1, 2)]
    erased = [augmentation.erase(on_device, 0.5, seeded(seed)) for seed in (1, 1, 2)]
    for first, again, other in (flips, crops, turned, erased):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
    assert torch.equal(flips[0].cpu(), augmentation.flip(batch, seeded(1)))
    assert torch.equal(crops[0].cpu(), augmentation.crop(batch, 2, seeded(1)))


def test_shape_type_and_batch_stay(batch: Tensor) -> None:
    before = batch.clone()
    for views in (
        augmentation.flip(batch, seeded(0)),
        augmentation.crop(batch, 2, seeded(0)),
        augmentation.turn(batch, 20, 0.2, seeded(0)),
        augmentation.erase(batch, 0.5, seeded(0)),
    ):
        assert (views.shape, views.dtype) == (batch.shape, batch.dtype)
    assert torch.equal(batch, before)


def test_neither_turned_nor_scaled_it_stays_as_it_is(batch: Tensor) -> None:
    assert torch.allclose(augmentation.turn(batch, 0, 0, seeded(0)), batch, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(33, 33), (33, 65), (65, 33)])
def test_turned_by_the_angle_at_most_and_not_sheared(height: int, width: int) -> None:
    dot = torch.zeros(400, 1, height, width)
    middle, beside = height // 2, width // 2 + 12
    dot[:, :, middle, beside] = 1  # twelve pixels to the right of the centre
    turned = augmentation.turn(dot, 30, 0.0, seeded(0)).clamp(min=0)
    weight = turned.sum((1, 2, 3))
    y = (turned.sum((1, 3)) * (torch.arange(height) - height // 2)).sum(1) / weight
    x = (turned.sum((1, 2)) * (torch.arange(width) - width // 2)).sum(1) / weight
    assert torch.allclose(torch.hypot(x, y), torch.tensor(12.0), atol=0.3)
    angles = torch.atan2(y, x).rad2deg()
    assert 28 < angles.max() < 31.5
    assert -31.5 < angles.min() < -28


def test_scaled_by_the_factor_at_most() -> None:
    squares = torch.zeros(400, 1, 64, 64)
    squares[:, :, 22:42, 22:42] = 1
    sides = augmentation.turn(squares, 0, 0.25, seeded(0)).sum((1, 2, 3)).sqrt()
    assert 14.5 < sides.min() < 15.5
    assert 24.5 < sides.max() < 25.5


def test_what_comes_from_outside_repeats_the_border() -> None:
    bright = torch.ones(16, 1, 8, 8)
    assert torch.allclose(augmentation.turn(bright, 45, 0.5, seeded(0)), bright)


def test_as_many_are_erased_as_the_probability_says() -> None:
    flat = torch.full((1000, 2, 20, 30), 7.0)
    changed = augmentation.erase(flat, 0.25, seeded(0)) != flat
    hit = changed.flatten(1).any(1)
    assert 200 < hit.sum() < 300
    assert torch.equal(changed[:, 0], changed[:, 1])  # the same place in each channel
    areas = changed[hit, 0].float().mean((1, 2))
    assert 0.01 < areas.min() < 0.05
    assert 0.3 < areas.max() <= 0.42


def test_a_rectangle_is_erased_and_filled_with_noise() -> None:
    flat = torch.full((50, 1, 16, 16), 7.0)
    for picture in augmentation.erase(flat, 0.999, seeded(0)):
        where = (picture[0] != 7).nonzero()
        if not len(where):
            continue
        (top, left), (bottom, right) = where.min(0).values, where.max(0).values
        patch = picture[0, top : bottom + 1, left : right + 1]
        assert (patch != 7).all()
    noise = augmentation.erase(flat, 0.999, seeded(0))
    noise = noise[noise != 7]
    assert abs(noise.mean()) < 0.1
    assert noise.std() == pytest.approx(1, abs=0.1)


def test_nothing_is_erased_without_a_probability(batch: Tensor) -> None:
    assert torch.equal(augmentation.erase(batch, 0.0, seeded(0)), batch)


class TestGround:
    """Half of the pictures are a dark square on an even ground, the others noise."""

    @pytest.fixture
    def pictures(self) -> Tensor:
        pictures = torch.randint(256, (400, 3, 12, 10), dtype=torch.uint8, generator=seeded(1))
        levels = torch.randint(90, 200, (200, 3, 1, 1), dtype=torch.uint8, generator=seeded(2))
        pictures[:200] = levels + torch.randint(
            20, (200, 3, 12, 10), dtype=torch.uint8, generator=seeded(3)
        )
        pictures[:200, :, 4:8, 3:7] = 10
        return pictures

    def test_the_ground_gets_one_colour_and_the_subject_stays(self, pictures: Tensor) -> None:
        found = augmentation.ground(pictures, 0.999999, seeded(0))
        assert torch.equal(found[200:], pictures[200:])
        assert (found[:200, :, 4:8, 3:7] == 10).all()
        around = torch.ones(12, 10, dtype=torch.bool)
        around[4:8, 3:7] = False
        colours = found[:200, :, around]  # (200, 3, places)
        assert (colours == colours[:, :, :1]).all()
        colours = colours[:, :, 0]
        grey = (colours == colours[:, :1]).all(1)
        white = grey & (colours[:, 0] >= 240)
        assert 80 <= white.sum() <= 130  # half, and a few of the grey ones
        assert 30 <= (grey & ~white).sum() <= 70
        assert 30 <= (~grey).sum() <= 70

    @pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.3, 40, 80)])
    def test_it_happens_with_the_probability(
        self, pictures: Tensor, probability: float, low: int, high: int
    ) -> None:
        found = augmentation.ground(pictures, probability, seeded(0))
        assert low <= (found != pictures).flatten(1).any(1).sum() <= high

    def test_grey_pictures(self, pictures: Tensor) -> None:
        found = augmentation.ground(pictures[:, :1], 0.5, seeded(0))
        assert found.shape == (400, 1, 12, 10)
        assert found.dtype == torch.uint8


class TestCompress:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_the_picture_stays_nearly_the_same(self, channels: int) -> None:
        slope = torch.linspace(0, 255, 16).to(torch.uint8).expand(50, channels, 20, 16).clone()
        found = augmentation.compress(slope, 0.5, seeded(0))
        changed = (found != slope).flatten(1).any(1)
        assert 15 <= changed.sum() <= 35
        assert (found.short() - slope.short()).abs().float().mean() < 12
        assert found.dtype == torch.uint8

    def test_the_same_seed_gives_the_same_and_the_batch_is_left_alone(self) -> None:
        noise = torch.randint(256, (20, 3, 8, 8), dtype=torch.uint8, generator=seeded(1))
        before = noise.clone()
        one, other = (augmentation.compress(noise, 0.5, seeded(2)) for _ in range(2))
        assert torch.equal(one, other)
        assert torch.equal(noise, before)
