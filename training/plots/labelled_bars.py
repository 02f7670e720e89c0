"""A value for each class as bars: labels and values → columns of horizontal bars, names in full.

Labels are broken into lines rather than cut; one that is longer than six lines loses its middle.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Self

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from training.plots.text.lettering import height, width, wrapped

Place = Callable[[float, float, float, float], Axes]
"""Makes axes at (left, top, width, height), in inches from the upper left corner."""

_SIZE = "small"
_MAX_LABEL = 4.0  # inches of a line
_TICK, _VALUE, _BETWEEN = 0.1, 0.55, 0.3  # inches beside the bars, and between columns
_LEAST_BAR = 1.0
_LEAST_ROW, _AROUND = 0.19, 0.06  # inches of a bar, and above and below its label
_LEAST_ROWS = 8  # of a column, before there is another one
_THICK = 0.13  # inches of a bar at most


@dataclass(frozen=True)
class LabelledBars:
    """Horizontal bars of `values` (N,) with labels, in columns that are filled one after the other.

    `labels` are broken into lines. `beside` is the width of the widest label, and `rows` are the
    heights of the bars with their labels, in inches.
    """

    labels: tuple[str, ...]
    values: NDArray[np.float32]
    across: float
    columns: int
    beside: float
    rows: tuple[float, ...]

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        values: NDArray[np.float32],
        across: float,
        most_columns: int | None = None,
    ) -> Self:
        """Lay the bars out in a place that is `across` inches wide; call it inside `lettering`."""
        room = min(_MAX_LABEL, across - _TICK - _VALUE - _LEAST_BAR)
        lines = tuple(wrapped(label, room, _SIZE) for label in labels)
        beside = max((width(line, _SIZE) for text in lines for line in text.split("\n")), default=0)
        wide = beside + _TICK + _LEAST_BAR + _VALUE + _BETWEEN
        fit = max(1, floor((across + _BETWEEN) / wide))
        rows = tuple(max(_LEAST_ROW, height(text, _SIZE) + _AROUND) for text in lines)
        columns = min(fit, most_columns or fit, max(1, ceil(len(lines) / _LEAST_ROWS)))
        return cls(lines, values, across, columns, beside, rows)

    @property
    def inches(self) -> float:
        """The height of the longest column."""
        return max((sum(self.rows[part]) for part in self._parts()), default=_LEAST_ROW)

    def draw(self, place: Place, left: float, top: float, form: str = ".3g") -> list[Axes]:
        """Draw the columns on one scale, and return their axes; `form` is the format of the
        values."""
        wide = (self.across + _BETWEEN) / self.columns - _BETWEEN
        drawn = []
        for number, part in enumerate(self._parts()):
            start = left + number * (wide + _BETWEEN) + self.beside + _TICK
            bars = wide - self.beside - _TICK - _VALUE
            axes = place(start, top, bars, sum(self.rows[part]))
            self._column(axes, part, form)
            drawn.append(axes)
        return drawn

    def _parts(self) -> list[slice]:
        count = ceil(len(self.labels) / self.columns)
        return [slice(at, at + count) for at in range(0, len(self.labels), max(1, count))]

    def _column(self, axes: Axes, part: slice, form: str) -> None:
        values, rows = self.values[part], np.array(self.rows[part])
        middles = np.cumsum(rows) - rows / 2
        axes.barh(middles, np.nan_to_num(values), height=np.minimum(0.7 * rows, _THICK))
        axes.set_yticks(middles.tolist(), self.labels[part], fontsize=_SIZE)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(rows.sum(), 0)
        axes.set_xlim(*self._ends())
        axes.set_xticks([])
        axes.axvline(0, color="black", linewidth=0.8)
        axes.spines[:].set_visible(False)
        for middle, value in zip(middles, values, strict=True):
            text = axes.text(1.02, middle, f"{value:{form}}", transform=axes.get_yaxis_transform())
            text.set(va="center", fontsize=_SIZE)

    def _ends(self) -> tuple[float, float]:
        finite = self.values[np.isfinite(self.values)]
        low, high = float(finite.min(initial=0)), float(finite.max(initial=0))
        return (low, high) if low < high else (0.0, 1.0)
