"""A PNG whose pixels end too early is refused, though its chunks and its stream are whole."""

import struct
import tracemalloc
import zlib
from io import BytesIO

import pytest
from PIL import Image

from models.errors import ImageError
from models.images import decoding

SIGNATURE = b"\x89PNG\r\n\x1a\n"
WIDTH, HEIGHT = 7, 5
KINDS = [(0, 1), (0, 8), (0, 16), (2, 8), (2, 16), (3, 4), (3, 8), (4, 8), (6, 8), (6, 16)]
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # color type → samples a pixel
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
ADAM7.append((0, 1, 1, 2))


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(
    size: tuple[int, int], color: int, depth: int, content: bytes, interlaced: int = 0
) -> bytes:
    header = struct.pack(">2I5B", *size, depth, color, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(3 * 2**depth)) if color == 3 else b""
    pixels = chunk(b"IDAT", zlib.compress(content))
    return SIGNATURE + chunk(b"IHDR", header) + palette + pixels + chunk(b"IEND", b"")


def row(width: int, color: int, depth: int) -> int:
    """Bytes of a row, with its filter."""
    return 1 + -(-width * SAMPLES[color] * depth // 8)


@pytest.mark.parametrize(("color", "depth"), KINDS)
@pytest.mark.parametrize("missing", [1, HEIGHT - 1])
def test_black_rows_at_the_end_are_no_missing_rows(color: int, depth: int, missing: int) -> None:
    length = row(WIDTH, color, depth)
    whole = png((WIDTH, HEIGHT), color, depth, bytes(length * HEIGHT))
    assert decoding.decode(whole).size == (WIDTH, HEIGHT)
    cut = png((WIDTH, HEIGHT), color, depth, bytes(length * (HEIGHT - missing)))
    with pytest.raises(ImageError, match="pixels end before the last row"):
        decoding.decode(cut)


def test_part_of_the_last_row_is_too_little() -> None:
    length = row(WIDTH, 2, 8)
    for missing in (1, length - 1):
        cut = png((WIDTH, HEIGHT), 2, 8, b"\0" + b"\1" * (length * HEIGHT - missing - 1))
        with pytest.raises(ImageError, match="corrupt or truncated"):
            decoding.decode(cut)


@pytest.mark.parametrize("width", range(1, 10))
@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 8, 9])
def test_passes_of_an_interlaced_one(width: int, height: int) -> None:
    length = 0
    for x, y, across, down in ADAM7:
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        if columns > 0 and rows > 0:
            length += rows * row(columns, 0, 8)
    whole = png((width, height), 0, 8, bytes(length), interlaced=1)
    assert decoding.decode(whole).size == (width, height)
    with pytest.raises(ImageError, match="corrupt or truncated"):
        decoding.decode(png((width, height), 0, 8, bytes(length - 1), interlaced=1))


def test_pixels_that_are_packed_very_tightly() -> None:
    stored = BytesIO()
    Image.new("RGB", (3000, 1000)).save(stored, "PNG", compress_level=9)
    assert decoding.decode(stored.getvalue()).size == (3000, 1000)


@pytest.mark.parametrize("interlaced", [0, 1])
def test_no_more_is_decompressed_than_the_image_has(interlaced: int) -> None:
    """A hundred megabytes of zeros are behind the pixels, in 100 kB."""
    bomb = png((8, 8), 0, 8, bytes(100_000_000), interlaced)
    tracemalloc.start()
    try:
        assert decoding.decode(bomb).size == (8, 8)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_pixels_in_many_chunks() -> None:
    """As other programs write them; here a byte each."""
    content = zlib.compress(bytes(row(WIDTH, 0, 8) * HEIGHT))
    whole = png((WIDTH, HEIGHT), 0, 8, b"")
    header, end = whole[:33], whole[-12:]
    parts = [chunk(b"IDAT", content[i : i + 1]) for i in range(len(content))]
    assert decoding.decode(header + b"".join(parts) + end).size == (WIDTH, HEIGHT)
