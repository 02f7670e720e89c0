"""Costly files of GIF."""

import struct

from PIL import Image

from tests.networks import encode, picture
from tests.service.images.costly.parts import MEBIBYTE, SIDE, case


def gif(side: int) -> bytes:
    return encode(Image.new("P", (side, side)), "GIF")


@case
def gif_large() -> bytes:
    return gif(SIDE)


@case
def gif_of_empty_comments() -> bytes:
    small = gif(64)
    start = 13 + (3 << ((small[10] & 7) + 1) if small[10] & 0x80 else 0)
    return small[:start] + b"!\xfe\0" * 200_000 + small[start:]


@case
def gif_of_small_blocks() -> bytes:
    small = gif(64)
    start = 13 + (3 << ((small[10] & 7) + 1) if small[10] & 0x80 else 0)
    return small[:start] + b"!\xfe" + b"\1x" * 500_000 + b"\0" + small[start:]


@case
def gif_of_controls() -> bytes:
    small = gif(64)
    start = 13 + (3 << ((small[10] & 7) + 1) if small[10] & 0x80 else 0)
    return small[:start] + b"!\xf9\4\1\0\0\0\0" * 100_000 + small[start:]


@case
def gif_of_junk() -> bytes:
    small = gif(64)
    start = 13 + (3 << ((small[10] & 7) + 1) if small[10] & 0x80 else 0)
    return small[:start] + b"\1" * MEBIBYTE + small[start:]


@case
def gif_of_a_small_picture() -> bytes:
    small = bytearray(gif(8))
    small[6:10] = struct.pack("<2H", SIDE, SIDE)
    return bytes(small)


@case
def gif_of_a_large_picture() -> bytes:
    """The screen is small, the picture is not."""
    large = bytearray(gif(SIDE))
    large[6:10] = struct.pack("<2H", 8, 8)
    return bytes(large)


@case
def gif_of_a_huge_picture() -> bytes:
    small = bytearray(gif(8))
    place = small.index(b",", 13)
    small[place + 5 : place + 9] = struct.pack("<2H", 65_535, 65_535)
    return bytes(small)


@case
def gif_animated() -> bytes:
    frames = [picture(seed, (64, 64)) for seed in range(100)]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
