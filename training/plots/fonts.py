"""Letters of all scripts in plots: texts of a figure → installed fonts that have their letters.

    figure → the letters that DejaVu Sans lacks → installed fonts that draw them → each text's fonts

Letters that no installed font draws are written as their numbers, and a line on the standard
error says so, once. Emoji have no colours; a font with their outlines is used if there is one.
"""

import sys
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from matplotlib import font_manager, rc_context
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

USUAL = "DejaVu Sans"  # comes with matplotlib
_REGULAR = 400  # weight
_CJK = ("cjk", "hiragana", "katakana", "hangul")  # first words of the names of letters
_BOXES = "Last Resort"  # of matplotlib: a font that has a box for each letter
_ROOM = " \n"  # needs no glyph
_LEFT_OUT = {"\u200d", "\ufe0e", "\ufe0f"}  # join emoji, or choose their colours


@contextmanager
def used_by(figure: Figure) -> Iterator[None]:
    """Draw the figure inside: its texts get fonts that have their letters."""
    texts: list[Any] = figure.findobj(Text)
    axes = [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]
    ticks = {axis: [label.get_text() for label in axis.get_ticklabels()] for axis in axes}
    contents = [text.get_text() for text in texts] + ["".join(each) for each in ticks.values()]
    families = fonts_of(frozenset("".join(contents)))
    for text in texts:
        text.set(text=written(text.get_text(), families), fontfamily=families)
    for axis, labels in ticks.items():  # which are written anew when they are drawn
        changed = [written(label, families) for label in labels]
        if changed != labels:
            axis.set_ticks(axis.get_ticklocs(), changed)
        axis.set_tick_params(which="both", labelfontfamily=families)
    with rc_context({"font.family": list(families)}):
        yield


@cache
def fonts_of(letters: frozenset[str]) -> tuple[str, ...]:
    """The names of fonts that together have these letters, as far as any has; first the usual."""
    missing = _visible(letters) - drawn_by(USUAL)
    families = [USUAL]
    while missing:
        best = max(installed(), key=lambda name: _merit(name, missing))
        if not missing & drawn_by(best):
            say_missing(missing)
            break
        families.append(best)
        missing -= drawn_by(best)
    return tuple(families)


def written(text: str, families: Iterable[str]) -> str:
    """The text, with the numbers of letters that none of the fonts has: `\\u8681`."""
    drawn = frozenset().union(*map(drawn_by, families))
    return "".join(
        letter if letter in drawn or letter in _ROOM else letter.encode("unicode_escape").decode()
        for letter in text
        if letter not in _LEFT_OUT
    )


@cache
def drawn_by(family: str) -> frozenset[str]:
    """The letters of which the regular font of that name has outlines."""
    font = _opened(installed()[family])
    return frozenset(map(chr, font.get_charmap())) if font is not None else frozenset()


@cache
def installed() -> Mapping[str, str]:
    """The regular fonts, name to path: also those installed after matplotlib made its own list."""
    manager = font_manager.fontManager
    known = {font.fname for font in manager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            with suppress(OSError, RuntimeError):  # a format that matplotlib does not read
                manager.addfont(path)
    return {
        font.name: font.fname
        for font in sorted(manager.ttflist, key=lambda font: font.name)
        if (font.weight, font.style, font.stretch) == (_REGULAR, "normal", "normal")
        and not font.name.startswith(_BOXES)
    }


def _merit(name: str, missing: frozenset[str]) -> tuple[int, bool, bool]:
    """How many of the letters the font has; of equal ones, without serifs is better.

    Of fonts for Chinese, Japanese and Korean, that of the language: with kana it is Japanese.
    """
    has_kana = any("\u3040" <= letter <= "\u30ff" for letter in missing)
    return len(missing & drawn_by(name)), "Sans" in name, name.endswith("JP" if has_kana else "SC")


def _opened(path: str) -> FT2Font | None:
    """The font, or None for one whose glyphs are pictures, as of colour emoji."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            font = FT2Font(path)
            font.set_size(12, 72)
            has_outlines = any(
                font.load_char(code).width for code in list(font.get_charmap())[-50:]
            )
        except (OSError, RuntimeError):
            return None
    return font if has_outlines else None


def _visible(letters: Iterable[str]) -> frozenset[str]:
    drawn = (letter for letter in letters if letter.isprintable())
    return frozenset(drawn) - _LEFT_OUT - set(_ROOM)


@cache
def say_missing(letters: frozenset[str]) -> None:
    """A line on the standard error, once for these letters."""
    shown = " ".join(sorted(letters)[:10])
    name = unicodedata.name(min(letters), "").partition(" ")[0].lower()
    package = "fonts-noto-cjk" if name in _CJK else "fonts-noto"
    if "\U0001f000" < min(letters) < "\U0001fb00":  # emoji, of which fonts-noto has colours only
        package = "fonts-symbola"
    sys.stderr.write(
        f"no installed font has the letters {shown}; plots show their numbers instead; "
        f"install one, with 'apt install {package}' for example\n"
    )
