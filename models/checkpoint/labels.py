"""Checks of the labels of a classifier."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from models.checkpoint.errors import CheckpointError

MAX_LABELS = 100_000
MAX_LABEL_LENGTH = 1_000  # characters
_SURROGATE = re.compile("[\ud800-\udfff]")  # stands for a byte of a name that is not UTF-8
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, formats, halves, separators of lines
_SEEN_FORMATS = frozenset(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
)


def check_labels(labels: Sequence[str]) -> None:
    """Raise `CheckpointError` if a classifier can't have these labels."""
    if (problem := label_problem(labels)) is not None:
        raise CheckpointError(problem)


def label_problem(labels: Sequence[str]) -> str | None:
    """Return why a classifier can't have these labels, and what to do; None if it can."""
    if len(labels) > MAX_LABELS:
        return f"there are {len(labels):,} labels; at most {MAX_LABELS:,} are possible"
    if len(labels) < 2:
        return (
            f"a classifier needs two labels or more, not {len(labels)}: with one, each image gets "
            "it with probability 1; name every class, one for all other images if need be"
        )
    if any(not label.strip() for label in labels):
        return f"label {[bool(label.strip()) for label in labels].index(False)} is empty: name it"
    if repeated := [label for label, count in Counter(labels).items() if count > 1]:
        return f"labels must differ from each other: {repeated[0]!r} is there twice; rename one"
    if broken := [label for label in labels if _SURROGATE.search(label)]:
        return f"the label {broken[0]!r} is not UTF-8: rename it"
    for label in labels:
        if (unseen := _unseen(label)) is not None:
            return (
                f"the label {label!a} has the character U+{ord(unseen):04X}, which is not "
                "printed, or changes how others are: rename it"
            )
        if len(label) > MAX_LABEL_LENGTH:
            return (
                f"the label {label[:40]!r}… has {len(label):,} characters; at most "
                f"{MAX_LABEL_LENGTH:,} are possible: rename it"
            )
    return None


def is_unseen(character: str) -> bool:
    """Return whether a character controls a terminal, a line or the direction of text, or is half
    of a surrogate pair.

    Joiners (U+200C, U+200D), which some scripts and emoji need, don't count, nor do the signs that
    Arabic and Syriac write around numbers.
    """
    return unicodedata.category(character) in _UNSEEN and character not in _SEEN_FORMATS


def _unseen(text: str) -> str | None:
    """Return the first character of the text for which `is_unseen` is true, or None."""
    if text.isascii() and text.isprintable():
        return None
    return next(filter(is_unseen, text), None)
