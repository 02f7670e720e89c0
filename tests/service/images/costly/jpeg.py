"""Costly files of JPEG."""

import struct

import numpy as np
from PIL import Image

from tests.networks import encode
from tests.service.images.costly.parts import MEBIBYTE, SIDE, case, exif_of


def jpeg(side: int = SIDE, mode: str = "RGB", **options: object) -> bytes:
    return encode(Image.new(mode, (side, side)), "JPEG", **options)


@case
def jpeg_of_many_scans() -> bytes:
    progressive = jpeg(progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    return progressive[:-2] + scan * 89 + progressive[-2:]


@case
def jpeg_of_small_scans() -> bytes:
    progressive = jpeg(1200, progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    return progressive[:-2] + scan * 89 + progressive[-2:]


@case
def jpeg_progressive() -> bytes:
    return jpeg(progressive=True)


@case
def jpeg_of_noise() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (3200, 3200, 3), dtype=np.uint8)
    return encode(Image.fromarray(noise), "JPEG", quality=95, subsampling=0)


@case
def jpeg_of_progressive_noise() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (3200, 3200, 3), dtype=np.uint8)
    options: dict[str, object] = {"quality": 60, "progressive": True}
    return encode(Image.fromarray(noise), "JPEG", **options)


@case
def jpeg_of_four_colours() -> bytes:
    return jpeg(mode="CMYK", progressive=True)


@case
def jpeg_of_restarts() -> bytes:
    return jpeg(restart_marker_blocks=1)


@case
def jpeg_of_exif() -> bytes:
    small = jpeg(64)
    segment = b"\xff\xe1\xff\xffExif\0\0" + exif_of(5000)[: 0xFFFF - 8].ljust(0xFFFF - 8, b"\0")
    return small[:2] + segment * 100 + small[2:]


@case
def jpeg_of_profiles() -> bytes:
    small = jpeg(64)
    segment = b"\xff\xe2\xff\xffICC_PROFILE\0\1\1" + bytes(0xFFFF - 16)
    return small[:2] + segment * 120 + small[2:]


@case
def jpeg_of_photoshop() -> bytes:
    small = jpeg(64)
    resources = b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0\0\0\0\0" * 5400
    segment = b"\xff\xed" + struct.pack(">H", len(resources) + 2) + resources
    return small[:2] + segment * 100 + small[2:]


@case
def jpeg_of_comments() -> bytes:
    small = jpeg(64)
    return small[:2] + b"\xff\xfe\0\2" * 250_000 + small[2:]


@case
def jpeg_of_padding() -> bytes:
    small = jpeg(64)
    return small[:2] + b"\xff" * MEBIBYTE + small[2:]


@case
def jpeg_of_comments_between_scans() -> bytes:
    progressive = jpeg(64, progressive=True)
    place = progressive.rindex(b"\xff\xda")
    return progressive[:place] + b"\xff\xfe\0\2" * MEBIBYTE + progressive[place:]


@case
def jpeg_of_pictures() -> bytes:
    """A multi-picture file whose index is long."""
    small = jpeg(64)
    directory = struct.pack("<H", 5400) + struct.pack("<2H2I", 0xB001, 4, 1, 9) * 5400
    content = b"MPF\0II*\0\x08\0\0\0" + directory + bytes(4)
    return small[:2] + b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content + small[2:]


@case
def jpeg_of_no_pixels() -> bytes:
    whole = jpeg()
    return whole[: whole.index(b"\xff\xda") + 20]


@case
def jpeg_of_a_telephone() -> bytes:
    return encode(Image.new("RGB", (8064, 6048), "teal"), "JPEG")


@case
def jpeg_of_a_telephone_progressive() -> bytes:
    return encode(Image.new("RGB", (8064, 6048), "teal"), "JPEG", progressive=True)
