"""Find the subject in a small copy of a picture."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.images.framing import ground
from models.images.framing.components import Labels, Mask, components, filled, grown
from models.images.framing.ground import Floats
from models.images.framing.rule import Rule
from models.images.framing.sheet import ruled, sheet

_SEED, _GROWTH = 0.5, 0.3  # of the strongest contrast: what a stroke has, and what belongs to it
_LEAST_CONTRAST = 10.0  # levels; less is noise
_NOISE = 4.5  # deviations of the ground that a stroke stands out by
_ROUNDS = 3
_SHEET, _SOLID = 0.1, 0.7  # of the picture, and of its own box, that a sheet covers
_SMALL, _NEAR = 0.02, 0.4  # a part's weight beside the main one's; its distance in its sides
_LARGE = 0.3  # weight of a part that belongs to the subject wherever it is
_ALONG_THE_EDGE = 0.06  # of all edges; what touches more is not the subject
_OBJECT_SEED = 0.3  # of the strongest contrast, that an object has somewhere
_MOST_PARTS = 8  # of strokes; drawings of the tuning family have 1 to 4, pages of text 14 or more
_RING = 0.06  # of the shorter side: where an object's ground is looked for
_PLAIN = 3.0  # levels that a ground varies by that is no photograph's


class Found(NamedTuple):
    """The subject in the small copy, (H, W): its mask, its ground, and their mean difference.

    `difference` is a vector (C,) in levels, of the subject from its ground. `noise` is the ground's
    deviation. `is_plain` is True if the ground is a single shade, as in no photograph.
    """

    mask: Mask
    ground: Floats
    difference: Floats
    noise: float
    is_plain: bool

    @property
    def box(self) -> tuple[int, int, int, int]:
        return box(self.mask)


def box(mask: Mask) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the true part of a mask."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def find(levels: Floats, rule: Rule) -> Found | None:
    """Find the subject of a picture (C, H, W).

    None if nothing stands out, or if so many strokes do that they are a text.
    """
    return _strokes(levels) if rule.subject == "strokes" else _object(levels)


class _Parts(NamedTuple):
    """The connected parts that stand out from a ground.

    `weights` (sums of contrasts) and `along_edge` are by label. A part along the picture's edge is
    no stroke.
    """

    labels: Labels
    weights: NDArray[np.float64]
    along_edge: Mask
    surface: Floats
    residual: Floats
    noise: float


def _strokes(levels: Floats) -> Found | None:
    outside = np.zeros(levels.shape[1:], bool)
    parts, found = None, _parts(levels, outside, ~sheet(levels))
    for _ in range(_ROUNDS):  # the table under a sheet bends the ground, and hides faint strokes
        if found is None:
            break
        parts = found
        if not parts.along_edge.any():
            break
        outside |= grown(np.append(parts.along_edge, False)[parts.labels], 2)
        found = _parts(levels, outside, outside)
    if parts is None:
        return None
    mask = _main(parts)
    if _is_sheet(mask):
        beyond = ~filled(mask)
        beyond = grown(beyond, 3)
        inner = _parts(levels, beyond, beyond)
        if inner is not None:
            parts, mask = inner, _main(inner)
    if len(np.unique(parts.labels[mask])) > _MOST_PARTS:
        return None  # a text, not a subject
    difference = parts.residual[:, mask].mean(1)
    return Found(mask, parts.surface, difference, parts.noise, parts.noise < _PLAIN)


def _main(parts: _Parts) -> Mask:
    """Return the mask of the main part, and of the parts that belong to it."""
    weights = np.where(parts.along_edge, 0, parts.weights)
    chosen = _belonging(parts.labels, weights if weights.any() else parts.weights)
    return np.asarray(np.append(chosen, False)[parts.labels])


def _is_sheet(mask: Mask) -> bool:
    """True for a large solid area: a sheet on a table, not strokes."""
    left, top, right, bottom = box(mask)
    area = (right - left) * (bottom - top)
    return area > _SHEET * mask.size and int(mask.sum()) > _SOLID * area


def _parts(levels: Floats, outside: Mask, not_ground: Mask) -> _Parts | None:
    """Find the parts that stand out, except in what lies `outside`; None if there are none."""
    surface = ground.fitted(levels, outside=not_ground)
    distance = _length(levels - surface)
    noise = _deviation(distance, outside)
    is_ground = (distance < max(2.5 * noise, _LEAST_CONTRAST)) & ~outside
    surface = ground.smoothed(levels, is_ground, surface)
    surface = surface + ruled(levels - surface)
    residual = levels - surface
    distance = np.where(outside, 0, _length(residual))
    noise = _deviation(distance, outside)
    least = max(_NOISE * noise, _LEAST_CONTRAST)
    peak = float(_blurred(distance).max())
    if peak < least:
        return None
    mask = distance > max(_GROWTH * peak, least)
    labels, count = components(mask)
    weights, strongest = _sums(labels, distance, count)
    weights[strongest < max(_SEED * peak, least)] = 0
    along_edge = _edges(labels, count) > _ALONG_THE_EDGE * 2 * sum(mask.shape)
    return _Parts(labels, weights, along_edge, surface, residual, noise)


def _belonging(labels: Labels, weights: NDArray[np.float64]) -> Mask:
    """Return, by label, the main part and those belonging to it: large, or small and near."""
    main = int(weights.argmax())
    chosen = weights >= _LARGE * weights[main]
    left, top, right, bottom = box(labels == main)
    reach = round(_NEAR * max(right - left, bottom - top))
    near = labels[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach]
    inside = np.bincount(near[near >= 0], minlength=len(weights)) > 0
    return np.asarray(chosen | (inside & (weights >= _SMALL * weights[main])))


def _object(levels: Floats) -> Found | None:
    plain = _plain_ground(levels)
    surface = _photographed_ground(levels) if plain is None else np.zeros_like(levels) + plain
    residual = levels - surface
    distance = _length(residual)
    thick = max(1, round(_RING * min(distance.shape)))
    border = np.ones(distance.shape, bool)
    border[thick:-thick, thick:-thick] = False
    noise = float(np.median(distance[border])) * 1.4826
    least = max(3.5 * noise, _LEAST_CONTRAST)
    peak = float(_blurred(distance).max())
    if peak < least:
        return None
    mask = _blurred(distance) > max(least, 0.08 * peak)
    mask = filled(~grown(~grown(mask, 1), 1))
    labels, count = components(mask)
    weights, strongest = _sums(labels, distance, count)
    weights[strongest < _OBJECT_SEED * peak] = 0
    edge = _edges(labels, count) > 0.45 * 2 * sum(mask.shape)
    weights[edge] = 0
    if not weights.any():
        return None
    chosen = np.append(_belonging(labels, weights), False)[labels]
    return Found(chosen, surface, residual[:, chosen].mean(1), noise, plain is not None)


def _photographed_ground(levels: Floats) -> Floats:
    """Return an object's ground: the largest even area if it surrounds it, else the border's."""
    even = sheet(levels)
    ring = np.concatenate([even[0], even[-1], even[:, 0], even[:, -1]])
    if even.all() or ring.mean() < 0.5:
        return ground.fitted(levels, ring=_RING)
    return ground.smoothed(levels, even, ground.fitted(levels, outside=~even))


def _plain_ground(levels: Floats) -> Floats | None:
    """Return the single shade of over 40 % of the border (black, white or its median), or None."""
    sides = (levels[:, 0], levels[:, -1], levels[:, :, 0], levels[:, :, -1])
    ring = np.concatenate(sides, 1)  # (C, pixels)
    for shade in (np.zeros(len(ring)), np.full(len(ring), 255), np.median(ring, 1)):
        if (np.abs(ring - shade[:, None]).max(0) <= _PLAIN).mean() > 0.4:
            return np.asarray(shade[:, None, None], np.float32)
    return None


def _deviation(distance: Floats, outside: Mask) -> float:
    """Estimate the ground's deviation by the median (Rousseeuw and Croux 1993), which the subject
    hardly changes."""
    some = distance[::2, ::2][~outside[::2, ::2]]
    return 1.4826 * float(np.median(some)) if len(some) else 0.0


def _length(residual: Floats) -> Floats:
    return np.asarray(np.sqrt(sum(each * each for each in residual) / len(residual)))


def _blurred(values: Floats) -> Floats:
    """Average over 2 × 2 pixels; the shape stays."""
    wide = np.pad(values, ((0, 1), (0, 1)), mode="edge")
    return np.asarray((wide[1:, 1:] + wide[1:, :-1] + wide[:-1, 1:] + wide[:-1, :-1]) / 4)


def _sums(
    labels: Labels, distance: Floats, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weight of each part (the sum of its contrasts) and its strongest contrast."""
    inside = labels >= 0
    numbers, contrasts = labels[inside], distance[inside].astype(np.float64)
    strongest = np.zeros(count)
    np.maximum.at(strongest, numbers, contrasts)
    return np.bincount(numbers, contrasts, count).astype(np.float64), strongest


def _edges(labels: Labels, count: int) -> NDArray[np.intp]:
    """Count the pixels of each part that lie on the edges of the picture."""
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.bincount(edges[edges >= 0], minlength=count)
