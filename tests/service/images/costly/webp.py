"""Costly files of WebP."""

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.networks import encode, picture
from tests.service.images.costly.parts import MEBIBYTE, SIDE, case, exif_of, exif_of_text


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    content = b"WEBP"
    for kind, part in chunks:
        content += kind + struct.pack("<I", len(part)) + part + bytes(len(part) % 2)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def chunks_of(webp: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(webp):
        kind, size = struct.unpack_from("<4sI", webp, position)
        yield kind, webp[position + 8 : position + 8 + size]
        position += 8 + size + size % 2


def extended(flags: int, side: int) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + struct.pack("<I", side - 1)[:3] * 2


def webp(side: int, mode: str = "RGB", **options: object) -> bytes:
    return encode(Image.new(mode, (side, side)), "WEBP", **options)


@case
def webp_of_one_colour() -> bytes:
    return webp(SIDE, lossless=True)


@case
def webp_of_a_kilobyte() -> bytes:
    return webp_of_one_colour() + b"JUNK" + struct.pack("<I", 1000) + bytes(1000)


@case
def webp_with_bytes_enough() -> bytes:
    return webp_of_one_colour() + b"JUNK" + struct.pack("<I", 4000) + bytes(4000)


@case
def webp_lossy() -> bytes:
    return webp(SIDE, quality=50)


@case
def webp_lossless() -> bytes:
    across = np.arange(SIDE, dtype=np.uint8)
    levels = np.stack([np.broadcast_to(across, (SIDE, SIDE))] * 3, axis=2)
    return encode(Image.fromarray(levels), "WEBP", lossless=True, method=0)


@case
def webp_of_alpha() -> bytes:
    return webp(SIDE, "RGBA", quality=50)


@case
def webp_of_noise() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (2500, 2500, 3), dtype=np.uint8)
    return encode(Image.fromarray(noise), "WEBP", quality=90, method=0)


@case
def webp_of_exif() -> bytes:
    own = list(chunks_of(webp(64)))
    return riff(extended(0x08, 64), *own, (b"EXIF", exif_of(65_000)))


@case
def webp_of_long_exif() -> bytes:
    own = list(chunks_of(webp(64)))
    return riff(extended(0x08, 64), *own, (b"EXIF", exif_of_text(8 * MEBIBYTE)))


@case
def webp_of_chunks() -> bytes:
    own = list(chunks_of(webp(64)))
    return riff(extended(0, 64), *[(b"JUNK", b"")] * 130_000, *own)


@case
def webp_of_frames() -> bytes:
    frame = next(part for kind, part in chunks_of(animation()) if kind == b"ANMF")
    head = [(kind, part) for kind, part in chunks_of(animation()) if kind != b"ANMF"]
    return riff(*head, *[(b"ANMF", frame)] * 8000)


@case
def webp_of_a_large_canvas() -> bytes:
    frame = next(part for kind, part in chunks_of(animation()) if kind == b"ANMF")
    return riff(extended(0x12, SIDE), (b"ANIM", bytes(6)), *[(b"ANMF", frame)] * 100)


@case
def webp_of_a_huge_canvas() -> bytes:
    frame = next(part for kind, part in chunks_of(animation()) if kind == b"ANMF")
    return riff(extended(0x12, 16_383), (b"ANIM", bytes(6)), (b"ANMF", frame))


def animation() -> bytes:
    frames = [picture(seed, (16, 16)) for seed in range(2)]
    return encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
