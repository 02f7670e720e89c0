"""What training images look like is told, and images of another kind are told in sentences."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.trust import expectation
from models.trust.expectation import Expectation


def discs(ground: int, ink: int, radius: float, channels: int = 1) -> NDArray[np.uint8]:
    """50 images (50, C, 28, 28) of a disc in the middle, slightly different from each other."""
    y, x = np.mgrid[:28, :28] - 13.5
    distance = np.hypot(x, y)
    images = [
        np.where(distance < radius + number / 25, ink, ground).astype(np.uint8)
        for number in range(50)
    ]
    return np.repeat(np.array(images)[:, None], channels, 1)


LIGHT_ON_DARK = expectation.of(discs(0, 255, 7))


def test_what_was_looked_at_is_as_expected() -> None:
    for channels in (1, 3):
        images = discs(0, 255, 7, channels)
        expected = expectation.of(images)
        assert not any(expected.unmet(image) for image in images)


def test_the_ranges_are_told_in_words() -> None:
    words = LIGHT_ON_DARK.words()
    assert words == (
        "the ground is dark of level 0 of 255, and the subject covers 19.9 to 32.6 % of the image"
    )
    assert "light of level 255" in expectation.of(discs(255, 0, 7)).words()
    grey = Expectation(ground=(20, 200), subject=(0.1, 0.2))
    assert "the ground is of level 20 to 200" in grey.words()


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (discs(255, 0, 7)[0], "the ground has level 255 of 255, and 0 in the training images"),
        (discs(0, 255, 3)[0], "crop the image to the subject"),
        (discs(0, 255, 13)[0], "show the subject alone"),
        (discs(0, 30, 7)[0], "the subject covers 0 % of the image, and 19.9 to 32.6 % in"),
    ],
)
def test_images_of_another_kind(image: NDArray[np.uint8], sentence: str) -> None:
    assert any(sentence in told for told in LIGHT_ON_DARK.unmet(image))
    of_any_ground = LIGHT_ON_DARK.unmet(image, any_ground=True)
    assert any(sentence in told for told in of_any_ground) == ("ground has" not in sentence)


def test_what_is_a_little_outside_is_not_spoken_of() -> None:
    assert LIGHT_ON_DARK.unmet(discs(20, 255, 6)[0]) == []


def test_photographs_of_any_ground_have_few_demands() -> None:
    noise = np.random.default_rng(0)
    images = noise.integers(0, 256, (200, 3, 4, 4), np.uint8).repeat(8, 2).repeat(8, 3)
    expected = expectation.of(images)
    assert expected.unmet(255 - images[0]) == []


def test_one_image_is_enough() -> None:
    one = discs(0, 255, 7)[:1]
    assert expectation.of(one).ground == (0, 0)


@pytest.mark.parametrize(("most", "grounds"), [(10, (0, 255)), (5, (0, 0)), (0, (0, 0))])
def test_of_many_or_large_images_a_part_is_asked(
    most: int, grounds: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = discs(0, 255, 7)[:10]
    images[1::2] = 255
    monkeypatch.setattr(expectation, "MOST_PIXELS", most * images[0, 0].size)
    assert expectation.of(images).ground == grounds
