"""Numbers as pictures: places, levels and colours."""

from io import BytesIO
from math import inf, nan

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.errors import TooLargeError
from service.responses import rendering


def opened(png: bytes, mode: str = "RGBA") -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(png)).convert(mode))


def maps(count: int, height: int = 2, width: int = 2) -> rendering.Floats:
    return np.arange(count * height * width, dtype=np.float32).reshape(count, height, width)


def test_tiles_come_in_reading_order_with_transparent_gaps() -> None:
    grid = rendering.grid(maps(3), columns=2, tile=2, normalize="layer")
    drawn = opened(grid.png)
    assert drawn.shape == (5, 5, 4)
    assert (grid.columns, grid.rows, grid.tile) == (2, 2, 2)
    levels = drawn[..., 0]
    assert levels[0, 0] == 0
    assert levels[4, 1] == 255  # the last value, in the third tile
    assert (drawn[2, :, 3] == 0).all()
    assert (drawn[:, 2, 3] == 0).all()
    assert (drawn[3:, 3:, 3] == 0).all()  # there is no fourth


def test_a_channel_by_its_own_range() -> None:
    drawn = opened(rendering.grid(maps(2), columns=2, tile=2).png)[..., 0]
    assert drawn[:, :2].tolist() == drawn[:, 3:].tolist() == [[0, 85], [170, 255]]


def test_a_map_of_one_value_is_dark() -> None:
    drawn = opened(rendering.grid(np.full((1, 2, 2), 7, np.float32), tile=2).png)
    assert (drawn[..., 0] == 0).all()


def test_what_is_not_finite_is_drawn_as_0() -> None:
    values = np.array([[[nan, inf], [-inf, 1]]], np.float32)
    assert opened(rendering.grid(values, tile=2).png)[..., 0].tolist() == [[0, 0], [0, 255]]


def test_weights_have_0_in_the_middle() -> None:
    weights = np.array([[[-2, 0], [1, 2]]], np.float32)
    assert opened(rendering.signed_grid(weights, tile=2).png)[..., 0].tolist() == [
        [0, 128],
        [191, 255],
    ]


def test_proportions_stay() -> None:
    assert opened(rendering.grid(maps(1, 2, 4), tile=8).png).shape[:2] == (4, 8)


@pytest.mark.parametrize(
    ("count", "side", "tile"), [(1, 28, 56), (1, 1, 16), (4, 64, 64), (65536, 3, 4)]
)
def test_the_usual_tile_can_be_seen_and_fits(count: int, side: int, tile: int) -> None:
    assert rendering.grid(np.zeros((count, side, side), np.float32)).tile == tile


def test_a_picture_that_is_too_large() -> None:
    with pytest.raises(TooLargeError, match="ask for a smaller tile"):
        rendering.grid(maps(100), tile=512)


class TestOverlay:
    GROUND = Image.new("RGB", (400, 400), "white")

    def test_red_speaks_for_and_blue_against(self) -> None:
        heat = np.array([[1, -1], [0, 0]], np.float32).repeat(50, 0).repeat(50, 1)
        drawn = opened(rendering.overlay(heat, self.GROUND, (0, 0, 1, 1), 1.0), "RGB")
        assert drawn[50, 50].tolist() == [178, 24, 43]
        assert drawn[50, 350].tolist() == [33, 102, 172]
        assert drawn[350, 50].tolist() == [255, 255, 255]

    def test_it_stays_in_its_box(self) -> None:
        heat = np.ones((2, 2), np.float32)
        drawn = opened(rendering.overlay(heat, self.GROUND, (0.25, 0.5, 0.75, 1), 1.0), "RGB")
        assert (drawn[:200] == 255).all()
        assert (drawn[:, :100] == 255).all()
        assert (drawn[200:, 100:300] == [178, 24, 43]).all()

    def test_no_heat_leaves_the_ground(self) -> None:
        drawn = opened(
            rendering.overlay(np.zeros((2, 2), np.float32), self.GROUND, (0, 0, 1, 1), 1)
        )
        assert (drawn[..., :3] == 255).all()

    def test_a_small_ground_is_enlarged(self) -> None:
        ground = Image.new("L", (28, 28))
        drawn = opened(rendering.overlay(np.zeros((28, 28), np.float32), ground, (0, 0, 1, 1), 1))
        assert drawn.shape[:2] == (392, 392)
