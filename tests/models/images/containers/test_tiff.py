"""TIFF: the tags that decide pixels are kept, and only those; false ones are refused."""

import struct
import tracemalloc
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import ImageError
from models.images.containers import tiff
from models.images.decoding import decode
from tests.networks import encode, picture

SIZE = (40, 24)
COLOURS = picture(0, SIZE)
PALETTE = COLOURS.convert("P")
DEEP = Image.fromarray(np.random.default_rng(0).integers(0, 65536, (24, 40), dtype=np.uint16))


def shown(image: Image.Image) -> Image.Image:
    """As `decode` shows it."""
    return decode(encode(image.convert("RGB") if image.mode == "CMYK" else image))


def directory(*entries: tuple[int, int, int, int], order: str = "<", pixels: int = 80) -> bytes:
    """A TIFF of these entries: tag, type, count, value or place."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body = struct.pack(order + "IH", 8, len(entries))
    body += b"".join(struct.pack(order + "HHII", *each) for each in entries)
    return mark + body + bytes(4 + pixels)


USUAL = ((256, 4, 1, 8), (257, 4, 1, 8), (258, 4, 1, 8), (262, 4, 1, 1), (273, 4, 1, 110),
         (277, 4, 1, 1), (278, 4, 1, 8), (279, 4, 1, 64))  # fmt: skip


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (COLOURS, {}),
        (COLOURS, {"compression": "tiff_lzw"}),
        (COLOURS, {"compression": "tiff_adobe_deflate"}),
        (COLOURS, {"compression": "packbits"}),
        (COLOURS, {"big_tiff": True}),
        (COLOURS, {"icc_profile": bytes(9000), "description": "x" * 5000}),
        (COLOURS, {"tiffinfo": {278: 1}}),  # a strip for each line
        (COLOURS.convert("L"), {}),
        (COLOURS.convert("1"), {"compression": "group4"}),
        (COLOURS.convert("CMYK"), {}),
        (COLOURS.convert("RGBA"), {}),
        (PALETTE, {}),
        (DEEP, {}),
        (DEEP, {"compression": "tiff_lzw"}),
    ],
)
def test_pixels_are_the_same(image: Image.Image, options: dict[str, Any]) -> None:
    found = decode(encode(image, "TIFF", **options))
    assert np.array_equal(np.asarray(found), np.asarray(shown(image)))


def test_sizes_of_strips_may_be_left_out() -> None:
    assert decode(directory(*USUAL[:7])).size == (8, 8)


def test_numbers_of_either_order() -> None:
    for order in "<>":
        found = decode(directory(*USUAL, order=order))
        assert (found.mode, found.size) == ("L", (8, 8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_once(orientation: int) -> None:
    turned = decode(encode(COLOURS, "TIFF", tiffinfo={274: orientation}))
    exif = Image.Exif()
    exif[274] = orientation
    assert np.array_equal(np.asarray(turned), np.asarray(decode(encode(COLOURS, exif=exif))))


def test_metadata_and_further_pages_are_left_out() -> None:
    many = encode(COLOURS, "TIFF", save_all=True, append_images=[COLOURS] * 50, dpi=(300, 300),
                  description="private")  # fmt: skip
    essence = tiff.essence(many)
    with Image.open(BytesIO(essence.encoded)) as image:
        assert getattr(image, "n_frames", 1) == 1
        assert 270 not in image.tag_v2  # type: ignore[attr-defined]
    assert essence.claim == tiff.claim(many)


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (b"II*\0", "without its directory"),
        (b"II*\0\xff\xff\xff\xff", "without its directory"),
        (b"II*\0\x08\0\0\0\xff\xff", "more than 1,000 tags"),
        (b"II*\0\x08\0\0\0\x09\0" + bytes(12), "cut off in the directory"),
        (directory(*USUAL[1:]), "without its size"),
        (directory((256, 4, 1, 0), *USUAL[1:]), "without its size"),
        (directory((256, 2, 1, 8), *USUAL[1:]), "without its size"),
        (directory((256, 4, 1, 5000), (257, 4, 1, 5000), *USUAL[2:]), "can't be in"),
        (
            directory((256, 4, 1, 5000), (257, 4, 1, 5000), (259, 3, 1, 5), *USUAL[2:]),
            "can't be in",
        ),
        (directory(*USUAL, (259, 3, 1, 6)), "JPEG of the old kind"),
        (directory(*USUAL[:7], (279, 4, 300_000, 0)), "300,000 values in tag 279"),
        (directory(*USUAL[:7], (279, 4, 2**32 - 1, 0)), "values in tag 279"),
        (directory(*USUAL[:7], (279, 4, 100, 9000)), "tag 279 of a TIFF is behind its end"),
        (directory(*USUAL[:7], (279, 99, 1, 0)), "tag 279 of a TIFF has no value"),
        (directory(*USUAL[:7], (279, 4, 0, 0)), "tag 279 of a TIFF has no value"),
        (directory(*USUAL, pixels=60), "pixels of a TIFF are behind its end"),
        (directory(*USUAL[:7], pixels=60), "pixels of a TIFF are behind its end"),
        (directory(*USUAL[:7], (279, 4, 1, 90)), "pixels of a TIFF are behind its end"),
        (directory(*USUAL[:7], (259, 3, 1, 5)), "whose parts have no sizes"),
        (directory(*USUAL, (256, 4, 1, 8)), "its tag 256 twice"),
        (directory(*USUAL, *[(347, 7, 200, 0)] * 900, pixels=11_000), "its tag 347 twice"),
    ],
)
def test_what_is_false_is_refused(encoded: bytes, text: str) -> None:
    with pytest.raises(ImageError, match=text):
        decode(encoded)


def test_values_are_not_copied() -> None:
    """The event loop asks for the size: a file may point to all of itself from each tag."""
    size = 32 * 2**20
    texts = [(number, 7, size, 0) for number in (266, 284, 292, 293, 317, 320, 338, 339, 347, 529)]
    encoded = directory(*USUAL, *texts, pixels=size)
    tracemalloc.start()
    try:
        assert tiff.claim(encoded) is not None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_cielab_says_what_it_is() -> None:
    with pytest.raises(ImageError, match="CIELAB; convert it to PNG or JPEG in RGB"):
        decode(encode(Image.new("LAB", SIZE), "TIFF"))
