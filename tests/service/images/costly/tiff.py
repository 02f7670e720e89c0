"""Costly files of TIFF."""

import struct

from PIL import Image

from tests.networks import picture
from tests.service.images.costly.parts import MEBIBYTE, SIDE, case, written


@case
def tiff_deflated() -> bytes:
    return written("TIFF", Image.new("RGB", (SIDE, SIDE)), compression="tiff_adobe_deflate")


@case
def tiff_of_many_strips() -> bytes:
    """A strip for each line: Pillow makes a list of them in Python."""
    return written("TIFF", Image.new("L", (64, 65_000)), tiffinfo={278: 1})


def tiff(*entries: tuple[int, int, int, int], content: bytes = b"") -> bytes:
    """Entries have a tag, a type, the number of values, and a value or its place."""
    packed = b"".join(struct.pack("<HHII", *each) for each in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + packed + bytes(4) + content


@case
def tiff_of_tags() -> bytes:
    return tiff(*[(700, 7, 8, 8)] * 65_000)


@case
def tiff_of_no_pixels() -> bytes:
    return tiff((256, 4, 1, SIDE), (257, 4, 1, SIDE), (259, 4, 1, 5), (273, 4, 1, 8))


@case
def tiff_of_values() -> bytes:
    """Very many strips that are the same bytes."""
    size = (256, 4, 1, 8), (257, 4, 1, 60_000), (273, 4, 2**22, 100), (279, 4, 2**22, 100)
    return tiff(*size, content=bytes(2**24))


@case
def tiff_of_pages() -> bytes:
    small = picture(0, (16, 16))
    return written("TIFF", small, save_all=True, append_images=[small] * 500)


@case
def tiff_of_texts() -> bytes:
    long = {"icc_profile": bytes(MEBIBYTE), "description": "x" * MEBIBYTE}
    return written("TIFF", picture(0), **long)
