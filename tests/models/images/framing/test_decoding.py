"""A card's `framing`, as `models.images.decoding` and `models.preprocessing` follow it."""

import marshal
import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from models.images import scaling
from models.images.decoding import read, read_small
from models.images.framing import RULES
from models.images.scaling import Frame
from models.preprocessing import FramingRule, InputSpec
from tests.models.images.framing.pictures import laid, likeness, seven
from training.data import datasets
from training.recipes.catalogue import recipe

DIGITS = FramingRule.model_validate(RULES["digits"]._asdict())
SPEC = InputSpec(channels=1, height=28, width=28, framing=DIGITS)
PLAIN = InputSpec(channels=1, height=28, width=28)
DATA = Path(os.environ.get("FANLIGHT_DATA", "data"))


def png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_framed_picture_is_left_as_it_is() -> None:
    for side in (28, 56):
        encoded = png(seven(side))
        assert np.array_equal(read(encoded, SPEC), read(encoded, PLAIN))
    small = read_small(png(seven()), SPEC)
    assert small is not None
    assert np.array_equal(small[0], np.asarray(seven()))


def test_the_negative_of_a_framed_picture_is_inverted() -> None:
    negative = Image.eval(seven(), lambda value: 255 - value)
    for picture in (negative, negative.convert("RGB")):
        found = read_small(png(picture), SPEC)
        assert found is not None
        assert np.array_equal(found[0], np.asarray(seven()))


def test_the_short_way_leaves_the_rest_to_the_long_one() -> None:
    encoded = png(laid((100, 80), (50, 20), 40, 0, 255))
    assert read_small(encoded, SPEC) is None
    assert likeness(read(encoded, SPEC), seven()) > 0.9
    assert read_small(encoded, PLAIN) is not None


def test_every_way_gives_the_same() -> None:
    picture = laid((400, 300), (210, 40), 150, (20, 20, 90), (240, 240, 230))
    array = SPEC.array(picture)
    assert np.array_equal(array, read(png(picture), SPEC))
    assert np.array_equal(array, read(png(picture), Frame.of(SPEC)))
    assert np.array_equal(array, SPEC.pixels(picture).numpy())


def test_three_channels_get_the_same_grey() -> None:
    spec = InputSpec(channels=3, height=32, width=32, framing=DIGITS)
    found = spec.array(laid((100, 80), (50, 20), 40, 0, 255))
    assert found.shape == (3, 32, 32)
    assert np.array_equal(found[0], found[2])


def test_a_large_jpeg_keeps_a_small_subject() -> None:
    buffer = BytesIO()
    laid((2400, 1800), (300, 900), 220, 10, 250).save(buffer, "JPEG", quality=90)
    assert likeness(read(buffer.getvalue(), SPEC), seven()) > 0.9


def test_the_box_is_around_the_subject() -> None:
    pixels, box = scaling.scaled_with_box(laid((300, 200), (150, 60), 100, 0, 255), SPEC)
    assert likeness(pixels, seven()) > 0.9
    assert box == pytest.approx((150, 60, 250, 160), abs=4)


def test_where_nothing_is_found_the_picture_is_scaled_as_it_is() -> None:
    blank = Image.new("L", (300, 200), 200)
    pixels, box = scaling.scaled_with_box(blank, SPEC)
    assert np.array_equal(pixels, PLAIN.array(blank))
    assert box == PLAIN.box(blank.size)


def test_the_frame_crosses_to_another_process() -> None:
    for spec in (SPEC, PLAIN):
        frame = Frame.of(spec)
        assert Frame.unpacked(marshal.loads(marshal.dumps(frame.packed))) == frame  # noqa: S302


def test_cards_without_the_field_are_as_before() -> None:
    before = {"channels": 1, "height": 28, "width": 28, "resize": "crop"}
    spec = InputSpec.model_validate(before)
    assert spec.framing is None
    assert spec.rule is None
    negative = laid((100, 80), (50, 20), 40, 0, 255)
    wanted = np.asarray(
        negative.resize((28, 28), Image.Resampling.BILINEAR, box=(10.0, 0.0, 90.0, 80.0))
    )
    assert np.array_equal(spec.array(negative)[0], wanted)


def test_a_card_states_the_rule() -> None:
    again = InputSpec.model_validate_json(SPEC.model_dump_json())
    assert again == SPEC
    assert again.rule == RULES["digits"]
    with pytest.raises(ValidationError):
        InputSpec.model_validate(SPEC.model_dump() | {"framing": {"subject": "cats", "fill": 1}})


@pytest.mark.parametrize("name", RULES)
def test_recipes_name_the_rule(name: str) -> None:

    spec = replace(recipe("mnist"), framing=name).input  # type: ignore[arg-type]
    assert spec.rule == RULES[name]
    assert recipe("mnist-cnn").input.framing is None


@pytest.mark.parametrize(
    ("data_set", "folder", "name"),
    [("mnist", "MNIST", "digits"), ("fashion-mnist", "FashionMNIST", "clothes")],
)
def test_images_of_the_data_set_are_left_as_they_are(data_set: str, folder: str, name: str) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip(f"FANLIGHT_DATA names no folder with {folder}")
    rule = FramingRule.model_validate(RULES[name]._asdict())
    spec = PLAIN.model_copy(update={"framing": rule})
    stored = datasets.load(data_set, "test", DATA, PLAIN).in_memory.numpy()
    framed = datasets.load(data_set, "test", DATA, spec).in_memory.numpy()
    changed = int((stored != framed).any((1, 2, 3)).sum())
    assert changed <= 0.0005 * len(stored)
