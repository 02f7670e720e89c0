"""The size of an upright image is known before it is decoded."""

import time

import pytest
from PIL import Image

from models.images import heif
from models.images.decoding import decode, size, upright_size
from tests.networks import encode, picture, png

WIDE = picture(0, (48, 32))


def turned(orientation: int, format: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(WIDE, format, exif=exif.tobytes())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_it_is_that_of_the_decoded_image(format: str, orientation: int) -> None:
    encoded = turned(orientation, format)
    expected = (48, 32) if orientation < 5 else (32, 48)
    assert upright_size(encoded) == decode(encoded).size == expected
    if format != "AVIF":
        assert size(encoded) == (48, 32)


@pytest.mark.parametrize("format", ["GIF", "BMP", "PPM"])
def test_of_formats_that_are_never_turned_it_is_the_size(format: str) -> None:
    assert upright_size(encode(WIDE, format)) == (48, 32)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic(orientation: int) -> None:
    pytest.importorskip("pillow_heif")
    heif.register_heic()
    encoded = turned(orientation, "HEIF")
    assert upright_size(encoded) == decode(encoded).size


@pytest.mark.parametrize("broken", [b"", b"no image", encode(WIDE, "JPEG")[:20]])
def test_of_what_is_no_image_there_is_none(broken: bytes) -> None:
    assert upright_size(broken) is None


def test_the_orientation_of_a_large_photograph_is_in_its_head() -> None:
    noise = Image.effect_noise((1200, 800), 100).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = encode(noise, "JPEG", quality=95, exif=exif.tobytes())
    assert len(encoded) > 2**18
    assert upright_size(encoded) == decode(encoded).size == (800, 1200)


def test_a_file_of_many_small_parts_takes_no_time() -> None:
    head, end = turned(6, "PNG")[:33], turned(6, "PNG")[33:]
    encoded = head + 300_000 * png((b"teSt", b""))[8:] + end
    started = time.process_time()
    assert upright_size(encoded) == (48, 32)
    assert time.process_time() - started < 0.1
