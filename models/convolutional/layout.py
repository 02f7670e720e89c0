"""The layout of maps (C, H, W) as a network sees them: which element it finds at which index.

Whatever a network does to the shape (flatten, permute, split), its fully convolutional form keeps
maps. A `Layout` is a tensor of the shape that the network sees. Its elements are indices into the
flattened maps, so an operator that changes a shape changes that tensor in the same way.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Atom = Literal["c", "h", "w"]
ATOMS: tuple[Atom, ...] = ("c", "h", "w")
Axes = tuple[Atom | None, ...]
MAPS: Axes = ("c", "h", "w")


class Sizes(NamedTuple):
    """The sizes of maps (C, H, W), for an image of the input's own size."""

    c: int
    h: int
    w: int

    @property
    def numel(self) -> int:
        return self.c * self.h * self.w

    @property
    def is_vector(self) -> bool:
        """Whether the maps have a single place (1×1)."""
        return self.h == self.w == 1

    def of(self, atom: Atom) -> int:
        return self[ATOMS.index(atom)]


class Lines(NamedTuple):
    """The atom (c, h or w) along which each axis runs, and the positions along each atom.

    `axes` has None for an axis of length 1 that no atom is left for. `along` has a single position
    for an atom without an axis.
    """

    axes: Axes
    along: tuple[Tensor, Tensor, Tensor]

    def is_whole(self, sizes: Sizes) -> bool:
        """Return whether the positions along every atom are all of them, in order."""
        return all(map(is_range, self.along, sizes))


class Layout:
    """The layout of maps of these sizes, as the network sees them.

    `where` holds, for each element that the network sees, its index in the flattened maps. Without
    it, the network sees the whole maps, with their axes in the order `axes`; by default, as they
    are.
    """

    def __init__(self, sizes: Sizes, where: Tensor | None = None, axes: Axes = MAPS) -> None:
        self.sizes = sizes
        self._where = where
        self._axes = axes

    @classmethod
    def seen_as(cls, sizes: Sizes, axes: Axes) -> "Layout":
        """Return the layout of whole maps whose axes the network sees in this order."""
        return cls(sizes, axes=axes)

    @cached_property
    def where(self) -> Tensor:
        """For each element that the network sees, without the batch, its index in the flat maps."""
        if self._where is not None:
            return self._where
        return _woven(self._whole, self.sizes)

    @property
    def is_flat(self) -> bool:
        """Whether the network sees a single axis, besides the batch."""
        return (len(self._axes) if self._where is None else self._where.ndim) == 1

    @cached_property
    def lines(self) -> Lines | None:
        """The `Lines` of the layout; None if an axis runs along several atoms, or in no order."""
        return self._whole if self._where is None else _lines(self._where, self.sizes)

    @property
    def _whole(self) -> Lines:
        c, h, w = map(torch.arange, self.sizes)
        return Lines(self._axes, (c, h, w))

    def changed(self, change: Callable[[Tensor], Tensor]) -> "Layout | None":
        """Return the layout after `change` has changed the shape of a tensor (N, …).

        None if the change mixes elements of several images.
        """
        count = self.sizes.numel
        both = change(torch.stack([self.where, self.where + count]))
        if both.ndim < 2 or len(both) != 2 or not torch.equal(both[0] + count, both[1]):
            return None
        return Layout(self.sizes, both[0])


def is_range(positions: Tensor, size: int) -> bool:
    """Return whether the positions are 0, 1, … to `size` - 1."""
    return len(positions) == size and bool((positions == torch.arange(size)).all())


def coordinates(where: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor, Tensor]:
    """Return channel, row and column of indices into flattened maps."""
    return where // (sizes.h * sizes.w), where // sizes.w % sizes.h, where % sizes.w


def _lines(where: Tensor, sizes: Sizes) -> Lines | None:
    found = coordinates(where, sizes)
    axes: list[Atom | None] = [None] * where.ndim
    along: dict[Atom, Tensor] = {}
    for axis, length in enumerate(where.shape):
        if length == 1:
            continue
        lines = {atom: _line(each, axis) for atom, each in zip(ATOMS, found, strict=True)}
        varying = [atom for atom, line in lines.items() if (line != line[0]).any()]
        if len(varying) != 1 or varying[0] in along:
            return None
        axes[axis] = varying[0]
        along[varying[0]] = lines[varying[0]]
    for atom, each in zip(ATOMS, found, strict=True):
        along.setdefault(atom, each.flatten()[:1])
    free = iter([atom for atom in ATOMS if atom not in axes])
    named = tuple(atom or next(free, None) for atom in axes)
    lines_found = Lines(named, (along["c"], along["h"], along["w"]))
    return lines_found if torch.equal(_woven(lines_found, sizes), where) else None


def _line(values: Tensor, axis: int) -> Tensor:
    """Return the values along one axis, at index 0 of all others."""
    return values.movedim(axis, -1).reshape(-1, values.shape[axis])[0]


def _woven(lines: Lines, sizes: Sizes) -> Tensor:
    """Return the indices into the flattened maps (`Layout.where`) that have these lines."""
    steps = sizes.h * sizes.w, sizes.w, 1
    where = torch.zeros((), dtype=torch.long)
    for atom, positions, step in zip(ATOMS, lines.along, steps, strict=True):
        if atom not in lines.axes:
            where = where + positions[0] * step
    by_atom = dict(zip(ATOMS, zip(lines.along, steps, strict=True), strict=True))
    for axis in lines.axes:
        positions, step = by_atom[axis] if axis else (torch.zeros(1).long(), 0)
        where = where[..., None] + positions * step
    return where


def aligned(one: Sequence[Atom | None], other: Sequence[Atom | None]) -> tuple[Axes, Axes]:
    """Pad the shorter list of axes with None on the left, as torch aligns from the right."""
    count = max(len(one), len(other))
    first, second = ((None,) * (count - len(each)) + tuple(each) for each in (one, other))
    return first, second
