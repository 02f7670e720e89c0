"""A picture of any kind becomes the pixels, and the numbers, that a network was trained on."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from models.preprocessing import InputSpec, decode, read
from tests.models.pictures import BLUE, GREEN, RED, beside, levels, plain, spec
from tests.networks import encode, picture


class TestPixels:
    @pytest.mark.parametrize("resize", ["crop", "stretch"])
    def test_a_picture_of_the_right_size_goes_through_unchanged(self, resize: str) -> None:
        image = picture(0, (12, 10))
        pixels = spec(3, height=10, width=12, resize=resize).pixels(decode(encode(image)))
        assert pixels.dtype == torch.uint8
        assert pixels.shape == (3, 10, 12)
        assert (pixels.permute(1, 2, 0).numpy() == levels(image)).all()

    def test_so_does_a_grey_one(self) -> None:
        image = picture(0).convert("L")
        pixels = spec(1).pixels(decode(encode(image)))
        assert pixels.shape == (1, 8, 8)
        assert (pixels[0].numpy() == levels(image)).all()

    def test_grey_becomes_three_equal_channels_and_back(self) -> None:
        image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
        colored = spec(3, 16, 16).pixels(image)
        assert (colored.numpy() == levels(image)).all()
        again = spec(1, 16, 16).pixels(Image.fromarray(colored.permute(1, 2, 0).numpy()))
        assert (again[0].numpy() == levels(image)).all()

    def test_colors_become_grey_by_their_brightness(self) -> None:
        red, green, blue = (
            int(spec(1).pixels(plain((8, 8), color))[0, 0, 0]) for color in (RED, GREEN, BLUE)
        )
        assert (red, green, blue) == (76, 150, 29)  # 0.299, 0.587 and 0.114 of 255

    @pytest.mark.parametrize("resize", ["crop", "stretch"])
    def test_downscaling_is_antialiased(self, resize: str) -> None:
        board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
        pixels = spec(1, resize=resize).pixels(Image.fromarray(board)).int()
        assert (pixels - 127).abs().max() <= 2

    def test_crop_takes_the_centre(self) -> None:
        image = beside(*(plain((8, 8), color) for color in (RED, GREEN, BLUE)))
        across = spec().pixels(image).permute(1, 2, 0)
        down = spec().pixels(image.transpose(Image.Transpose.ROTATE_90)).permute(1, 2, 0)
        assert (across.numpy() == GREEN).all()
        assert (down.numpy() == GREEN).all()

    def test_stretch_shows_everything(self) -> None:
        image = beside(*(plain((8, 8), color) for color in (RED, GREEN, BLUE)))
        pixels = spec(resize="stretch").pixels(image)
        assert pixels[:, 4, 0].tolist() == list(RED)
        assert pixels[:, 4, 4].tolist() == list(GREEN)
        assert pixels[:, 4, 7].tolist() == list(BLUE)

    @pytest.mark.parametrize(("resize", "across", "down"), [("crop", 4, 4), ("stretch", 2, 4)])
    def test_crop_keeps_proportions_and_stretch_does_not(
        self, resize: str, across: int, down: int
    ) -> None:
        image = np.zeros((16, 32), dtype=np.uint8)
        image[4:12, 12:20] = 255
        bright = spec(1, resize=resize).pixels(Image.fromarray(image))[0] > 127
        assert (int(bright.any(0).sum()), int(bright.any(1).sum())) == (across, down)

    @given(*[st.integers(1, 130)] * 4, st.sampled_from(["crop", "stretch"]))
    @example(29, 22, 7, 5, "crop")
    @example(15, 20, 116, 116, "crop")
    @example(1, 4000, 32, 32, "crop")
    @settings(max_examples=200, deadline=None)
    def test_a_picture_of_any_size_fits(
        self, width: int, height: int, to_width: int, to_height: int, resize: str
    ) -> None:
        input = spec(1, height=to_height, width=to_width, resize=resize)
        pixels = input.pixels(plain((width, height), 77, "L"))
        assert pixels.shape == (1, to_height, to_width)
        assert (pixels == 77).all()


class TestResizeThenCrop:
    """`resize_size`: the shorter side is scaled to it, and the input is cut out of the centre."""

    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    @pytest.mark.parametrize(
        ("size", "resized"),
        [
            ((64, 48), (26, 20)),
            ((48, 64), (20, 26)),
            ((50, 50), (20, 20)),
            ((8, 9), (20, 22)),
            ((20, 20), (20, 20)),
            ((16, 12), (26, 20)),
        ],
    )
    def test_it_is_the_centre_of_the_resized_picture(
        self, size: tuple[int, int], resized: tuple[int, int], interpolation: str
    ) -> None:
        image = picture(1, (6, 5)).resize(size, Image.Resampling.BICUBIC)
        wanted = spec(3, 12, 16, resize_size=20, interpolation=interpolation)
        whole = image.resize(resized, Image.Resampling[interpolation.upper()])
        left, top = round((resized[0] - 16) / 2), round((resized[1] - 12) / 2)
        expected = levels(whole.crop((left, top, left + 16, top + 12))).astype(int)
        found = wanted.array(image).transpose(1, 2, 0)
        assert np.abs(found - expected).max() <= 2

    def test_a_picture_of_the_input_s_size_is_scaled_too(self) -> None:
        image = picture(0, (16, 16))
        wanted = spec(3, 16, 16, resize_size=20)
        assert (wanted.array(image) != spec(3, 16, 16).array(image)).any()
        assert (read(encode(image), wanted) == wanted.array(image)).all()  # by the fast way
        assert (read(encode(image.convert("L")), wanted) == wanted.array(image.convert("L"))).all()

    def test_of_the_very_size_nothing_is_scaled(self) -> None:
        wanted = spec(3, 16, 16, resize_size=16, interpolation="bicubic")
        image = picture(0, (16, 16))
        assert (wanted.array(image).transpose(1, 2, 0) == levels(image)).all()
        wide = beside(image, image, image)
        assert (wanted.array(wide).transpose(1, 2, 0) == levels(image)).all()

    @pytest.mark.parametrize(
        ("size", "box"),
        [
            ((40, 40), (4, 4, 36, 36)),
            ((80, 40), (24, 4, 56, 36)),
            ((40, 60), (4, 14, 36, 46)),
            ((10, 10), (1, 1, 9, 9)),
        ],
    )
    def test_the_part_that_it_is(
        self, size: tuple[int, int], box: tuple[float, float, float, float]
    ) -> None:
        assert spec(3, 16, 16, resize_size=20).box(size) == pytest.approx(box)

    def test_stretched_pictures_lose_their_edges_alike(self) -> None:
        wanted = spec(3, 16, 16, resize="stretch", resize_size=20)
        assert wanted.box((100, 40)) == pytest.approx((10, 4, 90, 36))
        assert spec(3, 16, 8, resize="stretch", resize_size=20).box((50, 40))[0] > 0

    def test_a_very_long_picture_takes_no_memory_for_what_is_cut_off(self) -> None:
        image = plain((60_000, 1), 77, "L")
        assert (spec(1, 224, 224, resize_size=256).array(image) == 77).all()

    @given(*[st.integers(1, 130)] * 2, st.integers(1, 60), st.integers(0, 20))
    @settings(max_examples=200, deadline=None)
    def test_a_picture_of_any_size_fits(
        self, width: int, height: int, side: int, more: int
    ) -> None:
        wanted = spec(1, side, side, resize_size=side + more)
        left, top, right, bottom = wanted.box((width, height))
        assert 0 <= left < right <= width + 1e-9
        assert 0 <= top < bottom <= height + 1e-9
        assert (wanted.array(plain((width, height), 77, "L")) == 77).all()

    def test_a_large_jpeg_is_decoded_large_enough(self) -> None:
        soft = picture(0, (16, 10)).resize((1280, 800), Image.Resampling.BICUBIC)
        encoded = encode(soft, "JPEG", quality=90)
        wanted = spec(3, 32, 32, resize_size=40)
        full = wanted.array(decode(encoded)).astype(int)
        assert np.abs(read(encoded, wanted) - full).mean() < 1

    def test_a_card_without_it_is_as_before(self) -> None:
        text = '{"channels":1,"height":8,"width":8,"resize":"crop","mean":[0.0],"std":[1.0]}'
        assert spec(1).model_dump_json(exclude_none=True) == text
        assert InputSpec.model_validate_json(text) == spec(1)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"resize_size": 7}, "resize_size 7 is below the size of the input, 8 × 8"),
            ({"resize_size": 0}, "greater than or equal to 1"),
            ({"resize_size": 10_000}, "less than or equal to 8192"),
            ({"interpolation": "nearest"}, "'bilinear' or 'bicubic'"),
        ],
    )
    def test_nonsense_is_refused(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            spec(**fields)


class TestNormalize:
    MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

    def batch(self) -> torch.Tensor:
        return torch.stack([spec().pixels(picture(seed)) for seed in range(4)])

    @pytest.mark.slow
    def test_the_formula(self) -> None:
        batch = self.batch()
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.MEAN, self.STD))
        normalized = spec(mean=self.MEAN, std=self.STD).normalize(batch)
        assert normalized.dtype == torch.float32
        torch.testing.assert_close(normalized, (batch / 255 - mean) / std)

    def test_without_statistics_pixels_lie_between_0_and_1(self) -> None:
        batch = self.batch()
        assert torch.equal(spec().normalize(batch), batch / 255)

    def test_the_pixels_themselves_stay(self) -> None:
        batch = self.batch()
        spec(mean=self.MEAN, std=self.STD).normalize(batch)
        assert torch.equal(batch, self.batch())

    @pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
    def test_the_memory_format_stays(self, format: torch.memory_format) -> None:
        batch = self.batch().contiguous(memory_format=format)
        assert spec().normalize(batch).is_contiguous(memory_format=format)

    @pytest.mark.gpu
    def test_a_batch_on_the_gpu_is_normalised_there(self) -> None:
        input = spec(mean=self.MEAN, std=self.STD)
        normalized = input.normalize(self.batch().cuda())
        assert normalized.is_cuda
        torch.testing.assert_close(normalized.cpu(), input.normalize(self.batch()))


class TestInputSpec:
    def test_absent_statistics_change_nothing(self) -> None:
        assert (spec(1).mean, spec(1).std) == ((0.0,), (1.0,))
        assert (spec(3).mean, spec(3).std) == ((0.0,) * 3, (1.0,) * 3)
        assert spec(1) == spec(1, mean=(0.0,), std=(1.0,))

    def test_shape(self) -> None:
        assert spec(3, height=5, width=7).shape == (3, 5, 7)

    def test_it_survives_json(self) -> None:
        input = spec(1, mean=(0.1307,), std=(0.3081,), resize="stretch")
        assert InputSpec.model_validate_json(input.model_dump_json()) == input

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"channels": 2}, "1 or 3"),
            ({"height": 0}, "greater than or equal to 1"),
            ({"width": 5000}, "less than or equal to 4096"),
            ({"resize": "pad"}, "'crop' or 'stretch'"),
            ({"mean": (0.5, 0.5)}, "mean has 2 values for 3 channels"),
            ({"std": (0.5,)}, "std has 1 values for 3 channels"),
            ({"std": (0.5, 0.0, 0.5)}, "std must be above 0"),
            ({"std": (0.5, -0.5, 0.5)}, "std must be above 0"),
            ({"std": (0.5, float("nan"), 0.5)}, "finite"),
            ({"mean": (float("inf"), 0.0, 0.0)}, "finite"),
            ({"colour": True}, "not permitted"),
        ],
    )
    def test_nonsense_is_refused(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            spec(**fields)
