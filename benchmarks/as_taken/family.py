"""A family of scenes: a function for each way to redraw an image of a data set."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Scene = Callable[[Grey, Generator], bytes]
"""An image of a data set (28, 28), light on black → the file that somebody would send."""


@dataclass(frozen=True)
class Family:
    """The scenes of one family; `drawn` is ink of a pen, and `printed` ink in all shades."""

    as_it_is: Scene
    black_on_white: Scene
    drawn: Scene
    printed: Scene
    third_of_the_sheet: Scene
    near_the_top: Scene
    transparent_canvas: Scene
    small_on_a_large_sheet: Scene
    marker_on_squared_paper: Scene
    beside_the_table: Scene
    on_a_desk: Scene
    product_on_white: Scene

    @property
    def digits(self) -> dict[str, Scene]:
        """Return the scenes of digits, by their rows in the table."""
        return self._shared(self.drawn) | {
            "white strokes on a transparent canvas": self.transparent_canvas,
            "1000×1000, small and off centre": self.small_on_a_large_sheet,
            "coloured marker on squared paper": self.marker_on_squared_paper,
            "ink on paper, the table in view": self.beside_the_table,
        }

    @property
    def clothes(self) -> dict[str, Scene]:
        """Return the scenes of clothes, by their rows in the table."""
        return self._shared(self.printed) | {
            "on a desk, photographed": self.on_a_desk,
            "product photograph on white": self.product_on_white,
        }

    def _shared(self, ink: Scene) -> dict[str, Scene]:
        return {
            "as in the data set": self.as_it_is,
            "black on white": self.black_on_white,
            "ink on paper, photographed": ink,
            "white on black, a third of the sheet": self.third_of_the_sheet,
            "portrait sheet, near the top": self.near_the_top,
        }
