"""Costly files of PNG."""

import struct
import zlib

from PIL import Image

from tests.networks import encode, picture
from tests.service.images.costly.parts import MEBIBYTE, SIDE, case, exif_of, exif_of_text, profile


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of very many chunks, each a kind and its content, with their checksums."""
    parts = [
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def ihdr(side: int, depth: int = 8, color: int = 2, interlaced: int = 0) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">2I5B", side, side, depth, color, 0, 0, interlaced)


def pixels_of(side: int, bytes_a_pixel: float, filter: int = 0) -> tuple[bytes, bytes]:
    """All lines black, by the given filter; deflate makes 1,032 bytes one."""
    line = bytes([filter]) + bytes(round(side * bytes_a_pixel))
    return b"IDAT", zlib.compress(line * side)


def plain(*chunks: tuple[bytes, bytes], behind: bool = False) -> bytes:
    """A small PNG with these chunks before its pixels, or behind them."""
    own = [(b"IDAT", zlib.compress((b"\0" + bytes(24)) * 8))]
    parts = [*own, *chunks] if behind else [*chunks, *own]
    return png(ihdr(8), *parts, (b"IEND", b""))


@case
def png_of_many_profiles() -> bytes:
    return plain(*[(b"iCCP", profile(MEBIBYTE))] * 300)


@case
def png_of_six_megabytes_of_profiles() -> bytes:
    return plain(*[(b"iCCP", profile(MEBIBYTE))] * 1300)


@case
def png_of_one_long_profile() -> bytes:
    return plain((b"iCCP", profile(2**28)))


@case
def png_of_empty_private_chunks() -> bytes:
    return plain(*[(b"prVt", b"")] * (MEBIBYTE // 12))


@case
def png_of_many_empty_private_chunks() -> bytes:
    return plain(*[(b"prVt", b"")] * (8 * MEBIBYTE // 12))


@case
def png_of_empty_private_chunks_behind() -> bytes:
    return plain(*[(b"prVt", b"")] * (MEBIBYTE // 12), behind=True)


@case
def png_of_empty_pixel_chunks() -> bytes:
    return plain(*[(b"IDAT", b"")] * (MEBIBYTE // 12))


@case
def png_of_texts() -> bytes:
    return plain(*[(b"zTXt", b"k\0\0" + zlib.compress(bytes(MEBIBYTE), 9))] * 60)


@case
def png_of_texts_behind() -> bytes:
    return plain(*[(b"tEXt", b"k\0v")] * 60_000, behind=True)


@case
def png_of_palettes() -> bytes:
    return plain(*[(b"PLTE", bytes(768))] * 9000)


@case
def png_of_exif() -> bytes:
    return plain((b"eXIf", exif_of(65_000)))


@case
def png_of_long_exif() -> bytes:
    return plain((b"eXIf", exif_of_text(8 * MEBIBYTE)), behind=True)


@case
def png_of_sixteen_bits() -> bytes:
    return png(ihdr(SIDE, depth=16), pixels_of(SIDE, 6), (b"IEND", b""))


@case
def png_of_sixteen_bits_and_alpha() -> bytes:
    return png(ihdr(SIDE, depth=16, color=6), pixels_of(SIDE, 8, filter=4), (b"IEND", b""))


@case
def png_of_sixteen_bits_grey() -> bytes:
    return png(ihdr(SIDE, depth=16, color=0), pixels_of(SIDE, 2, filter=4), (b"IEND", b""))


@case
def png_of_eight_bits() -> bytes:
    return png(ihdr(SIDE), pixels_of(SIDE, 3, filter=4), (b"IEND", b""))


@case
def png_of_alpha() -> bytes:
    return png(ihdr(SIDE, color=6), pixels_of(SIDE, 4), (b"IEND", b""))


@case
def png_of_grey_and_alpha() -> bytes:
    return png(ihdr(SIDE, color=4), pixels_of(SIDE, 2), (b"IEND", b""))


@case
def png_of_a_transparent_palette() -> bytes:
    palette = (b"PLTE", bytes(768)), (b"tRNS", bytes(256))
    return png(ihdr(SIDE, color=3), *palette, pixels_of(SIDE, 1), (b"IEND", b""))


@case
def png_of_one_bit() -> bytes:
    return png(ihdr(SIDE, depth=1, color=0), pixels_of(SIDE, 1 / 8), (b"IEND", b""))


@case
def png_interlaced() -> bytes:
    image = Image.new("RGB", (SIDE, SIDE))
    lines = encode(image)
    start = lines.index(b"IDAT") - 4
    header = png(ihdr(SIDE, interlaced=1))
    return header + lines[start:]


@case
def png_of_no_pixels() -> bytes:
    return png(ihdr(SIDE), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))


@case
def png_turned() -> bytes:
    turn = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    return png(ihdr(SIDE, color=6), (b"eXIf", turn), pixels_of(SIDE, 4), (b"IEND", b""))


@case
def png_of_a_long_side() -> bytes:
    header = b"IHDR", struct.pack(">2I5B", 65_535, 380, 8, 2, 0, 0, 0)
    lines = b"IDAT", zlib.compress((b"\4" + bytes(65_535 * 3)) * 380, 9)
    return png(header, lines, (b"IEND", b""))


@case
def png_animated() -> bytes:
    frames = [picture(seed, (64, 64)) for seed in range(200)]
    return encode(frames[0], save_all=True, append_images=frames[1:])
