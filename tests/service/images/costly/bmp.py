"""Costly files of BMP."""

import struct

from PIL import Image

from tests.networks import encode, picture
from tests.service.images.costly.parts import SIDE, case


@case
def bmp_of_no_pixels() -> bytes:
    small = bytearray(encode(picture(0), "BMP"))
    small[18:26] = struct.pack("<2i", SIDE, SIDE)
    return bytes(small)


@case
def bmp_of_runs() -> bytes:
    small = bytearray(encode(picture(0).convert("P"), "BMP"))
    small[18:26] = struct.pack("<2i", SIDE, SIDE)
    small[30] = 1
    return bytes(small) + b"\xff\0" * 100_000


@case
def bmp_of_one_bit() -> bytes:
    return encode(Image.new("1", (SIDE, SIDE)), "BMP")


@case
def bmp_of_a_palette() -> bytes:
    return encode(Image.new("P", (SIDE, SIDE)), "BMP")


@case
def bmp_of_masks() -> bytes:
    """16 bits a pixel, with masks."""
    head = b"BM" + bytes(8) + struct.pack("<I", 70)
    info = struct.pack("<I2i2H6I", 56, 3600, 3600, 1, 16, 3, 0, 0, 0, 0, 0)
    masks = struct.pack("<4I", 0xF800, 0x7E0, 0x1F, 0)
    return head + info + masks + bytes(3600 * 3600 * 2)
