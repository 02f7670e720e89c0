"""Letters of all scripts in plots: letters → the installed fonts that draw them.

    letters → those that DejaVu Sans lacks → installed fonts that have them → names of fonts

Letters that no installed font draws are written as their numbers, and a line on the standard
error names them, each letter once. Emoji have no colours; a font with their outlines is used if
there is one.
"""

import sys
import unicodedata
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from training.plots.text.graphemes import chooses_form, is_seen, number

USUAL = "DejaVu Sans"  # comes with matplotlib
_REGULAR = 400  # weight
_CJK = ("cjk", "hiragana", "katakana", "hangul")  # first words of the names of letters
_BOXES = "Last Resort"  # of matplotlib: a font that has a box for each letter
_MOST_SHOWN = 10  # letters that a line names

named: set[str] = set()  # the letters that were said to be missing


@cache
def fonts_of(letters: frozenset[str]) -> tuple[str, ...]:
    """Return the names of fonts that together draw these letters, `USUAL` first.

    Letters that no installed font draws are reported by `say_missing`.
    """
    visible = (letter for letter in letters if is_seen(letter) and not chooses_form(letter))
    missing = frozenset(visible) - drawn_by(USUAL)
    families = [USUAL]
    while missing:
        best = max(installed(), key=lambda name: _merit(name, missing))
        if not missing & drawn_by(best):
            say_missing(missing)
            break
        families.append(best)
        missing -= drawn_by(best)
    return tuple(families)


@cache
def drawn_by_all(families: tuple[str, ...]) -> frozenset[str]:
    """The letters that one of the fonts draws."""
    return frozenset().union(*map(drawn_by, families))


@cache
def drawn_by(family: str) -> frozenset[str]:
    """Return the letters for which the regular font of that name has outlines."""
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
    """Return a sort key for fonts: how many of the letters it has, then sans serif before serif.

    Last comes the variant for Chinese, Japanese and Korean: Japanese if there are kana, else
    Chinese.
    """
    has_kana = any("\u3040" <= letter <= "\u30ff" for letter in missing)
    return len(missing & drawn_by(name)), "Sans" in name, name.endswith("JP" if has_kana else "SC")


def _opened(path: str) -> FT2Font | None:
    """Open a font; return None if it can't be read, or its glyphs are pictures, as in colour
    emoji."""
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


def say_missing(letters: frozenset[str]) -> None:
    """Write to the standard error that fonts lack these letters; each letter is named once."""
    new = sorted(letters - named)
    if not new:
        return
    named.update(new)
    shown = " ".join(
        letter if letter.isprintable() else number(letter) for letter in new[:_MOST_SHOWN]
    )
    if len(new) > _MOST_SHOWN:
        shown += f" and {len(new) - _MOST_SHOWN:,} more"
    packages = " ".join(sorted({_package(letter) for letter in new}))
    sys.stderr.write(
        f"no installed font has the letters {shown}; plots show their numbers instead; "
        f"install fonts that have them, with 'apt install {packages}' for example\n"
    )


def _package(letter: str) -> str:
    """The package of Debian whose fonts have the letter, as far as its name tells."""
    if "\U0001f000" < letter < "\U0001fb00":  # emoji, of which fonts-noto has colours only
        return "fonts-symbola"
    name = unicodedata.name(letter, "").partition(" ")[0].lower()
    return "fonts-noto-cjk" if name in _CJK else "fonts-noto"
