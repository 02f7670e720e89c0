"""Texts in plots, measured as they will be drawn: shortened, or broken into lines, to fit.

    with lettering(title, *labels):      fonts that have the letters of these texts
        short(name, 2.0, "small")        the name of a file in at most two inches
        wrapped(title, 8.0, "large")     a heading in lines of at most eight inches
        rows(labels, 0.6, "medium")      labels of classes side by side, whole, and how far apart

Lengths are inches. They are those of matplotlib's renderer at the resolution of the PNG files.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from itertools import islice
from typing import NamedTuple

from matplotlib import rc_context, rcParams
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from training.plots.directions import isolated, isolated_runs
from training.plots.text import fonts
from training.plots.text.graphemes import graphemes, number

DPI = 120  # of the PNG files
MOST_LINES = 6  # of a heading or a label
TALLEST = 1.7  # times the size of the font; stacks of Tibetan, the tallest in use, reach 1.4
_LEADING = 1.2  # from line to line, times the height of a line
_POINTS = 72  # in an inch
_HYPHENS = "-_/"
_FILLED = 3  # a line is filled to a third at least
_APART = 0.4  # times the size of the font, from a label to the next
_WIDTHS = (2.4, 3.6, 5.0, 7.0, 10.0, 14.0)  # inches of the lines of labels


@contextmanager
def lettering(*texts: str) -> Iterator[None]:
    """Set matplotlib up for these texts inside the context: fonts with their letters, no math for
    $."""
    families = fonts.fonts_of(frozenset("".join(texts)))
    with rc_context({"font.family": list(families), "text.parse_math": False}):
        yield


def width(text: str, size: str) -> float:
    """Return the width in inches of a line in a font of this size: "small", "medium", "large", …"""
    return _extent(text, size)[0]


def height(text: str, size: str) -> float:
    """Return the height in inches of the lines of a text, one above the other."""
    lines = (_extent(line, size)[1] for line in text.split("\n"))
    return sum(_LEADING * max(_em(size), line) for line in lines)


def short(text: str, inches: float, size: str) -> str:
    """Return the text as it is drawn; if it is too wide, its beginning and end with … between."""
    parts = _parts(text, size)
    return isolated("".join(_shortened(parts, lambda kept: width("".join(kept), size) <= inches)))


def wrapped(text: str, inches: float, size: str) -> str:
    """Break a text into lines of at most `inches`, and shorten it to `MOST_LINES` lines.

    Lines are broken at spaces, and after hyphens, underscores and slashes. A word is broken between
    graphemes if it is wider than a line, or would leave most of a line empty.
    """
    parts = [part if width(part, size) <= inches else "…" for part in _parts(text, size)]

    def are_few(kept: Sequence[str]) -> bool:
        return len(list(islice(_lines(kept, inches, size), MOST_LINES + 1))) <= MOST_LINES

    return "\n".join(map(isolated_runs, _lines(_shortened(parts, are_few), inches, size)))


class Rows(NamedTuple):
    """Labels of rows with their layout: `width` is that of the widest label, and `pitch` the
    distance from one row to the next, both in inches."""

    labels: list[str]
    width: float
    pitch: float


def rows(texts: Sequence[str], pitch: float, size: str) -> Rows:
    """Break the labels of rows into lines; the rows are at least `pitch` inches apart.

    Of several widths, the one is chosen with which labels and rows make the smallest square. A
    label that fills more than `MOST_LINES` lines of the largest width is shortened.
    """
    found = []
    for inches in _WIDTHS:
        found.append(_rows(texts, pitch, size, inches))
        if not any("\n" in label for label in found[-1].labels):
            break  # wider lines change nothing
    return min(found, key=_side)


def _rows(texts: Sequence[str], pitch: float, size: str, inches: float) -> Rows:
    labels = [wrapped(text, inches, size) for text in texts]
    lines = [line for label in labels for line in label.split("\n")]
    tallest = max((height(label, size) for label in labels), default=0.0)
    widest = max((width(line, size) for line in lines), default=0.0)
    return Rows(labels, widest, max(pitch, tallest + _APART * _em(size)))


def _side(found: Rows) -> tuple[bool, float]:
    """Return a sort key for layouts: first those that shorten no label, then the smallest
    square."""
    is_cut = any("…" in label for label in found.labels)
    return is_cut, found.width + found.pitch * len(found.labels)


def _parts(text: str, size: str) -> list[str]:
    """Return the graphemes of a text as they are drawn.

    A text without any ink is written as the numbers of its letters. Of marks that are stacked
    higher than a line, the lowest are kept, with … for the rest.
    """
    if not text:
        return list("(empty)")
    drawn = fonts.drawn_by_all(tuple(rcParams["font.family"]))
    parts = graphemes(text, drawn)
    if not text.isascii():
        parts = [_low(part, size) for part in parts]
    _, ink = _extent("".join(parts), size)
    if not ink:
        parts = [number(letter) for letter in text]
    return parts


def _low(grapheme: str, size: str) -> str:
    """Return the grapheme, or its base with as many marks as fit into the height of a line, and
    …."""

    def is_low(kept: int) -> bool:
        return _extent(grapheme[:kept], size)[1] <= TALLEST * _em(size)

    if len(grapheme) == 1 or is_low(len(grapheme)):
        return grapheme
    return grapheme[: max(1, _most(len(grapheme), is_low))] + "…"


def _shortened(parts: Sequence[str], fits: Callable[[Sequence[str]], bool]) -> Sequence[str]:
    """Return all the parts, or as many from both ends as fit."""
    if fits(parts):
        return parts
    return _ends(parts, _most(len(parts) - 1, lambda count: fits(_ends(parts, count))))


def _ends(parts: Sequence[str], kept: int) -> list[str]:
    """Return `kept` of the parts, from the beginning and the end, with … between them."""
    end = kept // 2
    return [*parts[: kept - end], "…", *parts[len(parts) - end :]]


def _lines(parts: Sequence[str], inches: float, size: str) -> Iterator[str]:
    """Yield the lines of a text, broken before the part that would make a line too wide."""
    start = 0
    while start < len(parts):
        rest = parts[start:]
        end = start + max(1, _most(len(rest), partial(_fits, rest, inches, size)))
        if end < len(parts):  # back to the end of a word, unless much of the line stays empty
            least = start + (end - start) // _FILLED
            ends = (place for place in range(end, least, -1) if _ends_word(parts, place))
            end = next(ends, end)
        yield "".join(parts[start:end])
        start = next((n for n in range(end, len(parts)) if not parts[n].isspace()), len(parts))


def _ends_word(parts: Sequence[str], place: int) -> bool:
    """Return whether a line may be broken before the part at `place`."""
    return parts[place].isspace() or parts[place - 1] in _HYPHENS


def _fits(parts: Sequence[str], inches: float, size: str, count: int) -> bool:
    return width("".join(parts[:count]), size) <= inches


def _most(count: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to `count` that fits, by bisection; 0 always fits."""
    return bisect_left(range(1, count + 1), True, key=lambda kept: not fits(kept))


def _em(size: str) -> float:
    """Return the size of the font in inches."""
    return float(FontProperties(size=size).get_size_in_points()) / _POINTS


def _extent(line: str, size: str) -> tuple[float, float]:
    """Width and height of what is drawn, in inches."""
    return _measured(line, _em(size) * _POINTS, tuple(rcParams["font.family"]))


@lru_cache(maxsize=10_000)
def _measured(line: str, points: float, families: tuple[str, ...]) -> tuple[float, float]:
    properties = FontProperties(family=list(families), size=points)
    wide, tall, _ = _renderer().get_text_width_height_descent(line, properties, ismath=False)
    return wide / DPI, tall / DPI


@cache
def _renderer() -> RendererBase:
    return RendererAgg(1, 1, DPI)
