"""Netpbm: headers with comments, pixels as text and as they are."""

import numpy as np
import pytest

from models.errors import ImageError
from models.images.containers import ppm
from models.images.decoding import decode
from tests.networks import encode, picture

COLOURS = picture(0, (40, 24))
TEXT = b"P2\n# made by hand\n3 2 # the size\n255\n0 50 100\n150 200 255\n"


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_pixels_are_the_same(mode: str) -> None:
    image = COLOURS.convert(mode)
    found = decode(encode(image, "PPM"))
    assert np.array_equal(np.asarray(found), np.asarray(image.convert(found.mode)))


def test_text_with_comments() -> None:
    assert np.asarray(decode(TEXT)).tolist() == [[0, 50, 100], [150, 200, 255]]
    assert b"#" not in ppm.essence(TEXT).encoded
    assert np.asarray(decode(b"P1 3 1 010")).tolist() == [[255, 0, 255]]
    assert decode(b"P3\n1 1\n15\n15 0 0 ").getpixel((0, 0)) == (255, 0, 0)


def test_sixteen_bits_are_divided() -> None:
    deep = b"P5 2 1 65535\n" + bytes([0xFF, 0xFF, 0x80, 0x00])
    assert np.asarray(decode(deep)).tolist() == [[255, 128]]


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (b"P6\n", "without its header"),
        (b"P6\n3 x", "without its header"),
        (b"P6\n" + b"#" * 9000 + b"\n3 3 255\n", "without its header"),
        (b"P6 3 3 ", "without its highest value"),
        (b"P6 5000 5000 255\n", "need 75,000,000 bytes, and there are 1"),
        (b"P5 2 2 65535\n" + bytes(6), "need 8 bytes"),
        (b"P4 9 2\n" + bytes(2), "need 4 bytes"),
        (b"P3 9 9 255\n1 2 3", "need 486 bytes"),
        (b"PF\n2 2\n-1.0\n" + bytes(48), "floating-point pixels"),
        (b"P5 2 2 0\n" + bytes(8), "corrupt or truncated"),
    ],
)
def test_what_is_false_is_refused(encoded: bytes, text: str) -> None:
    with pytest.raises(ImageError, match=text):
        decode(encoded)


def test_text_is_more_work() -> None:
    plain, text = ppm.claim(encode(COLOURS, "PPM")), ppm.claim(TEXT)
    assert plain is not None
    assert text is not None
    assert plain.work == plain.pixels
    assert text.work == 50 * text.pixels
