"""Isolation of right-to-left texts, so that they do not reorder the text that follows them.

Without that, the numbers after an Arabic name are drawn before it, the last one first (Unicode's
UAX #9).
"""

import re
import unicodedata

_ISOLATE, _POP = "\u2068", "\u2069"  # from its first letter a text has its direction
_CLASSES = {"R": "R", "AL": "R", "L": "L", "NSM": "M"}  # of letters; M is a mark
_RUN = re.compile("R(?:[^L]*R)?M*")


def isolated(text: str) -> str:
    """Isolate a text that has right-to-left letters, so that it has a direction of its own."""
    return f"{_ISOLATE}{text}{_POP}" if "R" in _directions(text) else text


def isolated_runs(line: str) -> str:
    """Put Unicode's isolate characters around each right-to-left part of a left-to-right line.

    The text behind such a part then keeps its place (Unicode Standard Annex 9).
    """
    parts, end = [], 0
    for run in _RUN.finditer(_directions(line)):
        parts += [line[end : run.start()], isolated(line[run.start() : run.end()])]
        end = run.end()
    return "".join([*parts, line[end:]])


def _directions(text: str) -> str:
    """For each letter its direction: R or L, M for a mark, N for none of its own."""
    if text.isascii():
        return "N" * len(text)
    return "".join(_CLASSES.get(unicodedata.bidirectional(letter), "N") for letter in text)
