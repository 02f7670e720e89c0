"""Cases of tests with very many, of which some run each time and the others every night."""

from collections.abc import Iterable
from typing import Any

import pytest


def one_in(number: int, cases: Iterable[Any]) -> list[Any]:
    """The cases for `parametrize`: one in `number` as it is, from the first on; the others are
    `thorough`."""
    return [
        pytest.param(case, marks=pytest.mark.thorough) if place % number else case
        for place, case in enumerate(cases)
    ]
