"""The graphemes of a text as plots write them, with numbers for letters that the fonts lack.

A grapheme is what readers take for one letter (Unicode's UAX #29): a base with its marks, a flag, a
family of emoji. Lines are broken, and texts are shortened, between graphemes only.
"""

import unicodedata
from collections.abc import Set as AbstractSet

from wcwidth import iter_graphemes

_UNSEEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}  # categories: controls, formats, private use, …
_CASED = {"Lu", "Ll", "Lt"}  # letters of Latin, Greek, Cyrillic, …, which are not joined


def is_seen(letter: str) -> bool:
    """Return whether a letter is visible and has the same meaning in every font.

    Controls, line breaks, surrogates and letters of private use are not. Of the format characters,
    only the signs that Arabic and Syriac write around numbers are visible.
    """
    if letter.isascii():
        return letter.isprintable()
    signs = unicodedata.bidirectional(letter) in ("AN", "AL")
    return signs or unicodedata.category(letter) not in _UNSEEN


def chooses_form(letter: str) -> bool:
    """Return whether a letter is a joiner or a variation selector, which fonts read but don't
    draw."""
    return letter in "\u200c\u200d" or "\ufe00" <= letter <= "\ufe0f" or _is_ideographic(letter)


def graphemes(text: str, drawn: AbstractSet[str]) -> list[str]:
    """Split a text into the parts to write with fonts that have the letters in `drawn`.

    A letter that is not drawn becomes a part of its own, as its number: `\\u8681`. So does a letter
    without outlines, and one that changes the order or place of others, such as a tab or a change
    of direction.
    """
    if text.isascii() and text.isprintable():
        return list(text)
    parts: list[str] = []
    for grapheme in iter_graphemes(text):
        base, others = grapheme[0], grapheme[1:]
        if _has(base, drawn) and all(_has(letter, drawn, base) for letter in others):
            parts.append(grapheme)
        else:
            parts += [
                letter if _has(letter, drawn) and not _is_mark(letter) else number(letter)
                for letter in grapheme
                if not chooses_form(letter) or len(grapheme) == 1 or _is_cased(base)
            ]
    return parts


def number(letter: str) -> str:
    """Write a letter as its number, as in a program: `\\t`, `\\x20`, `\\u8681`."""
    escaped = letter.encode("unicode_escape").decode()
    return f"\\x{ord(letter):02x}" if escaped == letter else escaped


def _has(letter: str, drawn: AbstractSet[str], base: str | None = None) -> bool:
    """Return whether the fonts draw a letter; behind a base, `chooses_form` letters count too."""
    if base is not None and chooses_form(letter):
        return not _is_cased(base)
    return letter == " " or (letter in drawn and is_seen(letter) and not chooses_form(letter))


def _is_cased(letter: str) -> bool:
    """Return whether a letter has no forms to choose from, as in Latin, Greek and Cyrillic."""
    return unicodedata.category(letter) in _CASED or letter == " "


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("M")


def _is_ideographic(letter: str) -> bool:
    return "\U000e0100" <= letter <= "\U000e01ef"
