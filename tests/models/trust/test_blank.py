"""Images of one colour are told from all others."""

import numpy as np
import pytest

from models.trust.blank import LEVELS, is_blank


@pytest.mark.parametrize("channels", [1, 3])
def test_one_colour_is_blank(channels: int) -> None:
    colours = np.array([0, 127, 255, 40], np.uint8)[:, None, None, None]
    assert is_blank(np.broadcast_to(colours, (4, channels, 9, 7))).all()


def test_channels_may_differ_from_each_other() -> None:
    green = np.zeros((1, 3, 5, 5), np.uint8)
    green[:, 1] = 200
    assert is_blank(green).tolist() == [True]


def test_as_much_as_noise_may_be_there_and_no_more() -> None:
    images = np.full((2, 3, 8, 8), 100, np.uint8)
    images[0, 2, 3, 3] += LEVELS
    images[1, 2, 3, 3] += LEVELS + 1
    assert is_blank(images).tolist() == [True, False]


def test_the_darkest_and_the_brightest_levels_do_not_wrap_around() -> None:
    images = np.zeros((1, 1, 4, 4), np.uint8)
    images[0, 0, 0, 0] = 255
    assert is_blank(images).tolist() == [False]
