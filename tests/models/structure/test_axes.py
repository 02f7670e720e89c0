"""What the axes of a layer's output mean, whatever their number."""

import pytest

from models.structure.axes import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    TOKENS,
    TURNED_TOKENS,
    Axes,
    AxesReader,
)

VALUES: Axes = ("value", "value", "value")


@pytest.fixture
def reader() -> AxesReader:
    return AxesReader((3, 32, 48))


@pytest.mark.parametrize("type", ["Conv2d", "BatchNorm2d", "MaxPool2d", "LayerNorm2d", "Conv"])
def test_what_works_on_maps_gives_channels_first(reader: AxesReader, type: str) -> None:
    axes = reader.axes(type, None, (3, 32, 48), (8, 16, 24))
    assert axes == CHANNELS_FIRST
    assert reader.maps(axes, (8, 16, 24)) == (8, 16, 24)


@pytest.mark.parametrize("type", ["Linear", "LayerNorm", "MultiheadAttention", "MatMul"])
def test_what_weighs_the_last_axis_gives_channels_last(reader: AxesReader, type: str) -> None:
    axes = reader.axes(type, None, (4, 6, 7), (4, 6, 7))
    assert axes == CHANNELS_LAST
    assert reader.maps(axes, (4, 6, 7)) == (7, 4, 6)


@pytest.mark.parametrize("type", ["GELU", "ReLU", "Sequential", "SomebodysBlock"])
def test_others_give_what_had_their_shape_last(reader: AxesReader, type: str) -> None:
    reader.axes("Conv2d", None, (3, 32, 48), (6, 4, 7))
    assert reader.axes(type, None, (6, 4, 7), (6, 4, 7)) == CHANNELS_FIRST
    reader.axes("Linear", None, (4, 6, 9), (4, 6, 7))
    assert reader.axes(type, None, (4, 6, 7), (4, 6, 7)) == CHANNELS_LAST


def test_what_turns_the_axes_is_followed(reader: AxesReader) -> None:
    reader.axes("Conv2d", None, (3, 32, 48), (7, 4, 6))
    assert reader.axes("Permute", [0, 2, 3, 1], (7, 4, 6), (4, 6, 7)) == CHANNELS_LAST
    assert reader.axes("Transpose", (0, 3, 1, 2), (4, 6, 7), (7, 4, 6)) == CHANNELS_FIRST


@pytest.mark.parametrize(
    "order",
    [None, 3, (), (0, 1), (1, 0, 2, 3), (0, -1, 1, 2), (0, 1, 1, 2), "0231", (0, 2, 3, 1, 4)],
)
def test_another_meaning_of_that_argument_is_left_alone(reader: AxesReader, order: object) -> None:
    reader.axes("Conv2d", None, (3, 32, 48), (7, 4, 6))
    assert reader.axes("Permute", order, (7, 4, 6), (4, 6, 7)) == CHANNELS_LAST  # by its pixels


@pytest.mark.parametrize("further", [0, 1, 5])
def test_tokens_are_the_pixels_of_the_patches(reader: AxesReader, further: int) -> None:
    reader.axes("Conv2d", None, (3, 32, 48), (7, 4, 6))
    axes = reader.axes("LayerNorm", None, (24 + further, 7), (24 + further, 7))
    assert axes == TOKENS
    assert reader.maps(axes, (24 + further, 7)) == (7, 4, 6)
    assert reader.maps(axes, (24 + further, 28)) == (28, 4, 6)  # inside of a block


@pytest.mark.parametrize("shape", [(24, 8), (23, 7), (60, 7)])
def test_other_matrices_are_no_maps(reader: AxesReader, shape: tuple[int, int]) -> None:
    reader.axes("Conv2d", None, (3, 32, 48), (7, 4, 6))
    assert reader.maps(reader.axes("Linear", None, shape, shape), shape) is None


@pytest.mark.parametrize(
    ("taken", "given", "axes"),
    [
        ((7, 4, 6), (9, 4, 6), CHANNELS_FIRST),  # as many pixels: a block of others' maps
        ((7, 4, 6), (7, 2, 3), CHANNELS_FIRST),  # pooled, by somebody's module
        ((7, 4, 6), (7, 4, 1), CHANNELS_FIRST),  # the same channels
        ((7, 4, 6), (4, 6, 9), CHANNELS_LAST),
        ((7, 5, 5), (7, 2, 3), CHANNELS_FIRST),  # behind a function
        ((24, 24), (3, 24, 24), VALUES),  # weights of attention
        ((3, 24, 24), (3, 24, 24), VALUES),
    ],
)
def test_a_new_shape_is_read_by_what_was_taken(
    reader: AxesReader, taken: tuple[int, ...], given: tuple[int, ...], axes: Axes
) -> None:
    reader.axes("Conv2d", None, (3, 32, 48), (7, 4, 6))
    reader.axes("LayerNorm", None, (24, 7), (24, 7))
    assert reader.axes("Softmax", None, taken, given) == axes


def test_what_mixes_tokens_gives_channels_first(reader: AxesReader) -> None:
    reader.axes("LayerNorm", None, (24, 7), (24, 7))
    assert reader.axes("Linear", None, (7, 24), (7, 99)) == TURNED_TOKENS
    assert reader.axes("GELU", None, (7, 99), (7, 99)) == TURNED_TOKENS
    assert reader.axes("Linear", None, (7, 99), (7, 24)) == TURNED_TOKENS
    assert reader.axes("Linear", None, (24, 7), (24, 99)) == TOKENS


def test_every_second_token_is_a_map_too(reader: AxesReader) -> None:
    reader.axes("Conv2d", None, (3, 32, 48), (7, 4, 6))
    assert reader.maps(reader.axes("Linear", None, (24, 7), (24, 7)), (24, 7)) == (7, 4, 6)
    assert reader.maps(reader.axes("Linear", None, (6, 7), (6, 9)), (6, 9)) == (9, 2, 3)


def test_parts_of_an_image_are_no_map(reader: AxesReader) -> None:
    assert reader.of_parts("Linear", (64, 49, 96)) == ("part", *TOKENS)
    assert reader.of_parts("Conv2d", (64, 9, 4, 4)) == ("part", *CHANNELS_FIRST)
    assert reader.of_parts("Softmax", (64, 3, 49, 49)) == ("part", "value", "value", "value")


def test_windows_and_their_pixels_are_no_map(reader: AxesReader) -> None:
    axes = reader.axes("Linear", None, (6, 49, 8), (6, 49, 8))
    assert reader.maps(axes, (6, 49, 8)) is None


@pytest.mark.parametrize("shape", [(8,), (8, 1, 1), (2, 2, 2, 2)])
def test_one_pixel_or_other_dimensions_are_no_map(
    reader: AxesReader, shape: tuple[int, ...]
) -> None:
    assert reader.maps(reader.axes("ReLU", None, shape, shape), shape) is None
