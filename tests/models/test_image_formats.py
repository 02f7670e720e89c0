"""Image formats: what each entry says is what Pillow knows, and what the others read of it."""

import pytest
from PIL import Image

from models import image_formats, preprocessing
from models.image_formats import FORMATS, JPEG, PNG, ImageFormat, media_type, served, sniff, taken
from tests.networks import encode, picture

EACH = pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)


@EACH
def test_its_extensions_are_pillows(format: ImageFormat) -> None:
    known = Image.registered_extensions()
    assert {each for each, name in known.items() if name == format.pillow} == set(format.extensions)


@EACH
def test_its_media_type_is_pillows(format: ImageFormat) -> None:
    assert Image.MIME[format.pillow] == format.media_type


@EACH
def test_its_files_begin_as_it_says(format: ImageFormat) -> None:
    encoded = encode(picture(1), format.pillow)
    assert [each.name for each in FORMATS if each.beginning.match(encoded)] == [format.name]
    assert sniff(encoded) is (format if format.served else None)


@EACH
def test_usual_files_pass_its_limits(format: ImageFormat) -> None:
    encoded = encode(picture(1), format.pillow)
    essence = format.essence(encoded)
    assert essence.orientation == 1
    assert essence.claim == format.claim(encoded)
    if essence.claim is not None:
        assert (essence.claim.width, essence.claim.height) == picture(1).size


@EACH
def test_training_reads_it(format: ImageFormat) -> None:
    encoded = encode(picture(1), format.pillow)
    assert preprocessing.decode(encoded).size == picture(1).size


def test_what_the_service_takes() -> None:
    assert taken() == "image/bmp, image/gif, image/jpeg, image/png, image/webp"
    assert [served()[each] for each in ("image/jpeg", "image/png")] == [JPEG, PNG]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("image/png", "image/png"),
        ("Image/PNG; charset=binary", "image/png"),
        ("image/jpg", "image/jpeg"),
        ("image/x-ms-bmp", "image/bmp"),
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
