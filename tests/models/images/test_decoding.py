"""Files of pictures of any kind → upright pictures in RGB."""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.preprocessing import ImageError, TooManyPixelsError, decode, read
from tests.models.pictures import (
    BLUE,
    GREEN,
    ORIENTATION,
    RED,
    WHITE,
    Levels,
    beside,
    levels,
    plain,
    spec,
)
from tests.networks import encode, picture, png_of_size


class TestDecode:
    @pytest.mark.parametrize(
        ("format", "options"),
        [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("TIFF", {})],
    )
    def test_lossless_formats_give_the_picture(self, format: str, options: dict[str, Any]) -> None:
        image = picture(0, (9, 7))
        decoded = decode(encode(image, format, **options))
        assert decoded.mode == "RGB"
        assert (levels(decoded) == levels(image)).all()

    @pytest.mark.parametrize("format", ["JPEG", "WEBP"])
    def test_lossy_formats_give_nearly_the_picture(self, format: str) -> None:
        decoded = decode(encode(plain((16, 16), (200, 100, 50)), format, quality=95))
        assert decoded.mode == "RGB"
        assert abs(levels(decoded).astype(int) - (200, 100, 50)).max() <= 3

    def test_formats_that_start_other_programs_are_not_tried(self) -> None:
        with pytest.raises(ImageError, match="not a picture of a known format"):
            decode(encode(picture(0), "EPS"))

    def test_grey_stays_grey(self) -> None:
        image = picture(0).convert("L")
        decoded = decode(encode(image))
        assert decoded.mode == "L"
        assert (levels(decoded) == levels(image)).all()

    @pytest.mark.parametrize(
        ("orientation", "turned"),
        [
            (1, lambda stored: stored),
            (2, lambda stored: stored[:, ::-1]),
            (3, lambda stored: stored[::-1, ::-1]),
            (4, lambda stored: stored[::-1]),
            (5, lambda stored: stored.swapaxes(0, 1)),
            (6, lambda stored: np.rot90(stored, -1)),
            (7, lambda stored: np.rot90(stored, 2).swapaxes(0, 1)),
            (8, lambda stored: np.rot90(stored, 1)),
        ],
    )
    def test_a_jpeg_is_turned_upright(
        self, orientation: int, turned: Callable[[Levels], Levels]
    ) -> None:
        image = picture(0, (16, 24))
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        stored = levels(decode(encode(image, "JPEG")))
        upright = levels(decode(encode(image, "JPEG", exif=exif)))
        assert upright.shape == turned(stored).shape
        assert (upright == turned(stored)).all()

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize(
        "exif",
        [
            b"no TIFF header",
            b"MM\x00\x2a",
            b"MM\x00\x2a\x00\x00\x00\x08\xff\xff",
            struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, ORIENTATION, 3, 1, 99, 0, 0),
        ],
        ids=["not EXIF", "no entries", "cut short", "no such orientation"],
    )
    def test_broken_exif_rejects_no_picture(self, exif: bytes, format: str) -> None:
        image = picture(0, (16, 24))
        decoded = decode(encode(image, format, exif=b"Exif\x00\x00" + exif))
        assert (levels(decoded) == levels(decode(encode(image, format)))).all()

    def test_an_orientation_counts_beside_broken_entries(self) -> None:
        broken = struct.pack(">HHII", 0x0100, 2, 6, 0)  # the width, as text
        turned = struct.pack(">HHIHH", ORIENTATION, 3, 1, 6, 0)
        header = struct.pack(">2sHIH", b"MM", 42, 8, 2)
        exif = b"Exif\x00\x00" + header + broken + turned + bytes(4)
        image = picture(0, (16, 24))
        upright = levels(decode(encode(image, "PNG", exif=exif)))
        assert upright.shape == (16, 24, 3)
        assert (upright == np.rot90(levels(image), -1)).all()

    @pytest.mark.parametrize(
        ("image", "expected"),
        [
            (plain((2, 2), (200, 0, 0, 0), "RGBA"), WHITE),
            (plain((2, 2), (200, 0, 0, 128), "RGBA"), (227, 127, 127)),
            (plain((2, 2), (200, 0, 0, 255), "RGBA"), (200, 0, 0)),
            (plain((2, 2), (0, 0), "LA"), WHITE),
            (plain((2, 2), (100, 128), "LA"), (177, 177, 177)),
            (plain((2, 2), (100, 255), "LA"), (100, 100, 100)),
        ],
        ids=["clear", "half", "opaque", "grey clear", "grey half", "grey opaque"],
    )
    def test_transparency_is_laid_on_white(
        self, image: Image.Image, expected: tuple[int, int, int]
    ) -> None:
        decoded = decode(encode(image))
        assert decoded.mode == "RGB"
        assert abs(levels(decoded).astype(int) - expected).max() <= 1

    @pytest.mark.parametrize("format", ["PNG", "GIF"])
    def test_a_transparent_entry_of_a_palette_is_laid_on_white(self, format: str) -> None:
        image = beside(plain((2, 2), 0, "L"), plain((2, 2), 1, "L")).convert("P")
        image.putpalette([*RED, *GREEN])
        decoded = decode(encode(image, format, transparency=0))
        assert decoded.mode == "RGB"
        assert (levels(decoded) == levels(beside(plain((2, 2), WHITE), plain((2, 2), GREEN)))).all()

    @pytest.mark.parametrize(
        ("image", "transparency"),
        [
            (beside(plain((2, 2), RED), plain((2, 2), GREEN)), RED),
            (beside(plain((2, 2), 7, "L"), plain((2, 2), 8, "L")), 7),
        ],
        ids=["RGB", "grey"],
    )
    def test_a_transparent_color_is_laid_on_white(
        self, image: Image.Image, transparency: tuple[int, int, int] | int
    ) -> None:
        decoded = levels(decode(encode(image, transparency=transparency)))
        assert (decoded[:, :2] == 255).all()
        assert (decoded[:, 2:] == levels(image.convert("RGB"))[:, 2:]).all()

    @pytest.mark.parametrize("format", ["PNG", "GIF", "BMP"])
    def test_a_palette_becomes_colors(self, format: str) -> None:
        colors = beside(*(plain((2, 2), color) for color in (RED, GREEN, BLUE)))
        decoded = decode(encode(colors.convert("P", palette=Image.Palette.ADAPTIVE), format))
        assert decoded.mode == "RGB"
        assert (levels(decoded) == levels(colors)).all()

    @pytest.mark.parametrize("format", ["PNG", "BMP"])
    def test_one_bit_becomes_black_and_white(self, format: str) -> None:
        image = beside(plain((8, 2), 0, "L"), plain((8, 2), 255, "L"))
        decoded = decode(encode(image.convert("1"), format))
        assert decoded.mode == "L"
        assert (levels(decoded) == levels(image)).all()

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_sixteen_bits_are_divided_not_clipped(self, format: str) -> None:
        sixteen = np.array([[0, 128, 129, 257, 300, 0x8080, 65_535]], dtype=np.uint16)
        decoded = decode(encode(Image.fromarray(sixteen), format))
        assert decoded.mode == "L"
        assert levels(decoded).tolist() == [[0, 0, 1, 1, 1, 128, 255]]

    def test_cmyk_becomes_rgb(self) -> None:
        image = plain((16, 16), (0, 255, 255, 0), "CMYK")
        decoded = decode(encode(image, "JPEG", quality=95))
        assert decoded.mode == "RGB"
        assert abs(levels(decoded).astype(int) - RED).max() <= 5

    def test_floating_point_pixels_are_refused(self) -> None:
        with pytest.raises(ImageError, match="floating-point"):
            decode(encode(plain((2, 2), 0, "F"), "TIFF"))

    @pytest.mark.parametrize(
        ("format", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})]
    )
    def test_an_animation_gives_its_first_frame(self, format: str, options: dict[str, Any]) -> None:
        frames = [plain((4, 4), color) for color in (RED, BLUE, GREEN)]
        moving = encode(
            frames[0], format, save_all=True, append_images=frames[1:], duration=50, **options
        )
        with Image.open(BytesIO(moving)) as opened:
            assert getattr(opened, "n_frames", 1) == 3
        assert (levels(decode(moving)) == RED).all()

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"no picture",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff\xe0",
            b"GIF89a",
            b"BM",
            b"%PDF-1.7",
        ],
        ids=["empty", "text", "png", "jpeg", "gif", "bmp", "pdf"],
    )
    def test_what_is_no_picture(self, content: bytes) -> None:
        with pytest.raises(ImageError):
            decode(content)

    def test_only_the_formats_asked_for_are_tried(self) -> None:
        content = encode(picture(0), "PNG")
        with pytest.raises(ImageError, match="not a picture of a known format"):
            decode(content, formats=("JPEG", "GIF"))
        assert decode(content, formats=("JPEG", "PNG")).size == (8, 8)

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize(
        ("format", "options"),
        [
            ("PNG", {}),
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("GIF", {}),
            ("WEBP", {}),
            ("BMP", {}),
        ],
    )
    def test_a_truncated_picture_is_never_taken_for_a_whole_one(
        self, format: str, options: dict[str, Any]
    ) -> None:
        content = encode(picture(0, (13, 9)), format, **options)
        whole = levels(decode(content))
        refused = 0
        for length in range(len(content)):
            try:
                decoded = levels(decode(content[:length]))
            except ImageError:
                refused += 1
            else:  # only bytes behind the last pixel are missing
                assert (decoded == whole).all()
        assert refused >= len(content) - 20

    def test_corrupt_pixels(self) -> None:
        content = bytearray(encode(picture(0, (32, 32))))
        middle = len(content) // 2
        content[middle : middle + 40] = bytes(40)
        with pytest.raises(ImageError, match="corrupt or truncated"):
            decode(bytes(content))

    @pytest.mark.parametrize(("width", "height"), [(1001, 1000), (12_000, 9_000), (60_000, 60_000)])
    def test_too_many_pixels_are_seen_in_the_header(self, width: int, height: int) -> None:
        with pytest.raises(TooManyPixelsError, match="1,000,000"):
            decode(png_of_size(width, height), max_pixels=1_000_000)

    def test_a_header_within_the_limit_lets_the_pixels_be_read(self) -> None:
        with pytest.raises(ImageError, match="corrupt or truncated"):
            decode(png_of_size(1000, 1000), max_pixels=1_000_000)
        assert decode(encode(picture(0, (10, 10))), max_pixels=100).size == (10, 10)

    def test_without_a_limit_pillows_own_holds(self) -> None:
        with pytest.raises(TooManyPixelsError):
            decode(png_of_size(60_000, 60_000))

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore")
    @given(
        format=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP"]),
        mode=st.sampled_from(["RGB", "L", "P", "1", "RGBA"]),
        edits=st.lists(st.tuples(st.integers(0, 2**12), st.binary(max_size=6)), max_size=6),
        cut=st.integers(0, 2**12),
    )
    @settings(max_examples=300, deadline=None)
    def test_damaged_files_decode_or_raise_image_errors(
        self, format: str, mode: str, edits: list[tuple[int, bytes]], cut: int
    ) -> None:
        image = picture(0, (7, 5)).convert("RGB" if (format, mode) == ("JPEG", "P") else mode)
        if (format, mode) == ("JPEG", "RGBA"):
            image = image.convert("CMYK")
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        options = {} if format in ("GIF", "BMP") else {"exif": exif}
        content = bytearray(encode(image, format, **options))
        for position, replacement in edits:
            position %= len(content)
            content[position : position + len(replacement)] = replacement
        content = content[: cut or None]
        try:
            decoded = decode(bytes(content), max_pixels=100_000)
        except ImageError:
            return
        assert decoded.mode in ("L", "RGB")


class TestScaledDecoding:
    def test_a_large_jpeg_is_decoded_at_a_part_of_its_size(self) -> None:
        encoded = encode(picture(0, (320, 200)), "JPEG")
        assert decode(encoded, at_least=25).size == (40, 25)
        assert decode(encoded, at_least=26).size == (80, 50)
        assert decode(encoded, at_least=101).size == (320, 200)

    @pytest.mark.parametrize("resize", ["crop", "stretch"])
    @pytest.mark.parametrize("orientation", [1, 6])
    def test_a_large_jpeg_is_nearly_what_it_is_in_full(self, resize: str, orientation: int) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        soft = picture(0, (16, 10)).resize((640, 400), Image.Resampling.BICUBIC)
        encoded = encode(soft, "JPEG", quality=90, exif=exif)
        wanted = spec(3, 20, 32, resize=resize)
        full = wanted.array(decode(encoded)).astype(int)
        assert np.abs(read(encoded, wanted) - full).mean() < 1
