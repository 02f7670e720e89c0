"""Whatever the picture, the subject lies as in the training images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from models.images import framing
from models.images.framing import RULES
from tests.models.images.framing.pictures import SIDE, Shade, laid, likeness, seven

DIGITS, CLOTHES, DRAWINGS = RULES["digits"], RULES["clothes"], RULES["drawings"]
WHITE = (255, 255, 255)


def photographed(picture: Image.Image) -> Image.Image:
    """Uneven light, blur and noise."""
    width, height = picture.size
    levels = np.asarray(picture.convert("RGB").filter(ImageFilter.GaussianBlur(1)), float)
    light = np.linspace(1, 0.6, width) * np.linspace(1, 0.8, height)[:, None]
    noise = np.random.default_rng(0).normal(0, 4, levels.shape)
    return Image.fromarray((levels * light[..., None] + noise).clip(0, 255).astype(np.uint8))


def squared(size: tuple[int, int]) -> Image.Image:
    sheet = Image.new("RGB", size, (245, 245, 240))
    pen = ImageDraw.Draw(sheet)
    for x in range(7, size[0], 20):
        pen.line((x, 0, x, size[1]), fill=(180, 200, 230))
    for y in range(3, size[1], 20):
        pen.line((0, y, size[0], y), fill=(180, 200, 230))
    return sheet


def on(
    sheet: Image.Image, corner: tuple[int, int], side: int, ink: tuple[int, int, int]
) -> Image.Image:
    sheet.paste(ink, (*corner, corner[0] + side, corner[1] + side), seven(side))
    return sheet


def on_a_table(sheet: tuple[int, int, int, int] = (40, 30, 370, 280)) -> Image.Image:
    table = Image.new("RGB", (400, 300), (90, 60, 40))
    table.paste((235, 235, 230), sheet)
    return on(table, (200, 80), 120, (30, 30, 60))


TAKEN = {
    "dark on light": laid((200, 200), (0, 0), 200, 0, 255),
    "a third of the sheet, light on black": laid((300, 300), (20, 170), 100, 255, 0),
    "portrait sheet, near the top": laid((240, 400), (70, 0), 150, 20, 255),
    "panorama": laid((900, 150), (700, 10), 130, 30, 240),
    "small on a large sheet": laid((1000, 1000), (710, 120), 90, 0, 255),
    "faint pencil": laid((300, 400), (90, 150), 120, 190, 225),
    "chalk": laid((300, 300), (90, 60), 150, (220, 220, 190), (30, 60, 45)),
    "yellow on white": laid((300, 300), (90, 60), 150, (250, 230, 40), WHITE),
    "red on green of the same lightness": laid(
        (300, 300), (90, 60), 150, (200, 40, 40), (60, 115, 60)
    ),
    "photographed": photographed(laid((400, 300), (200, 60), 160, (40, 40, 60), (230, 225, 215))),
    "squared paper": on(squared((400, 300)), (120, 60), 170, (200, 30, 40)),
    "squared paper, photographed": photographed(
        on(squared((400, 300)), (120, 60), 170, (20, 90, 40))
    ),
    "the table in view": on_a_table(),
    "mostly the table": on_a_table((170, 50, 350, 230)),
    "cut at the edge of the frame": laid((200, 150), (60, -6), 140, 0, 255),
}


@pytest.mark.parametrize("picture", TAKEN.values(), ids=TAKEN.keys())
def test_strokes_lie_as_in_the_training_images(picture: Image.Image) -> None:
    found = framing.framed(picture, DIGITS, (SIDE, SIDE))
    assert found is not None
    assert likeness(found.pixels, seven()) > 0.93


@pytest.mark.parametrize("picture", TAKEN.values(), ids=TAKEN.keys())
def test_the_box_is_the_part_that_is_shown(picture: Image.Image) -> None:
    """What lies in the box of the picture, scaled, is the same drawing, light or dark."""
    found = framing.framed(picture, DIGITS, (SIDE, SIDE))
    assert found is not None
    left, top, right, bottom = found.box
    assert right - left == pytest.approx(bottom - top)
    again = framing.framed(picture.crop(found.box), DIGITS, (SIDE, SIDE))
    assert again is not None
    assert likeness(found.pixels, Image.fromarray(again.pixels)) > 0.85 or min(found.box) < 0


@pytest.mark.parametrize("width", [3, 12, 40])
@pytest.mark.parametrize("ground", [0, 235])
def test_a_ring_is_no_sheet(width: int, ground: int) -> None:
    sheet = Image.new("L", (300, 240), ground)
    ImageDraw.Draw(sheet).ellipse((60, 30, 240, 200), outline=abs(230 - ground), width=width)
    found = framing.framed(sheet, DRAWINGS, (64, 64))
    assert found is not None
    assert found.pixels[28:36, 28:36].max() == 0
    rows, columns = np.nonzero(found.pixels > 60)
    angles = np.degrees(np.arctan2(rows - 31.5, columns - 31.5)) // 30
    assert len(set(angles.tolist())) == 12


def test_the_place_is_that_of_the_data_set() -> None:
    """The longer side is 20 pixels of 28, and the centre of mass in pixel 14."""
    found = framing.framed(TAKEN["small on a large sheet"], DIGITS, (SIDE, SIDE))
    assert found is not None
    rows = np.flatnonzero((found.pixels > 30).any(1))
    assert rows[-1] - rows[0] + 1 in (19, 20, 21)
    levels = found.pixels.astype(float)
    assert (levels.sum(1) @ np.arange(28)) / levels.sum() == pytest.approx(14, abs=0.3)
    assert (levels.sum(0) @ np.arange(28)) / levels.sum() == pytest.approx(14, abs=0.3)


@pytest.mark.parametrize("shade", [0, 90, 255])
def test_nothing_is_found_where_nothing_is(shade: int) -> None:
    for rule in RULES.values():
        assert framing.framed(Image.new("L", (200, 120), shade), rule, (SIDE, SIDE)) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3), (15, 900), (3000, 7)])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_any_shape_is_taken(size: tuple[int, int], rule: framing.Rule) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    for picture in (Image.fromarray(noise), Image.fromarray(noise[..., 0])):
        found = framing.framed(picture, rule, (SIDE, SIDE))
        assert found is None or found.pixels.shape == (SIDE, SIDE)


def test_an_input_that_is_not_square_keeps_the_proportions() -> None:
    found = framing.framed(TAKEN["dark on light"], DIGITS, (56, 28))
    assert found is not None
    assert found.pixels.shape == (28, 56)
    assert likeness(found.pixels[:, 14:42], seven()) > 0.85


class TestObjects:
    def shirt(self, side: int) -> Image.Image:
        """Light on black as in FashionMNIST, with a dark stripe."""
        large = Image.new("L", (28, 28))
        pen = ImageDraw.Draw(large)
        pen.polygon(
            [(4, 1), (23, 1), (27, 8), (21, 10), (21, 26), (6, 26), (6, 10), (0, 8)], fill=200
        )
        pen.rectangle((6, 13, 21, 16), fill=90)
        return large.resize((side, side), Image.Resampling.BICUBIC)

    def laid(
        self, size: tuple[int, int], corner: tuple[int, int], side: int, ground: Shade
    ) -> Image.Image:
        """A photograph of it: the negative, on a ground."""
        sheet = Image.new("RGB", size, ground)
        shirt = self.shirt(side)
        negative = Image.eval(shirt, lambda value: 255 - value)
        sheet.paste(
            negative.convert("RGB"), corner, shirt.point(lambda value: 255 if value > 30 else 0)
        )
        return sheet

    @pytest.mark.parametrize("ground", [WHITE, (246, 246, 246), (150, 110, 75), (190, 190, 200)])
    @pytest.mark.parametrize("place", [((300, 300), (0, 0), 300), ((500, 400), (200, 90), 260)])
    def test_shades_are_those_of_a_negative(
        self, ground: Shade, place: tuple[tuple[int, int], tuple[int, int], int]
    ) -> None:
        found = framing.framed(self.laid(*place, ground), CLOTHES, (SIDE, SIDE))
        assert found is not None
        assert likeness(found.pixels, self.shirt(SIDE)) > 0.9

    def test_light_on_black_stays_so(self) -> None:
        sheet = Image.new("L", (300, 300))
        sheet.paste(self.shirt(100), (30, 150))
        found = framing.framed(sheet, CLOTHES, (SIDE, SIDE))
        assert found is not None
        assert likeness(found.pixels, self.shirt(SIDE)) > 0.95
        assert abs(float(found.pixels[14:15, 10:18].mean()) - 90) < 30


class TestAlready:
    def test_what_is_framed_is_left(self) -> None:
        assert framing.already(np.asarray(seven()), DIGITS)
        assert framing.already(np.asarray(seven(112)), DIGITS)

    def test_what_lies_elsewhere_is_not(self) -> None:
        levels = np.asarray(seven())
        assert not framing.already(np.roll(levels, 3, 1), DIGITS)
        assert not framing.already(255 - levels, DIGITS)
        assert not framing.already(np.zeros((28, 28), np.uint8), DIGITS)
        assert not framing.already(np.asarray(laid((28, 28), (9, 9), 10, 255, 0)), DIGITS)
        assert not framing.already(levels[:, 4:], DIGITS)

    def test_clothes_of_the_data_set_are(self) -> None:
        files = sorted((Path(__file__).parents[3] / "data" / "fashion-mnist").glob("*.png"))
        assert len(files) == 10
        assert all(framing.already(np.asarray(Image.open(file)), CLOTHES) for file in files)


def letters(count: int, size: tuple[int, int] = (600, 400)) -> Image.Image:
    """So many bars in rows, as the letters of a text lie."""
    sheet = Image.new("L", size, 250)
    pen = ImageDraw.Draw(sheet)
    for number in range(count):
        x, y = 40 + number % 12 * 45, 40 + number // 12 * 60
        pen.line((x, y, x + 10, y + 30), fill=20, width=6)
    return sheet


@pytest.mark.parametrize("count", [12, 24, 60])
def test_a_text_is_no_subject(count: int) -> None:
    """Its block would become one stroke: mnist was sure that a page is a 1."""
    assert framing.framed(letters(count), DIGITS, (28, 28)) is None


def test_a_subject_may_have_several_strokes() -> None:
    sheet = Image.new("L", (400, 400), 250)
    pen = ImageDraw.Draw(sheet)
    for start in range(0, 360, 60):  # a circle that is drawn in six arcs
        pen.arc((120, 120, 280, 280), start, start + 40, fill=20, width=10)
    assert framing.framed(sheet, DRAWINGS, (64, 64)) is not None
