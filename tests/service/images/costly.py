"""Files that cost far more to decode than their size suggests: a generator for each format.

Each is valid, or nearly: what makes it costly is what it holds much of. `CASES` has their names.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
from PIL import Image

from models.heif import register_heic
from tests.networks import encode, picture

SIDE = 5000  # the largest square that the settings allow
MEBIBYTE = 2**20
CASES: dict[str, Callable[[], bytes]] = {}


def case(make: Callable[[], bytes]) -> Callable[[], bytes]:
    CASES[make.__name__] = make
    return make


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


def profile(size: int) -> bytes:
    """An ICC profile that is long when decompressed."""
    return b"p\0\0" + zlib.compress(bytes(size), 1)


def exif_of(entries: int, order: str = "<") -> bytes:
    """EXIF with so many entries, each of which points at a long value."""
    start = 8 + 2 + 12 * entries + 4
    directory = struct.pack(order + "H", entries) + b"".join(
        struct.pack(order + "2H2I", 0x9000 + index % 4096, 7, 8, start) for index in range(entries)
    )
    return b"II*\0\x08\0\0\0" + directory + bytes(4 + 8)


def exif_of_text(size: int) -> bytes:
    """EXIF of one entry, a long list of fractions."""
    count = size // 8
    entry = struct.pack("<2H2I", 0x9000, 5, count, 26)
    return b"II*\0\x08\0\0\0\1\0" + entry + bytes(4) + b"\1\0\0\0\1\0\0\0" * count


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


def written(format: str, image: Image.Image, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


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


@case
def ppm_of_text() -> bytes:
    return b"P3 1500 1500 255\n" + b"0 " * (1500 * 1500 * 3)


@case
def ppm_of_comments() -> bytes:
    return b"P6\n" + b"#\n" * MEBIBYTE + b"8 8 255\n" + bytes(192)


@case
def ppm_of_comments_behind() -> bytes:
    return b"P2 64 64 255\n" + b"#\n" * (2 * MEBIBYTE) + b"0 " * 4096


@case
def ppm_of_sixteen_bits() -> bytes:
    return b"P6 2300 2300 65535\n" + bytes(2300 * 2300 * 6)


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
def jpeg_of_a_telephone() -> bytes:
    return encode(Image.new("RGB", (8064, 6048), "teal"), "JPEG")


@case
def jpeg_of_a_telephone_progressive() -> bytes:
    return encode(Image.new("RGB", (8064, 6048), "teal"), "JPEG", progressive=True)


@case
def avif_large() -> bytes:
    return written("AVIF", Image.new("RGB", (SIDE, SIDE)), speed=10)
