"""Files that cost far more than their size are refused before they are decoded; usual ones pass."""

import pytest
from PIL import Image

from models.errors import ImageError
from models.images.containers import jpeg as container
from models.images.formats import FORMATS, by_media_type
from models.preprocessing import decode
from tests.networks import DATA, encode, picture

JPEG = encode(picture(1, size=(64, 64)), "JPEG")
TINY_SEGMENT = b"\xff\xe1\x00\x08Exif\x00\x00"


def refusal(encoded: bytes, media_type: str) -> str | None:
    try:
        by_media_type()[media_type].essence(encoded)
    except ImageError as error:
        return str(error)
    return None


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
    assert "segments" in (refusal(encoded, "image/jpeg") or "")


def test_a_jpeg_of_very_many_scans() -> None:
    """Of a sequential one libjpeg takes none but the first, if that has all components."""
    progressive = encode(picture(1, size=(64, 64)), "JPEG", progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    many = progressive[:-2] + scan * 200 + progressive[-2:]
    assert "scans" in (refusal(many, "image/jpeg") or "")
    assert refusal(JPEG[:-2] + scan * 200, "image/jpeg") is None
    with pytest.raises(ImageError):
        decode(JPEG[:-2] + JPEG[JPEG.index(b"\xff\xda") :])


def test_much_exif_and_many_profiles_of_a_jpeg_are_skipped() -> None:
    segment = b"\xff\xe1\xff\xffExif\0\0" + bytes(0xFFFF - 8)
    profile = b"\xff\xe2\xff\xffICC_PROFILE\0\1\1" + bytes(0xFFFF - 16)
    essence = container.essence(JPEG[:2] + (segment + profile) * 100 + JPEG[2:])
    assert essence.encoded == container.essence(JPEG).encoded
    assert essence.orientation == 1


def frame(marker: int, components: int = 3) -> bytes:
    return b"\xff%c\0\x08\x08\0\x08\0\x08%c" % (marker, components)


SCAN = b"\xff\xda\0\x0c\x03"


@pytest.mark.parametrize(
    ("jpeg", "has_one"),
    [
        (JPEG, True),
        (encode(picture(1).convert("L"), "JPEG"), True),
        (encode(picture(1), "JPEG", progressive=True), False),
        (b"\xff\xd8" + frame(0xC1) + SCAN, True),
        (b"\xff\xd8" + frame(0xC0, components=4) + SCAN, False),  # another scan has the fourth
        (b"\xff\xd8" + frame(0xC9) + SCAN, False),  # arithmetic coding
        (b"\xff\xd8" + frame(0xC0) + frame(0xC2) + SCAN, False),
        (b"\xff\xd8" + frame(0xC0) + frame(0xC0) + SCAN, False),
        (b"\xff\xd8" + frame(0xC2) + frame(0xC0) + SCAN, False),
        (b"\xff\xd8" + SCAN, False),
        (b"\xff\xd8" + frame(0xC0), False),
        (b"\xff\xd8" + frame(0xC0)[:-1], False),
        (b"\xff\xd8" + frame(0xC0) + SCAN[:-1], False),
        (JPEG[:2] + TINY_SEGMENT * 1000 + JPEG[2:], False),  # too many segments
        (b"\xff\xd8", False),
        (b"", False),
    ],
)
def test_jpegs_of_one_scan_are_known_by_their_header(jpeg: bytes, has_one: bool) -> None:
    assert (container.only_frame(jpeg) is not None) == has_one


def test_the_frame_of_a_jpeg() -> None:
    grey = encode(picture(1, size=(300, 200)).convert("L"), "JPEG")
    assert container.only_frame(grey) == (300, 200, 1, grey.index(b"\xff\xda"))


def test_a_gif_of_very_long_comments() -> None:
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * 5000 + b"\0"
    refused = refusal(b"GIF89a\x08\0\x08\0\0\0\0" + comment + b",", "image/gif")
    assert "bytes before its first picture" in (refused or "")


def test_a_run_length_encoded_bmp() -> None:
    bmp = bytearray(encode(picture(1).convert("P"), "BMP"))
    bmp[30] = 1
    assert "run-length" in (refusal(bytes(bmp), "image/bmp") or "")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_usual_files_pass(format: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 50_000
    options = {"exif": exif, "icc_profile": b"p" * 500_000} if format == "JPEG" else {}
    for image in (picture(1, size=(300, 200)), picture(2).convert("L")):
        assert refusal(encode(image, format, **options), f"image/{format.lower()}") is None
    progressive = encode(picture(1, size=(300, 200)), "JPEG", progressive=True)
    assert refusal(progressive, "image/jpeg") is None
    for file in DATA.glob("*/*.png"):
        assert refusal(file.read_bytes(), "image/png") is None


@pytest.mark.parametrize("media_type", [each.media_type for each in FORMATS])
def test_any_bytes_are_looked_at(media_type: str) -> None:
    for encoded in (b"", b"!", b"GIF89a", b"\xff\xd8\xff", b"GIF89a\0\0\0\0\xff\0\0" + b"!" * 900):
        refusal(encoded, media_type)
        assert by_media_type()[media_type].claim(encoded) is None or encoded


@pytest.mark.parametrize("offset", [-2, -1, 0, 1])
def test_scans_are_counted_across_blocks(offset: int) -> None:
    before = bytes(container.BLOCK_BYTES + offset)
    assert container.scans(before + b"\xff\xda" + bytes(9) + b"\xff\xff\xda") == 2
    assert container.scans(before) == container.scans(b"") == container.scans(b"\xff") == 0
