"""What is written for a text: its graphemes, or the numbers of what the fonts do not draw.

A grapheme is what readers take for one letter (Unicode's UAX #29): a base with its marks, a flag,
a family of emoji. Lines are broken, and texts are shortened, between graphemes only.
"""

import unicodedata
from collections.abc import Set as AbstractSet

from wcwidth import iter_graphemes

_UNSEEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}  # categories: controls, formats, private use, …
_CASED = {"Lu", "Ll", "Lt"}  # letters of Latin, Greek, Cyrillic, …, which are not joined


def is_seen(letter: str) -> bool:
    """Whether a font can draw it so that it means the same to everybody.

    No control, no line break, nothing of private use, no half of a pair. Of the formats, the signs
    that Arabic and Syriac write around numbers are seen.
    """
    if letter.isascii():
        return letter.isprintable()
    signs = unicodedata.bidirectional(letter) in ("AN", "AL")
    return signs or unicodedata.category(letter) not in _UNSEEN


def chooses_form(letter: str) -> bool:
    """Whether it is a joiner or a variation selector: a font reads it, and draws nothing for it."""
    return letter in "\u200c\u200d" or "\ufe00" <= letter <= "\ufe0f" or _is_ideographic(letter)


def graphemes(text: str, drawn: AbstractSet[str]) -> list[str]:
    """The parts of a text as they are written, where the fonts draw these letters.

    What is not drawn is a part of its own, as its number: `\\u8681`. So is what has no outlines,
    and what would change the order or the place of others, such as a tab or a change of direction.
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
    """A letter by its number, as in a program: `\\t`, `\\x20`, `\\u8681`."""
    escaped = letter.encode("unicode_escape").decode()
    return f"\\x{ord(letter):02x}" if escaped == letter else escaped


def _has(letter: str, drawn: AbstractSet[str], base: str | None = None) -> bool:
    """Whether the fonts draw it; after a base also what chooses the form of others."""
    if base is not None and chooses_form(letter):
        return not _is_cased(base)
    return letter == " " or (letter in drawn and is_seen(letter) and not chooses_form(letter))


def _is_cased(letter: str) -> bool:
    """Whether it has no forms to choose from: nobody would see the choice."""
    return unicodedata.category(letter) in _CASED or letter == " "


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("M")


def _is_ideographic(letter: str) -> bool:
    return "\U000e0100" <= letter <= "\U000e01ef"
