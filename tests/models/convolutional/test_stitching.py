"""A dense map is put together from those of shifted images."""

import pytest
import torch
from torch import Tensor

from models.architectures import registry
from models.convolutional import stitching
from models.convolutional.form import Form, form_of
from tests.models.convolutional import odd_networks
from tests.models.convolutional.odd_networks import SHAPE, built


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def padded() -> Form:
    """Of a stride of 8, with padding."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = registry.architecture("convnet").build(3, widths=[4, 4, 4]).eval()
    return form_of(network, noise(1, 3, 32, 32))


@pytest.mark.parametrize("step", [(1, 1), (2, 4), (8, 8)])
@pytest.mark.parametrize("size", [(32, 32), (40, 48), (45, 33), (61, 52)])
def test_it_is_that_of_shifted_images_one_by_one(
    padded: Form, step: tuple[int, int], size: tuple[int, int]
) -> None:
    image = noise(1, 3, *size)
    found = stitching.stitched(padded, image, step)
    rows, columns = (size[0] - 32) // step[0] + 1, (size[1] - 32) // step[1] + 1
    assert found.shape == (3, rows, columns)
    assert stitching.places(padded, size, step) == (rows, columns)
    for row in range(rows):
        for column in range(columns):
            top, left = row * step[0] % 8, column * step[1] % 8
            height, width = (size[0] - 32 - top) // 8 * 8 + 32, (size[1] - 32 - left) // 8 * 8 + 32
            if row * step[0] >= 8 or column * step[1] >= 8:
                continue  # of the same shifted image
            shifted = padded(image[:, :, top : top + height, left : left + width])[0]
            torch.testing.assert_close(
                found[:, row :: 8 // step[0], column :: 8 // step[1]], shifted
            )


def test_without_padding_each_place_is_the_answer_for_its_crop() -> None:
    network = built(odd_networks.FlattensByRows)
    form = form_of(network, noise(*SHAPE))
    image = noise(1, 3, 19, 21)
    found = stitching.stitched(form, image, (1, 1))
    assert found.shape == (5, 4, 6)
    for row in range(4):
        for column in range(6):
            crop = image[:, :, row : row + 16, column : column + 16]
            with torch.inference_mode():
                torch.testing.assert_close(found[:, row, column], network(crop)[0])


def test_steps_divide_the_stride(padded: Form) -> None:
    assert stitching.steps(padded) == [(1, 1), (2, 2), (4, 4), (8, 8)]
    nearest = [stitching.nearest(padded, pixels) for pixels in (1, 3, 7, 8, 4096)]
    assert nearest == [(1, 1), (2, 2), (4, 4), (8, 8), (8, 8)]


def test_the_cost_is_that_of_all_shifted_images(padded: Form) -> None:
    once = padded.multiply_adds(32, 32)
    assert stitching.multiply_adds(padded, (32, 32), (1, 1)) == once
    assert stitching.multiply_adds(padded, (39, 39), (4, 4)) == 4 * once
    assert stitching.multiply_adds(padded, (40, 32), (8, 8)) == padded.multiply_adds(40, 32)


def test_an_image_below_the_window_is_refused(padded: Form) -> None:
    with pytest.raises(ValueError, match="smaller than the window"):
        stitching.stitched(padded, noise(1, 3, 31, 40), (8, 8))


def test_values_lie_in_the_middle_of_their_windows() -> None:
    values = torch.tensor([[0.0, 4.0]])
    found = stitching.upsampled(values, (3, 3), (1, 4), (3, 7))
    # middles of the windows are the columns 1 and 5
    torch.testing.assert_close(found, torch.tensor([[0.0, 0, 1, 2, 3, 4, 4]]).expand(3, 7))
