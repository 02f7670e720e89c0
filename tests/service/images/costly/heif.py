"""Costly files of HEIC and AVIF."""

import struct

import numpy as np
from PIL import Image

from models.images.heif import register_heic
from tests.networks import picture
from tests.service.images.costly.parts import SIDE, case, exif_of, written


def heic(image: Image.Image, **options: object) -> bytes:
    register_heic()
    return written("HEIF", image, **options)


def box(kind: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), kind) + content


@case
def heic_large() -> bytes:
    return heic(Image.new("RGB", (3000, 3000)))


@case
def heic_of_noise() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    return heic(Image.fromarray(noise), quality=95, chroma=444)


@case
def heic_of_boxes() -> bytes:
    return heic(picture(0, (64, 64))) + box(b"free") * 200_000


@case
def heic_of_properties() -> bytes:
    sizes = box(b"ispe", bytes(4), struct.pack(">2I", 8, 8)) * 100_000
    boxes = box(b"meta", bytes(4), box(b"iprp", box(b"ipco", sizes)))
    return box(b"ftyp", b"heic" + bytes(4) + b"heic") + boxes


@case
def heic_of_a_false_size() -> bytes:
    small = heic(picture(0, (64, 64)))
    return small.replace(struct.pack(">2I", 64, 64), struct.pack(">2I", SIDE, SIDE))


@case
def heic_of_a_huge_size() -> bytes:
    small = heic(picture(0, (64, 64)))
    return small.replace(struct.pack(">2I", 64, 64), struct.pack(">2I", 2**31, 2**31))


@case
def heic_of_exif() -> bytes:
    return heic(picture(0, (64, 64)), exif=b"Exif\0\0" + exif_of(65_000))


@case
def heic_of_a_small_claim() -> bytes:
    """The boxes say 64 × 64, the codec's own header says more."""
    large = heic(Image.new("RGB", (3008, 3008)))
    return large.replace(struct.pack(">2I", 3008, 3008), struct.pack(">2I", 64, 64))


@case
def avif_of_a_small_claim() -> bytes:
    return avif_large().replace(struct.pack(">2I", SIDE, SIDE), struct.pack(">2I", 64, 64))


@case
def avif_animated() -> bytes:
    frames = [picture(seed, (64, 64)) for seed in range(30)]
    return written("AVIF", frames[0], save_all=True, append_images=frames[1:], speed=10)


@case
def avif_of_exif() -> bytes:
    return written("AVIF", picture(0, (64, 64)), exif=exif_of(65_000), speed=10)


@case
def avif_large() -> bytes:
    return written("AVIF", Image.new("RGB", (SIDE, SIDE)), speed=10)
