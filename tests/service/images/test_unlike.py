"""What an image is plainly unlike is told: here, that the network sees little of it."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from models.preprocessing import InputSpec
from service.images.encoded import EncodedImage
from service.images.unlike import Unlike
from tests.networks import SPEC, encode, publish_tiny

WIDE = InputSpec(channels=3, height=32, width=96)


def warnings(folder: Path, spec: InputSpec, image: bytes) -> list[str]:
    card = publish_tiny(folder, input=spec)
    file = EncodedImage(image, "", "")
    found = Unlike(card).warnings([file], [spec.array(Image.new("RGB", (9, 9)))], [False])
    return [] if found is None else found[0]


def saved(size: tuple[int, int], orientation: int = 1, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(Image.new("RGB", size), "JPEG", exif=exif.tobytes(), **options)


@pytest.mark.parametrize(
    ("stored", "orientation", "is_told"),
    [
        ((384, 128), 1, False),
        ((128, 384), 6, False),  # upright it has the shape of the input
        ((128, 384), 1, True),
        ((384, 128), 8, True),
        ((384, 128), 3, False),
    ],
)
def test_the_upright_image_counts(
    tmp_path: Path, stored: tuple[int, int], orientation: int, is_told: bool
) -> None:
    told = warnings(tmp_path, WIDE, saved(stored, orientation))
    assert bool(told) == is_told
    assert all("saw the middle 11 % of the image, of 128 × 384 pixels" in each for each in told)


def test_a_turned_panorama_is_told_upright(tmp_path: Path) -> None:
    [told] = warnings(tmp_path, SPEC, saved((400, 100), 6))
    assert "25 % of the image, of 100 × 400 pixels" in told


@pytest.mark.parametrize(("resize", "is_told"), [(None, False), (8, False), (16, True)])
def test_a_png_of_the_inputs_size_may_be_cut_after_it_was_scaled(
    tmp_path: Path, resize: int | None, is_told: bool
) -> None:
    spec = SPEC.model_copy(update={"resize_size": resize})
    assert bool(warnings(tmp_path, spec, encode(Image.new("RGB", (8, 8))))) == is_told
