"""Preflight: files that cost far more than their size are refused, all usual ones pass."""

import pytest
from PIL import Image

from service import preflight
from tests.networks import DATA, encode, picture

JPEG = encode(picture(1, size=(64, 64)), "JPEG")
TINY_SEGMENT = b"\xff\xe1\x00\x08Exif\x00\x00"


@pytest.mark.parametrize(
    "encoded",
    [
        JPEG[:2] + TINY_SEGMENT * 300_000 + JPEG[2:],
        JPEG[:2] + b"\xff\xfe\x00\x02" * 300_000 + JPEG[2:],
        JPEG[:2] + b"\xff" * 3_000_000 + JPEG[2:],
        JPEG[:2] + b"\x00" * 3_000_000 + JPEG[2:],
    ],
    ids=["exif", "comments", "padding", "junk"],
)
def test_a_jpeg_of_very_many_segments(encoded: bytes) -> None:
    assert "segments" in (preflight.refusal(encoded, "image/jpeg") or "")


def test_a_jpeg_of_very_many_scans() -> None:
    assert "scans" in (preflight.refusal(JPEG[:-2] + b"\xff\xda" * 200, "image/jpeg") or "")


def test_a_gif_of_very_long_comments() -> None:
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * 5000 + b"\0"
    refused = preflight.refusal(b"GIF89a\x08\0\x08\0\0\0\0" + comment + b",", "image/gif")
    assert "bytes before its first picture" in (refused or "")


def test_a_run_length_encoded_bmp() -> None:
    bmp = bytearray(encode(picture(1).convert("P"), "BMP"))
    bmp[30] = 1
    assert "run-length" in (preflight.refusal(bytes(bmp), "image/bmp") or "")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_usual_files_pass(format: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 50_000
    options = {"exif": exif, "icc_profile": b"p" * 500_000} if format == "JPEG" else {}
    for image in (picture(1, size=(300, 200)), picture(2).convert("L")):
        assert (
            preflight.refusal(encode(image, format, **options), f"image/{format.lower()}") is None
        )
    progressive = encode(picture(1, size=(300, 200)), "JPEG", progressive=True)
    assert preflight.refusal(progressive, "image/jpeg") is None
    for file in DATA.glob("*/*.png"):
        assert preflight.refusal(file.read_bytes(), "image/png") is None


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/gif", "image/bmp"])
def test_any_bytes_are_looked_at(media_type: str) -> None:
    for encoded in (b"", b"!", b"GIF89a", b"\xff\xd8\xff", b"GIF89a\0\0\0\0\xff\0\0" + b"!" * 900):
        assert preflight.refusal(encoded, media_type) is None


@pytest.mark.parametrize("offset", [-2, -1, 0, 1])
def test_scans_are_counted_across_blocks(offset: int) -> None:
    before = bytes(preflight._BLOCK + offset)
    assert preflight.scans(before + b"\xff\xda" + bytes(9) + b"\xff\xff\xda") == 2
    assert preflight.scans(before) == preflight.scans(b"") == preflight.scans(b"\xff") == 0
