"""Image formats: what each entry says is what Pillow knows, and what the others read of it."""

import pytest
from PIL import Image

from models import preprocessing
from models.images import formats as image_formats
from models.images.formats import (
    FORMATS,
    JPEG,
    PNG,
    ImageFormat,
    by_media_type,
    media_type,
    sniff,
    taken,
)
from tests.networks import encode, picture

EACH = pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)


@EACH
def test_its_extensions_are_pillows(format: ImageFormat) -> None:
    format.prepare()
    known = Image.registered_extensions()
    assert {each for each, name in known.items() if name == format.pillow} == set(format.extensions)


@EACH
def test_its_media_type_is_pillows(format: ImageFormat) -> None:
    format.prepare()
    assert Image.MIME.get(format.pillow, format.media_type) == format.media_type


@EACH
def test_its_files_begin_as_it_says(format: ImageFormat) -> None:
    encoded = encode(picture(1), format.pillow)
    assert [each.name for each in FORMATS if each.beginning.match(encoded)] == [format.name]
    assert sniff(encoded) is format


@pytest.mark.parametrize(
    ("beginning", "name"),
    [
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1miaf", "avif"),
        (b"\0\0\0\x1cftypavis\0\0\0\0avifmsf1", "avif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "avif"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0hevc", "heic"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp42", None),  # a film
        (b"\0\0\0\x18ftypmif1\0\0\0\0jpeg", None),
        (b"II+\0\x08\0\0\0", "tiff"),
        (b"MM\0*\0\0\0\x08", "tiff"),
        (b"P6 2 2 255 ", "ppm"),
        (b"P4ssword", None),
        (b"<svg xmlns=", None),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_format(beginning: bytes, name: str | None) -> None:
    found = sniff(beginning)
    assert (found.name if found else None) == name


@EACH
def test_usual_files_pass_its_limits(format: ImageFormat) -> None:
    size = (64, 64)  # HEVC has no smaller pictures: it crops them
    encoded = encode(picture(1, size), format.pillow)
    essence = format.essence(encoded)
    assert essence.orientation == 1
    assert essence.claim == format.claim(encoded)
    assert essence.claim is not None
    assert (essence.claim.width, essence.claim.height) == size


@EACH
def test_training_reads_it(format: ImageFormat) -> None:
    encoded = encode(picture(1), format.pillow)
    assert preprocessing.decode(encoded).size == picture(1).size


def test_what_the_service_takes() -> None:
    told = taken().split(", ")
    known = ("avif", "bmp", "gif", "heif", "jpeg", "png", "tiff", "webp", "x-portable-anymap")
    assert told == sorted(told)
    assert {f"image/{each}" for each in known} <= set(told)
    assert [by_media_type()[each] for each in ("image/jpeg", "image/png")] == [JPEG, PNG]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("image/png", "image/png"),
        ("Image/PNG; charset=binary", "image/png"),
        ("image/jpg", "image/jpeg"),
        ("image/x-ms-bmp", "image/bmp"),
        ("image/x-png", "image/png"),
        ("IMAGE/HEIC", "image/heif"),
        ("text/plain", "text/plain"),
        ("", ""),
    ],
)
def test_the_media_type_of_a_header(header: str, expected: str) -> None:
    assert media_type(header) == expected


def test_a_format_is_registered_once() -> None:
    with pytest.raises(ValueError, match=r"image format 'png' is registered twice: at .*formats"):
        image_formats.register(PNG)


def test_the_table_has_the_limits() -> None:
    [jpeg] = [line for line in image_formats.table().splitlines() if "`jpeg`" in line]
    assert "`.jpg`" in jpeg
    assert "1,000 segments" in jpeg
