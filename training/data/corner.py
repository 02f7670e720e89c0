"""A corner of a picture as numbers: 3×3 pixels → levels from 0 to 255 → normalised values."""

from dataclasses import dataclass

from rich.table import Table
from torch import Tensor

from models.errors import OptionError
from models.preprocessing import InputSpec

SIDE = 3
NAMES = {1: ("grey",), 3: ("red", "green", "blue")}


@dataclass(frozen=True)
class Corner:
    """A corner of at most 3×3 pixels: `levels` uint8 (C, H, W) and normalised `values` (C, H, W).

    `row` and `column` are the position of the first pixel, counted from the upper left. `of` names
    the picture in a title.
    """

    levels: Tensor
    values: Tensor
    row: int
    column: int
    of: str

    @property
    def channels(self) -> tuple[str, ...]:
        return NAMES[len(self.levels)]

    def __str__(self) -> str:
        _, height, width = self.levels.shape
        return f"{height}×{width} pixels at row {self.row}, column {self.column} of {self.of}"

    def table(self) -> Table:
        """The numbers as a table: one row for each channel and each of its rows of pixels, with the
        levels 0 to 255 first and the normalised values behind them."""
        width = self.levels.shape[2]
        result = Table("channel", title=str(self))
        columns = range(self.column, self.column + width)
        for head in (*(f"level {n}" for n in columns), *(f"value {n}" for n in columns)):
            result.add_column(head, justify="right")
        for channel, levels, values in zip(self.channels, self.levels, self.values, strict=True):
            for number, (row, inputs) in enumerate(zip(levels, values, strict=True)):
                cells = [*(str(n) for n in row.tolist()), *(f"{n:.4f}" for n in inputs.tolist())]
                result.add_row(channel if number == 0 else "", *cells)
            result.add_section()
        return result


def cut(pixels: Tensor, spec: InputSpec, row: int, column: int, of: str) -> Corner:
    """Cut a corner out of uint8 pixels (C, H, W), from `row` and `column` on; `spec` normalises it.

    Raises `OptionError` if the position is not in the picture.
    """
    _, height, width = pixels.shape
    for name, value, side in (("row", row, height), ("column", column, width)):
        if not 0 <= value < side:
            raise OptionError(
                f"{name} {value} is not in the picture, whose {name}s are 0 to {side - 1}: "
                f"give a {name} of these"
            )
    levels = pixels[:, row : row + SIDE, column : column + SIDE]
    return Corner(levels, spec.normalize(levels[None])[0], row, column, of)
