"""Small plain PNGs: the pixels that Pillow finds, or left to Pillow."""

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.images.png import MAX_PIXELS
from models.preprocessing import TooManyPixelsError, decode, read, read_small
from tests.models.pictures import spec
from tests.networks import encode, picture, png, png_of_size


def chunks(encoded: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of each chunk of a PNG."""
    position, found = 8, []
    while position < len(encoded):
        length = int.from_bytes(encoded[position : position + 4], "big")
        start = position + 8
        found.append((encoded[position + 4 : start], encoded[start : start + length]))
        position = start + length + 4
    return found


def test_without_pyspng_they_are_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = encode(picture(1))
    expected = read(encoded, spec(3))
    assert read_small(encoded, spec(3)) is not None
    monkeypatch.setattr("models.images.png.pyspng", None)
    assert read_small(encoded, spec(3)) is None
    assert (read(encoded, spec(3)) == expected).all()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (12, 10), (5, 31), (128, 128)])
def test_small_plain_pngs(mode: str, channels: int, size: tuple[int, int]) -> None:
    encoded = encode(picture(1, size).convert(mode))
    quick = read_small(encoded, spec(channels))
    assert quick is not None
    assert quick.shape == (channels, 8, 8)
    assert (quick == spec(channels).array(decode(encoded))).all()
    assert (quick == read(encoded, spec(channels))).all()


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (picture(0, (129, 128)), {}),
        (picture(0).convert("RGBA"), {}),
        (picture(0).convert("P"), {}),
        (picture(0).convert("L"), {"transparency": 3}),
        (picture(0), {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08"}),
        (Image.fromarray(np.zeros((8, 8), np.uint16)), {}),
    ],
    ids=["large", "alpha", "palette", "transparency", "exif", "sixteen bits"],
)
def test_others_are_left_to_pillow(image: Image.Image, options: dict[str, Any]) -> None:
    encoded = encode(image, **options)
    assert read_small(encoded, spec()) is None
    assert (read(encoded, spec()) == spec().array(decode(encoded))).all()


def test_the_limit_of_pixels_holds() -> None:
    encoded = encode(picture(0, (8, 8)))
    assert read_small(encoded, spec(), max_pixels=64) is not None
    assert read_small(encoded, spec(), max_pixels=63) is None
    with pytest.raises(TooManyPixelsError):
        read(encoded, spec(), max_pixels=63)
    assert read_small(png_of_size(MAX_PIXELS + 1, 1), spec()) is None


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_damaged_is_left_to_pillow(data: st.DataObject) -> None:
    """What passes has the pixels that Pillow finds; nothing passes that Pillow refuses."""
    encoded = bytearray(encode(picture(data.draw(st.integers(0, 9)), (9, 7))))
    how = data.draw(st.sampled_from(["bytes", "cut", "stream", "chunks"]))
    if how == "bytes":
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(encoded) - 1))
            encoded[place] = data.draw(st.integers(0, 255))
    elif how == "cut":
        del encoded[data.draw(st.integers(0, len(encoded) - 1)) :]
    else:
        header, *others, end = chunks(bytes(encoded))
        stream = bytearray(zlib.decompress(b"".join(content for _, content in others)))
        if how == "stream":
            stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
            stream = stream[: data.draw(st.integers(1, len(stream)))]
        packed = zlib.compress(bytes(stream))
        cut = data.draw(st.integers(0, len(packed)))
        parts = [(b"IDAT", packed[:cut]), (b"IDAT", packed[cut:])]
        if data.draw(st.booleans()):
            kind = data.draw(st.sampled_from([b"tRNS", b"eXIf", b"gAMA", b"abCd", b"IHDR"]))
            parts.insert(data.draw(st.integers(0, 2)), (kind, data.draw(st.binary(max_size=13))))
        encoded = bytearray(png(header, *parts, end))
    quick = read_small(bytes(encoded), spec(3, 7, 9))
    if quick is not None:
        assert (quick == spec(3, 7, 9).array(decode(bytes(encoded), formats=("PNG",)))).all()


def test_many_empty_chunks() -> None:
    header, *others, end = chunks(encode(picture(0)))
    encoded = png(header, *[(b"IDAT", b"")] * 1000, *others, end)
    quick = read_small(encoded, spec())
    assert quick is None or (quick == spec().array(decode(encoded))).all()
    assert read_small(png(header, *[(b"IDAT", b"")] * 10_000, *others, end), spec()) is None
