"""The meaning of the axes of a layer's output: channels of a map, tokens of an image, or values.

The number of dimensions does not tell: (7, 7, 768) are 768 channels where a linear layer gave them,
and (49, 768) are 768 channels of 7×7 where an image was cut into patches. The layer's type decides,
else the last output of the same shape, else the layer's input. If none of them decides, the axes
are values, such as weights of attention.
"""

from collections.abc import Sequence
from typing import Literal, TypeGuard

Axis = Literal["channel", "row", "column", "token", "value", "part"]
Axes = tuple[Axis, ...]
Shape = tuple[int, ...]
"""The shape of one image's values, without the batch."""

CHANNELS_FIRST: Axes = ("channel", "row", "column")
CHANNELS_LAST: Axes = ("row", "column", "channel")
TOKENS: Axes = ("token", "channel")
TURNED_TOKENS: Axes = ("channel", "token")  # as layers take them that mix tokens
MAX_FURTHER_TOKENS = 16  # of no place in the image: of the class, registers

_LAST = frozenset(("Linear", "MultiheadAttention", "Gemm", "MatMul", "LayerNormalization"))
_FIRST = frozenset(
    ("Conv", "ConvTranspose", "BatchNormalization", "InstanceNormalization", "LRN")  # of ONNX
)
_TURNING = frozenset(("Permute", "Transpose"))


class AxesReader:
    """A reader of the axes of a pass's outputs, in order; each may depend on earlier ones."""

    def __init__(self, image: Shape) -> None:
        self._image = image
        self._by_shape: dict[Shape, Axes] = {image: CHANNELS_FIRST} if len(image) == 3 else {}
        self._maps: list[Shape] = []  # (C, H, W), the newest last
        self._grids: dict[int, Shape] = {}  # number of tokens → (H, W)

    def axes(self, type: str, order: object, taken: Shape, given: Shape) -> Axes:
        """Return the axes of an output of the shape `given`, by the type of its layer.

        `order` is the new order of the axes, batch included, if the layer permutes them.
        """
        axes = self._decided(type, order, taken, given)
        self._by_shape[given] = axes
        if axes in (CHANNELS_FIRST, CHANNELS_LAST):
            self._maps.append(_turned(given, axes))
        return axes

    def of_parts(self, type: str, given: Shape) -> Axes:
        """Return the axes of an output (parts, …) that cuts images into parts, such as windows."""
        axes = _by_type(type, given[1:])
        return ("part", *(axes or _values(given[1:])))

    def maps(self, axes: Axes, given: Shape) -> tuple[int, int, int] | None:
        """Return (C, H, W) of the maps that an output is; None if it is none, or of one pixel each.

        Tokens are maps if there are as many as pixels in an earlier map with the same number of
        channels, or a few more. Later outputs of as many tokens then have that grid too, whatever
        their channels. So have tokens that are every second one, down and across, of a known grid.
        Rows and columns before channels are maps if their ratio is that of the image; windows, and
        the pixels in a window, have another ratio.
        """
        channels, height, width = 0, 0, 0
        if axes == TOKENS:
            count, channels = given
            grids = (each[1:] for each in reversed(self._maps) if each[0] == channels)
            height, width = self._grids[count] = next(
                (grid for grid in grids if 0 <= count - grid[0] * grid[1] <= MAX_FURTHER_TOKENS),
                self._grids.get(count) or self._every_second(count),
            )
        elif axes == CHANNELS_FIRST or (
            axes == CHANNELS_LAST and self._is_grid(_turned(given, axes))
        ):
            channels, height, width = _turned(given, axes)
        return (channels, height, width) if height * width > 1 else None

    def _every_second(self, count: int) -> Shape:
        """Return rows and columns of `count` tokens, if keeping every second row and column of a
        known grid gives that number; else (0, 0)."""
        halves = (tuple((side + 1) // 2 for side in grid) for grid in self._grids.values())
        return next((half for half in halves if half[0] * half[1] == count > 1), (0, 0))

    def _is_grid(self, maps: Shape) -> bool:
        _, height, width = maps
        _, whole_height, whole_width = self._image
        # each side may be rounded
        return abs(height * whole_width - width * whole_height) <= max(whole_height, whole_width)

    def _decided(self, type: str, order: object, taken: Shape, given: Shape) -> Axes:
        before = self._by_shape.get(taken, ())
        if (by_type := _by_type(type, given)) is not None:
            is_turned = before == TURNED_TOKENS or (
                not before and self._by_shape.get(taken[::-1]) == TOKENS
            )
            return TURNED_TOKENS if by_type == TOKENS and is_turned else by_type
        if type in _TURNING and _is_order(order, len(before)):
            turned: list[Axis] = [before[axis - 1] for axis in order[1:]]
            return tuple(turned)
        if given in self._by_shape:
            return self._by_shape[given]
        if len(given) == 2:
            return TOKENS
        return self._following(before, taken, given) if len(given) == 3 else _values(given)

    def _following(self, before: Axes, taken: Shape, given: Shape) -> Axes:
        """Return the axes of an output with three axes, of a shape that no layer gave before.

        They are those of maps if the layer took maps, and the number of channels or the grid fits.
        If the axes of its input are unknown, because a function made it, the channels of the newest
        map decide. Otherwise they are values.
        """
        known = {each[1:] for each in (self._image, *self._maps)}
        if before in (CHANNELS_FIRST, CHANNELS_LAST):
            maps = _turned(given, before)
            if maps[0] == _turned(taken, before)[0] or maps[1:] in known:
                return before
        for axes in (CHANNELS_FIRST, CHANNELS_LAST):
            maps = _turned(given, axes)
            if before and maps[1:] in known:
                return axes
            if not before and self._maps and maps[0] == self._maps[-1][0] and self._is_grid(maps):
                return axes
        if before in (CHANNELS_FIRST, CHANNELS_LAST) and self._is_grid(_turned(given, before)):
            return before
        return _values(given)


def _by_type(type: str, given: Shape) -> Axes | None:
    """Return the axes if the type of the layer alone decides them; None for other types."""
    if len(given) not in (2, 3):
        return None
    if type in _LAST or ("LayerNorm" in type and "2d" not in type):
        return TOKENS if len(given) == 2 else CHANNELS_LAST
    if len(given) == 3 and (type.endswith("2d") or type in _FIRST):
        return CHANNELS_FIRST
    return None


def _values(given: Shape) -> Axes:
    value: Axes = ("value",)
    return value * len(given)


def _is_order(order: object, dimensions: int) -> TypeGuard[Sequence[int]]:
    """Return whether `order` permutes that number of axes, and keeps the batch first."""
    if not isinstance(order, list | tuple) or not dimensions or list(order[:1]) != [0]:
        return False
    return set(order) == set(range(dimensions + 1)) and len(order) == dimensions + 1


def _turned(shape: Shape, axes: Axes) -> tuple[int, int, int]:
    """Return the shape in the order (C, H, W)."""
    channels, height, width = (shape[axes.index(each)] for each in CHANNELS_FIRST)
    return channels, height, width
