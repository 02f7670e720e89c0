"""How much is kept of an image in its own size: enough for the network's window, and bounded."""

import pytest

from models.preprocessing import InputSpec
from service.images.decoder_process import MAX_ORIGINAL, longer_side
from service.inspection import MAX_ORIGINALS

LONGEST = 512


@pytest.mark.parametrize(
    ("side", "size", "kept"),
    [
        (32, (1600, 32), 1600),  # in which the window has just room
        (32, (32, 1600), 1600),
        (32, (3200, 64), 1600),
        (32, (1024, 1024), LONGEST),
        (32, (10_000, 1), 0),  # enlarged later: nothing is made smaller
        (224, (4000, 3000), LONGEST),
    ],
)
def test_the_window_has_room(side: int, size: tuple[int, int], kept: int) -> None:
    spec = InputSpec(channels=3, height=side, width=side, mean=(0.5,) * 3, std=(0.25,) * 3)
    found = longer_side(size, spec, LONGEST)
    if not kept:
        assert found >= max(size)
    else:
        assert round(found) == kept


@pytest.mark.parametrize("size", [(60_000, 140), (140, 60_000), (300_000, 300), (18_700, 224)])
@pytest.mark.parametrize("side", [32, 224, 512])
def test_a_long_image_takes_no_more_than_is_bounded(side: int, size: tuple[int, int]) -> None:
    spec = InputSpec(channels=3, height=side, width=side, mean=(0.5,) * 3, std=(0.25,) * 3)
    scale = min(1.0, longer_side(size, spec, LONGEST) / max(size))
    assert size[0] * size[1] * scale**2 <= 1.01 * MAX_ORIGINAL
    assert 16 * MAX_ORIGINAL <= MAX_ORIGINALS  # a request of so many images waits for no other
