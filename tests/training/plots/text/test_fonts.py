"""Letters of all scripts: fonts that have them, or a line that says which letters none has."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from training.plots import figures
from training.plots.text import fonts
from training.plots.text.lettering import lettering, short


def make_font(path: Path, name: str, letters: str, *, outlines: bool = True) -> Path:
    """A font whose letters are all squares, or nothing at all."""
    pen = TTGlyphPen(None)
    if outlines:
        for move, point in zip(
            (pen.moveTo, pen.lineTo, pen.lineTo, pen.lineTo),
            ((100, 0), (900, 0), (900, 800), (100, 800)),
            strict=True,
        ):
            move(point)
        pen.closePath()
    glyph = pen.glyph()
    names = [".notdef", *(f"letter{number}" for number in range(len(letters)))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, letters), names[1:], strict=True)))
    builder.setupGlyf(dict.fromkeys(names, glyph))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The fonts of the system are those in this list."""
    paths: list[Path] = []
    manager = font_manager.fontManager
    usual = [font for font in manager.ttflist if font.name.startswith("DejaVu")]
    monkeypatch.setattr(manager, "ttflist", usual)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(map(str, paths)))
    forget()
    yield paths
    forget()


def forget() -> None:
    """Look for fonts anew."""
    for function in (fonts.fonts_of, fonts.drawn_by, fonts.drawn_by_all, fonts.installed):
        function.cache_clear()
    fonts.named.clear()


def drawn(*labels: str) -> Image.Image:
    with lettering(*labels):
        figure = Figure(layout="constrained")
        figures.heading(figure, labels[0])
        axes = figure.subplots()
        texts = [short(label, 2.0, "medium") for label in labels]
        axes.set_xticks(range(len(labels)), texts, rotation=45)
        axes.text(0.5, 0.5, texts[-1])
        return Image.open(io.BytesIO(figures.png(figure)))


def written(text: str) -> str:
    with lettering(text):
        return short(text, 9.0, "medium")


def test_latin_needs_no_other_font(only: list[Path]) -> None:
    assert fonts.fonts_of(frozenset("Größe, café, муравей ±1")) == (fonts.USUAL,)


def test_fonts_that_have_the_letters_are_found(only: list[Path], tmp_path: Path) -> None:
    """Also two, and those that were installed after matplotlib had made its list."""
    only.append(make_font(tmp_path / "a.ttf", "Ants", "蚂蚁"))
    only.append(make_font(tmp_path / "b.ttf", "Bees", "蜜蜂"))
    assert set(fonts.fonts_of(frozenset("蚂蚁 und 蜜蜂"))) == {fonts.USUAL, "Ants", "Bees"}


def test_plots_are_drawn_without_a_warning(
    only: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning would be an error here."""
    only.append(make_font(tmp_path / "a.ttf", "Ants", "蚂蚁"))
    assert drawn("蚂蚁", "ant").size == drawn("ab", "ant").size
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("letters", "name"), [("蚂蚁", "Words SC"), ("蜂とハチ", "Words JP"), ("개미", "Words SC")]
)
def test_of_alike_fonts_that_of_the_language_is_taken(
    only: list[Path], tmp_path: Path, letters: str, name: str
) -> None:
    for each in ("Words HK", "Words JP", "Words SC", "Words TC"):
        only.append(make_font(tmp_path / f"{each}.ttf", each, letters))
    assert fonts.fonts_of(frozenset(letters)) == (fonts.USUAL, name)


def test_without_a_font_numbers_are_drawn_and_a_line_says_so(
    only: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        drawn("蚂蚁", "ant")
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "apt install fonts-noto-cjk" in error
    assert written("ant 蚁") == r"ant \u8681"


def test_each_missing_letter_is_named_once(
    only: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("蚂蚁", "蚁", "蚂蜂"):
        drawn(label)
    first, second = capsys.readouterr().err.splitlines()
    assert "the letters 蚁 蚂;" in first
    assert "the letters 蜂;" in second


def test_the_line_counts_what_it_does_not_name_and_tells_every_package(
    only: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fonts.fonts_of(frozenset("蚂蚁蜜蜂一二三四五六七" + "ක" + "🐜"))
    line = capsys.readouterr().err
    assert "and 3 more; plots show" in line
    assert "apt install fonts-noto fonts-noto-cjk fonts-symbola'" in line


@pytest.mark.parametrize("text", ["\ue000", "a\u200bb", "\u202e", "\U000f0000", "\udcff"])
def test_letters_that_no_font_can_draw_are_not_asked_for(
    only: list[Path], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "\\" in written(text)
    assert capsys.readouterr().err == ""


def test_a_letter_that_this_python_does_not_know_is_drawn(only: list[Path], tmp_path: Path) -> None:
    only.append(make_font(tmp_path / "a.ttf", "New", "\U0003fff0"))
    assert written("\U0003fff0") == "\U0003fff0"


def test_a_font_without_outlines_draws_nothing(only: list[Path], tmp_path: Path) -> None:
    """As fonts of coloured emoji: what they have are pictures."""
    only.append(make_font(tmp_path / "a.ttf", "Colours", "🐜🐝", outlines=False))
    assert fonts.fonts_of(frozenset("🐜")) == (fonts.USUAL,)
    assert written("🐜") == r"\U0001f41c"


@pytest.mark.parametrize("label", ["$x_1$", r"\frac{1}{2}", "50 %", "a_b^c", "{", "$"])
def test_formulas_are_drawn_as_they_are(only: list[Path], label: str) -> None:
    assert written(label) == label
    drawn(label)
