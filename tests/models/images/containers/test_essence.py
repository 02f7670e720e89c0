"""What is left of a file without its metadata: the same pixels, turned the same way."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from models.errors import ImageError, TooManyPixelsError
from models.images.containers import gif, png, webp
from models.images.containers.essence import orientation
from models.images.decoding import MAX_PIXELS, decode
from models.images.formats import FORMATS
from tests.networks import encode, picture
from tests.networks import png as png_of

TURN = struct.pack(">2sHIHHHIHH", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0) + bytes(4)
EXIF = b"Exif\0\0" + TURN
PROFILE = np.random.default_rng(0).bytes(9000)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'


def plain_decode(encoded: bytes) -> Image.Image:
    """What Pillow makes of the whole file, metadata too."""
    with Image.open(BytesIO(encoded)) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            layer = upright.convert("RGBA")
            ground = Image.new("RGB", layer.size, "white")
            ground.paste(layer, mask=layer.getchannel("A"))
            return ground
        return upright.convert("L" if upright.mode in ("1", "L") else "RGB")


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and bool((np.asarray(one) == np.asarray(other)).all())


IMAGES = {
    "colours": picture(0, (40, 24)),
    "grey": picture(0, (40, 24)).convert("L"),
    "palette": picture(0, (40, 24)).convert("P"),
    "transparent": Image.merge(
        "RGBA", (*picture(0, (40, 24)).split(), Image.linear_gradient("L").resize((40, 24)))
    ),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {"exif": EXIF, "icc_profile": PROFILE}),
        ("PNG", {}),
        ("JPEG", {"exif": EXIF, "icc_profile": PROFILE, "comment": b"hello"}),
        ("JPEG", {"xmp": XMP, "progressive": True}),
        ("WEBP", {"exif": EXIF, "icc_profile": PROFILE, "lossless": True}),
        ("WEBP", {"exif": EXIF, "xmp": XMP}),
        ("WEBP", {"xmp": XMP}),
        ("GIF", {"comment": b"hello"}),
        ("BMP", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_the_pixels_are_those_of_the_whole_file(
    name: str, format: str, options: dict[str, Any]
) -> None:
    image = IMAGES[name]
    if format in ("JPEG", "BMP") and image.mode in ("P", "RGBA"):
        image = image.convert("RGB")
    encoded = encode(image, format, **options)
    assert same(decode(encoded), plain_decode(encoded))
    if options.get("icc_profile"):
        [entry] = (each for each in FORMATS if each.pillow == format)
        assert len(entry.essence(encoded).encoded) < len(encoded) - 5000


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_kept(format: str) -> None:
    frames = [picture(seed, (40, 24)) for seed in range(6)]
    options = {"lossless": True} if format == "WEBP" else {}
    encoded = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert same(decode(encoded), plain_decode(encoded))
    if format == "WEBP":
        assert len(webp.essence(encoded).encoded) < len(encoded) / 3


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_libwebp_and_pillow_give_the_same_pixels(
    mode: str, lossless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = IMAGES["transparent"].convert(mode)
    encoded = encode(image, "WEBP", lossless=lossless)
    direct = decode(encoded)
    monkeypatch.setattr("models.images.webp.picture", lambda *_: None)
    assert same(direct, decode(encoded))


def test_libwebp_is_found() -> None:
    """As long as it is, a WebP needs half of the memory."""
    from models.images import webp as direct

    assert direct.picture(encode(picture(0), "WEBP"), (8, 8)) is not None


def test_every_flipped_byte_of_a_png_is_seen() -> None:
    """In each place but the signature a byte has a checksum, or is one."""
    image = picture(3, (24, 20)).convert("P")
    encoded = encode(image, exif=EXIF, transparency=3)
    expected = decode(encoded)
    for place in range(8, len(encoded)):
        broken = bytearray(encoded)
        broken[place] ^= 1 << (place % 8)
        with pytest.raises(ImageError):
            decode(bytes(broken))
    assert same(expected, decode(encoded))


def test_every_shorter_png_is_seen() -> None:
    encoded = encode(picture(3, (24, 20)).convert("P"))
    for end in range(len(encoded)):
        with pytest.raises(ImageError):
            decode(encoded[:end])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([(0x0112, 3, 1, 6)], 6),
        ([(0x0112, 4, 1, 8)], 8),
        ([(0x0100, 3, 1, 9), (0x0112, 3, 1, 3)], 3),
        ([(0x0112, 3, 1, 9)], 1),
        ([(0x0112, 3, 2, 6)], 1),
        ([(0x0112, 2, 1, 6)], 1),
        ([(0x0100, 3, 1, 1)] * 1000 + [(0x0112, 3, 1, 6)], 1),
        ([], 1),
    ],
)
def test_the_orientation(
    entries: list[tuple[int, int, int, int]], expected: int, order: str
) -> None:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    exif = mark + struct.pack(order + "IH", 8, len(entries))
    for tag, kind, count, value in entries:
        packed = struct.pack(
            order + ("I" if kind == 4 else "HH"), *((value,) if kind == 4 else (value, 0))
        )
        exif += struct.pack(order + "HHI", tag, kind, count) + packed
    assert orientation(exif) == orientation(b"Exif\0\0" + exif) == expected
    for end in range(len(exif[:60])):
        assert orientation(exif[:end]) in (1, expected)


def test_xmp_says_the_orientation_where_exif_does_not() -> None:
    assert orientation(b"", XMP) == 6
    assert orientation(TURN.replace(b"\0\6\0\0", b"\0\3\0\0"), XMP) == 3
    assert orientation(b"II*\0\xff\xff\xff\xff", b"tiff:Orientation>8<") == 8
    assert orientation(b"", b'tiff:Orientation="9"') == 1


def test_more_pixels_than_the_bytes_can_hold() -> None:
    header = struct.pack(">2I5B", 4000, 4000, 8, 2, 0, 0, 0)
    few = png_of((b"IHDR", header), (b"IDAT", zlib.compress(bytes(4000))), (b"IEND", b""))
    with pytest.raises(ImageError, match="can't be in"):
        png.essence(few)
    small = bytearray(encode(picture(0).convert("P"), "GIF"))
    place = small.index(b",", 13)
    small[place + 5 : place + 9] = struct.pack("<2H", 3000, 3000)
    with pytest.raises(ImageError, match="can't be in"):
        gif.essence(bytes(small))


@pytest.mark.slow
def test_blank_pictures_of_usual_sizes_pass() -> None:
    """A page without a word is a picture too."""
    blank = Image.new("RGB", (2480, 3508), "white")
    for format in ("PNG", "JPEG", "GIF"):
        assert decode(encode(blank, format)).size == blank.size
    assert decode(encode(Image.new("1", (2480, 3508), 1))).size == blank.size


def test_the_size_is_checked_before_libwebp_allocates() -> None:
    encoded = encode(Image.new("RGB", (2000, 2000)), "WEBP", lossless=True)
    with pytest.raises(TooManyPixelsError, match="2000 × 2000"):
        decode(encoded, max_pixels=1_000_000)
    huge = struct.pack("<I", 16_382 | 16_382 << 14)
    with pytest.raises(TooManyPixelsError):
        decode(encoded[:21] + huge + encoded[25:])
    assert MAX_PIXELS < 16_383**2


@pytest.mark.parametrize("mode", ["I;16", "LA", "P", "RGBA"])
def test_pictures_that_are_converted_in_bands(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode == "I;16":
        levels = np.random.default_rng(0).integers(0, 65536, (24, 40), dtype=np.uint16)
        image = Image.fromarray(levels)
    else:
        image = IMAGES["transparent"].convert(mode)
    options: dict[str, Any] = {"transparency": 7} if mode == "P" else {}
    encoded = encode(image, **options)
    whole = decode(encoded)
    monkeypatch.setattr("models.images.decoding.BAND", 100)
    assert same(decode(encoded), whole)
