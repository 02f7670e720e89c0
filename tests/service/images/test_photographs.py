"""Photographs of telephones under the default limits of size: the pixels that training gets."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import TooManyPixelsError
from models.images.decoding import decode, read
from models.images.formats import sniff
from models.preprocessing import InputSpec
from service.errors import TooLargeError
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.settings import Settings
from tests.networks import SPEC, encode, picture

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SIZE = (8064, 6048)
SPECS = [SPEC, *(InputSpec(channels=c, height=side, width=side) for c, side in ((3, 224), (1, 28)))]


@pytest.fixture
async def decoder() -> AsyncIterator[Decoder]:
    """With time enough for a slow machine."""
    decoder = Decoder(Settings(max_decode_time=10), processes=1)
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    """48 megapixels with the detail of a camera: about 5 MB as a JPEG."""
    smooth = picture(0, (126, 94)).resize(SIZE, Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 3, (1512, 2016, 1))
    levels = np.asarray(smooth) + np.tile(noise, (4, 4, 1))
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def sent(encoded: bytes) -> list[EncodedImage]:
    return [EncodedImage(encoded, "image/jpeg", "a.jpg")]


@pytest.mark.thorough
async def test_48_megapixels_are_answered(photograph: Image.Image, decoder: Decoder) -> None:
    encoded = encode(photograph, "JPEG", quality=85)
    assert 4_000_000 < len(encoded) < 15_000_000
    for spec in SPECS:
        [pixels] = await decoder.pixels(sent(encoded), spec)
        assert np.array_equal(pixels, read(encoded, spec))
        [shown] = await decoder.decode_with_original(sent(encoded), spec)
        assert np.array_equal(shown.pixels, pixels)
        assert shown.original.size == (512, 384)
        assert shown.box == pytest.approx((0.125, 0, 0.875, 1))


async def test_a_progressive_one_is_told_what_to_do(
    photograph: Image.Image, decoder: Decoder
) -> None:
    """libjpeg keeps all of it, whatever comes out."""
    encoded = encode(photograph, "JPEG", quality=85, progressive=True)
    with pytest.raises(TooLargeError) as error:
        await decoder.pixels(sent(encoded), SPEC)
    assert "8064 × 6048 pixels in a JPEG that is not baseline" in error.value.detail
    assert "the limit of these is 25,000,000" in error.value.detail
    assert "save it as a baseline JPEG" in error.value.detail
    assert read(encoded, SPEC).shape == SPEC.shape  # training has time and memory


@pytest.mark.parametrize(
    ("size", "input_side", "answered"),
    [
        ((8064, 6048), 1500, True),
        ((8064, 6048), 1600, False),  # which needs more than half of it
        ((12_000, 9000), 224, True),
        ((16_320, 12_240), 224, False),  # more than Pillow opens
        ((60_000, 800), 224, False),  # its short side can't be made smaller
    ],
)
def test_what_comes_out_is_what_is_limited(
    size: tuple[int, int], input_side: int, answered: bool
) -> None:
    encoded = encode(Image.new("L", size), "JPEG")
    spec = InputSpec(channels=3, height=input_side, width=input_side)
    if answered:
        assert read(encoded, spec, max_pixels=25_000_000).shape == spec.shape
    else:
        with pytest.raises(TooManyPixelsError):
            read(encoded, spec, max_pixels=25_000_000)
    with pytest.raises(TooManyPixelsError):
        decode(encoded, max_pixels=25_000_000)


@pytest.mark.parametrize(
    "format",
    ["PNG", *(pytest.param(each, marks=pytest.mark.thorough) for each in ("AVIF", "HEIF", "TIFF"))],
)
async def test_12_megapixels_of_other_formats(format: str, decoder: Decoder) -> None:
    image = picture(0, (126, 94)).resize((4032, 3024), Image.Resampling.BICUBIC)
    options: dict[str, dict[str, Any]] = {
        "TIFF": {"compression": "tiff_lzw"},
        "AVIF": {"speed": 10},
        "HEIF": {"quality": 30},
        "PNG": {"compress_level": 1},
    }
    encoded = encode(image, format, **options[format])
    found = sniff(encoded)
    assert found is not None
    assert found.pillow == format
    [pixels] = await decoder.pixels([EncodedImage(encoded, "image/jpeg", "")], SPEC)
    assert np.array_equal(pixels, read(encoded, SPEC))
